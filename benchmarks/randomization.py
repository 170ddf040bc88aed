"""What randomisation costs: steps per second with it over steps per second without, in turns.

The compiled loop of `lerobot-puffer bench`, without its raw side: Core.step on settled simulations
and one thread, every configuration in blocks of about 30 ms beside the nominal task. What is taken
is CPU time, so that other processes count only through the caches. Two copies of the same
simulations differ by up to 5 %, for as long as they live, by where their memory lies: every repeat
has new copies. "off" is the nominal task twice, which shows the noise of the measurement; "all, no
width" draws everything, with no effect: the rest of the difference is that other physics takes
other work.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from lerobot_puffer.bench import BLOCK_SECONDS, Bound, cpu, settled, versions
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
    from lerobot_puffer.tables import CompiledTask

FACTORS = (0.8, 1.25)
SIZES = (0.9, 1.1)


def free_bodies(task: Task) -> tuple[str, ...]:
    """Names of the task's objects."""
    model = task.scene.compile(visual=False)
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    return tuple(model.body(model.jnt_bodyid[joint]).name for joint in free)


def configurations(body: str, objects: tuple[str, ...]) -> dict[str, tuple[Randomization, ...]]:
    """What is measured, by its name in the table; `body` is pushed, `objects` are resized."""
    fields = [RandomField(quantity=name, scale=FACTORS, log=True, optional=True)
              for name in ("friction", "damping", "frictionloss", "kp", "kv", "force_limit")]
    derived = [RandomField(quantity=name, scale=FACTORS, log=True, optional=True)
               for name in ("mass", "armature")]
    offset = RandomField(quantity="joint_offset", add=(-0.02, 0.02))
    gravity = RandomField(quantity="gravity", add=(-0.1, 0.1))
    size = (RandomField(quantity="size", of=objects, scale=SIZES),) if objects else ()
    delay, push = Delay((0, 2)), Push(body, 0.02, (0.0, 2.0))
    noise = ObservationNoise("qpos", 0.005)
    physical = (*fields, gravity, *derived, offset, *size, delay, push)
    still = tuple(_still(term) for term in physical)
    return {
        "off": (), "fields": (*fields, gravity), "mass, armature": tuple(derived),
        "joint_offset": (offset,), **({"size": size} if size else {}), "delay": (delay,),
        "push": (push,), "noise": (noise,),
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


def copied(task: CompiledTask, state: np.ndarray) -> Bound:
    """New simulations that go on from what Core.get_state returned."""
    bound = Bound.make(task, len(state), 1)
    bound.core.set_state(state)
    return bound


def measure(task: Task, body: str, num_envs: int, repeats: int,
            ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps per second of every configuration and of the nominal task beside it, (repeats,)."""
    terms = {"nominal": (), **configurations(body, free_bodies(task))}
    tasks = {name: compile_task(replace(task, randomize=own)) for name, own in terms.items()}
    states = {name: settled(own, num_envs, 1).core.get_state() for name, own in tasks.items()}
    steps = max(1, round(BLOCK_SECONDS * 8 / seconds(
        copied(tasks["nominal"], states["nominal"]).race(), 8)))
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks if name != "nominal"}
    for _ in range(repeats):
        for name, found in rates.items():
            sides = {key: copied(tasks[key], states[key]) for key in (name, "nominal")}
            races = {key: side.race() for key, side in sides.items()}
            for race in races.values():
                race.step(2)
            spent = dict.fromkeys(races, 0.0)
            for turn in range(8):
                # who goes first changes, so that a drift of the machine hits both
                for key in (races if turn % 2 else reversed(races)):
                    spent[key] += seconds(races[key], steps)
            work = 8 * steps * num_envs
            found.append((work / spent[name], work / spent["nominal"]))
            states |= {key: side.core.get_state() for key, side in sides.items()}
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
