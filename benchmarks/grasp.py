"""What the settings of a grasp cost and how true they are: slip, creep, depth, bounce, time.

Prints a Markdown table, one row a setting; docs/physics.md has one. `--reach` prints instead over
which ring of the table a scripted arm picks up a cube of any yaw. `grasps.py` has the scenes.

    python benchmarks/grasp.py
    python benchmarks/grasp.py --reach
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
from grasps import PERIOD, TOP, Setting, arm_at, drop, held, hold, pick, press, release, rest, run
from mujoco.batch import Batch

from lerobot_puffer.physics import MANIPULATION, SO101_GAINS, Grip


def box_pads(spec: mujoco.MjSpec) -> None:
    """Give the jaws boxes where the model has capsules, with the faces where those are thickest."""
    for name in ("fixed_jaw_pad", "moving_jaw_pad"):
        pad = spec.geom(name)
        pad.type = mujoco.mjtGeom.mjGEOM_BOX
        pad.size = (0.004, 0.0, 0.0)  # square; along the pad its ends say how long it is


def option(**values: int) -> Callable[[mujoco.MjSpec], None]:
    """Set fields of `mjOption`; flags are added to those that are set."""

    def edit(spec: mujoco.MjSpec) -> None:
        for name, value in values.items():
            old = getattr(spec.option, name) if name.endswith("flags") else 0
            setattr(spec.option, name, old | int(value))

    return edit


_FAST = replace(MANIPULATION, integrator="implicitfast", eulerdamp=True)
_HALF = {"timestep": 0.005}
_SPECULATIVE = mujoco.mjtEnableBit.mjENBL_SPECULATIVE
_DISCRETE = option(integrator=mujoco.mjtIntegrator.mjINT_DISCRETE)
SETTINGS = (
    Setting("chosen: 10 ms"),
    Setting("chosen: 5 ms", replace(MANIPULATION, **_HALF)),
    Setting("implicitfast, box pads, no grip", _FAST, grip=None, edit=box_pads),
    Setting("the same, 5 ms", replace(_FAST, **_HALF), grip=None, edit=box_pads),
    Setting("box pads", edit=box_pads),
    Setting("no grip", grip=None),
    Setting("no grip, noslip 5", grip=None, edit=option(noslip_iterations=5)),
    Setting("slip damping 1", grip=Grip(slip_damping=1.0)),
    Setting("implicit joint damping", replace(MANIPULATION, eulerdamp=True)),
    Setting("implicitfast", _FAST),
    Setting("implicitfast, 5 ms", replace(_FAST, **_HALF)),
    Setting("discrete", edit=_DISCRETE),
    Setting("pyramidal cone", replace(MANIPULATION, cone="pyramidal")),
    Setting("impratio 10", replace(MANIPULATION, impratio=10.0)),
    Setting("8 iterations", replace(MANIPULATION, iterations=8)),
    Setting("4 iterations", replace(MANIPULATION, iterations=4)),
    Setting("tolerance 1e-5", replace(MANIPULATION, tolerance=1e-5)),
    Setting("gripper 2 N m", gains=replace(SO101_GAINS, gripper_force=2.0)),
    Setting("speculative contacts", edit=option(enableflags=_SPECULATIVE)),
    Setting("no islands", edit=option(disableflags=mujoco.mjtDisableBit.mjDSBL_ISLAND)),
)


def print_reach(setting: Setting) -> None:
    """How many of the cubes on each ring are picked up."""
    angles, yaws = np.linspace(-1.2, 1.2, 5), np.linspace(-0.7, 0.7, 5)
    print("| radius, m | in reach | lifted 5 cm | of |\n| --- | --- | --- | --- |")
    for radius in np.arange(0.08, 0.341, 0.02):
        rises = [pick(setting, radius, angle, yaw) for angle in angles for yaw in yaws]
        found = [rise for rise in rises if rise is not None]
        lifted = sum(rise > 0.05 for rise in found)
        print(f"| {radius:.2f} | {len(found)} | {lifted} | {len(rises)} |", flush=True)


class Cost:
    """Time of a substep from a state, of many simulations whose joint targets tremble."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, nsim: int = 32):
        self.batch = Batch(model, nsim, 1)
        self.fields = {name: self.batch.bind(name) for name in ("qpos", "qvel", "ctrl")}
        self.data, self.substeps = data, round(PERIOD / model.opt.timestep)
        self.times: list[float] = []

    def measure(self, actions: int = 12) -> None:
        """Append the microseconds of CPU of a substep."""
        rng = np.random.default_rng(0)
        self.batch.reset()
        for name, field in self.fields.items():
            field[:] = getattr(self.data, name)
        ctrl, spent = self.fields["ctrl"], 0.0
        for _ in range(actions):
            ctrl[:, :5] = self.data.ctrl[:5] + rng.uniform(-0.05, 0.05, (len(ctrl), 5))
            start = time.process_time()
            self.batch.step(nstep=self.substeps)
            spent += time.process_time() - start
        self.times.append(1e6 * spent / (actions * len(ctrl) * self.substeps))


def costs(setting: Setting) -> list[Cost]:
    """The arm over a cube on the table; a held cube; a held cube and another on the table."""
    model, data = arm_at(setting, (0.25, 0.0, TOP + 0.05), 0.3, 0.2, 0.45)
    run(model, data, 0.2)
    return [Cost(model, data), Cost(*held(setting)), Cost(*held(setting, cubes=2))]


def row(setting: Setting) -> list[str]:
    """The measurements of a setting, mm."""
    still, still_depth = hold(setting)
    swings = [hold(setting, swing=True, seed=seed) for seed in range(6)]
    drops = [drop(setting, seed) for seed in range(6)]
    values = (
        still, max(slip for slip, _ in swings), still_depth, rest(setting, stacked=False),
        rest(setting, stacked=True), max(bounce for bounce, _, _ in drops),
        max(press(setting, seed)[0] for seed in range(4)), max(release(setting), 0.0),
    )
    return ["lost" if value > 0.02 else f"{1e3 * value:.2g}" for value in values]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reach", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    if args.reach:
        return print_reach(SETTINGS[0])
    timed = {setting.name: costs(setting) for setting in SETTINGS}
    for repeat in range(args.repeats + 1):
        for cost in (cost for group in timed.values() for cost in group):
            cost.measure()
            if repeat == 0:  # warm-up
                cost.times.clear()
    print("| setting | slip, still | slip, swung | depth | creep | creep, stacked | bounce "
          "| pressed | release | us near | us held | us held, two cubes |\n" + "| --- " * 12 + "|")
    for setting in SETTINGS:
        times = [f"{statistics.median(cost.times):.1f}" for cost in timed[setting.name]]
        print("| " + " | ".join([setting.name, *row(setting), *times]) + " |", flush=True)
    print(f"\nmm, and microseconds of CPU a substep, medians of {args.repeats}; "
          f"MuJoCo {mujoco.mj_versionString()}, {os.cpu_count()} logical cores")
    return None


if __name__ == "__main__":
    main()
