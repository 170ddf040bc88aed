"""What randomisation costs: steps per second with it over steps per second without, in turns.

The compiled loop of `lerobot-puffer bench`, without its raw side: Core.step on settled simulations,
every configuration in blocks of about 30 ms, one after the other. "off" is the nominal task twice,
which shows the noise of the measurement.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np

from lerobot_puffer.bench import BLOCK_SECONDS, cpu, settled, versions
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import (
    PRESETS,
    Delay,
    ObservationNoise,
    Push,
    RandomField,
    Randomization,
    Task,
)

BOTH_MINUS = (0.8, 1.25)


def configurations(body: str) -> dict[str, tuple[Randomization, ...]]:
    """What is measured, by its name in the table; `body` is pushed."""
    fields = [RandomField(quantity=name, scale=BOTH_MINUS, log=True, optional=True)
              for name in ("friction", "damping", "frictionloss", "kp", "kv", "force_limit")]
    derived = [RandomField(quantity=name, scale=BOTH_MINUS, log=True, optional=True)
               for name in ("mass", "armature")]
    offset = RandomField(quantity="joint_offset", add=(-0.02, 0.02))
    gravity = RandomField(quantity="gravity", add=(-0.1, 0.1))
    delay, push = Delay((0, 2)), Push(body, 0.02, (0.0, 2.0))
    noise = ObservationNoise("qpos", 0.005)
    physical = (*fields, gravity, *derived, offset, delay, push)
    return {
        "off": (), "fields": (*fields, gravity), "mass, armature": tuple(derived),
        "joint_offset": (offset,), "delay": (delay,), "push": (push,), "noise": (noise,),
        "all physical": physical, "strong": PRESETS["strong"], "physical, noise": (*physical, noise),
    }


def measure(task: Task, body: str, num_envs: int, num_threads: int, repeats: int,
            ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps per second of every configuration and of the nominal task beside it, (repeats,)."""
    steps = 0
    nominal = settled(compile_task(task), num_envs, num_threads).race()
    races = {name: settled(compile_task(replace(task, randomize=terms)), num_envs,
                           num_threads).race()
             for name, terms in configurations(body).items()}
    seconds = nominal.step(8) / 8
    steps = max(1, round(BLOCK_SECONDS / seconds))
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in races}
    for repeat in range(repeats + 1):
        for name, race in races.items():
            pair = [0.0, 0.0]
            for turn in range(8):
                # who goes first changes, so that a drift of the machine hits both
                for side in ((0, 1) if turn % 2 else (1, 0)):
                    pair[side] += (nominal if side else race).step(steps)
            if repeat:
                work = 8 * steps * num_envs
                rates[name].append((work / pair[0], work / pair[1]))
    return {name: tuple(np.array(pairs).T) for name, pairs in rates.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="reach", choices=sorted(REGISTRY))
    parser.add_argument("--body", default="gripper", help="what is pushed")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9, help="at least 5")
    args = parser.parse_args()
    task = make_task(args.task)
    print(f"{args.task}, {args.num_envs} environments, {args.num_threads} threads")
    print(f"{'randomised':18s}{'steps/s':>10s}{'nominal':>10s}{'ratio':>8s}{'lowest to highest':>20s}")
    found = measure(task, args.body, args.num_envs, args.num_threads, max(5, args.repeats))
    for name, (rates, nominal) in found.items():
        ratio = rates / nominal
        print(f"{name:18s}{np.median(rates):>10,.0f}{np.median(nominal):>10,.0f}"
              f"{np.median(ratio):>8.3f}{ratio.min():>12.3f} to {ratio.max():.3f}")
    print(f"medians of {max(5, args.repeats)} repeats; {cpu()}; "
          + ", ".join(f"{name} {version}" for name, version in versions().items()))
    print(" ".join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
