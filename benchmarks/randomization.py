"""What randomisation costs: steps per second with it over steps per second without, in turns.

The compiled loop of `lerobot-puffer bench`, without its raw side: Core.step on settled simulations
and one thread, every configuration in blocks of about 30 ms beside the nominal task. What is taken
is CPU time, so that other processes count only through the caches. "off" is the nominal task twice,
which shows the noise of the measurement; "all, no width" draws everything, with no effect: the rest
of the difference is that other physics takes other work.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from lerobot_puffer._bench import Race

FACTORS = (0.8, 1.25)


def configurations(body: str) -> dict[str, tuple[Randomization, ...]]:
    """What is measured, by its name in the table; `body` is pushed."""
    fields = [RandomField(quantity=name, scale=FACTORS, log=True, optional=True)
              for name in ("friction", "damping", "frictionloss", "kp", "kv", "force_limit")]
    derived = [RandomField(quantity=name, scale=FACTORS, log=True, optional=True)
               for name in ("mass", "armature")]
    offset = RandomField(quantity="joint_offset", add=(-0.02, 0.02))
    gravity = RandomField(quantity="gravity", add=(-0.1, 0.1))
    delay, push = Delay((0, 2)), Push(body, 0.02, (0.0, 2.0))
    noise = ObservationNoise("qpos", 0.005)
    physical = (*fields, gravity, *derived, offset, delay, push)
    still = tuple(_still(term) for term in physical)
    return {
        "off": (), "fields": (*fields, gravity), "mass, armature": tuple(derived),
        "joint_offset": (offset,), "delay": (delay,), "push": (push,), "noise": (noise,),
        "all physical": physical, "all, no width": still, "and noise": (*physical, noise),
        "mild": PRESETS["mild"], "strong": PRESETS["strong"],
    }


def _still(term: Randomization) -> Randomization:
    """The term without its effect: what is left is the work of drawing and of models."""
    if isinstance(term, RandomField):
        return replace(term, scale=(1.0, 1.0) if term.scale else None,
                       add=(0.0, 0.0) if term.add else None)
    if isinstance(term, Delay):
        return Delay((0, 0))
    return replace(term, probability=0.0) if isinstance(term, Push) else term


def seconds(race: Race, steps: int) -> float:
    """CPU time of a block."""
    begin = time.thread_time()
    race.step(steps)
    return time.thread_time() - begin


def measure(task: Task, body: str, num_envs: int, repeats: int,
            ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps per second of every configuration and of the nominal task beside it, (repeats,)."""
    nominal = settled(compile_task(task), num_envs, 1).race()
    races = {name: settled(compile_task(replace(task, randomize=terms)), num_envs, 1).race()
             for name, terms in configurations(body).items()}
    steps = max(1, round(BLOCK_SECONDS * 8 / seconds(nominal, 8)))
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in races}
    for repeat in range(repeats + 1):
        for name, race in races.items():
            pair = [0.0, 0.0]
            for turn in range(8):
                # who goes first changes, so that a drift of the machine hits both
                for side in ((0, 1) if turn % 2 else (1, 0)):
                    pair[side] += seconds(nominal if side else race, steps)
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
    parser.add_argument("--repeats", type=int, default=9, help="at least 5")
    args = parser.parse_args()
    task = make_task(args.task)
    print(f"{args.task}, {args.num_envs} environments, one thread, CPU time")
    print(f"{'randomised':18s}{'steps/s':>10s}{'nominal':>10s}{'ratio':>8s}"
          f"{'lowest to highest':>20s}")
    found = measure(task, args.body, args.num_envs, max(5, args.repeats))
    for name, (rates, nominal) in found.items():
        ratio = rates / nominal
        print(f"{name:18s}{np.median(rates):>10,.0f}{np.median(nominal):>10,.0f}"
              f"{np.median(ratio):>8.3f}{ratio.min():>12.3f} to {ratio.max():.3f}")
    print(f"medians of {max(5, args.repeats)} repeats; {cpu()}; "
          + ", ".join(f"{name} {version}" for name, version in versions().items()))
    print(" ".join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
