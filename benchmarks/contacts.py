"""What a substep costs where a trained policy takes the arm, and what learning costs beside it.

    python benchmarks/contacts.py --task lift [--checkpoint FILE]

plays uniform actions and the trained policy with its noise: the packaged one, or a checkpoint's. A
sample of the states that each meets is stepped by plain MuJoCo, stage by stage by MuJoCo's own
timers, and under other settings. The rates of the environment alone are medians of blocks; one
thread.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import mujoco
import numpy as np
import torch
from grasp import box_pads

from lerobot_puffer import LeRobotPuffer
from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.bench import cpu
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Task

ENVS, BLOCKS, STEPS, SAMPLE = 128, 7, 100, 300
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
# after twice the substeps that MuJoCo waits before it lets a tree sleep
SETTLED = 20
LATER = f"chosen, {SETTLED} substeps on"
# one substep is these five; what is left of it is MuJoCo's bookkeeping
STAGES = {
    "kinematics, inertia": ("POS_KINEMATICS", "POS_INERTIA"),
    "collision": ("POS_COLLISION",),
    "contact rows": ("POS_MAKE", "POS_PROJECT"),
    "velocity, actuation": ("VELOCITY", "ACTUATION"),
    "solver": ("CONSTRAINT",),
    "integration": ("ADVANCE",),
}
Act = Callable[[np.ndarray], np.ndarray]


def noisy(policy: torch.nn.Module) -> Act:
    """The policy's actions with its noise, as in training."""
    @torch.no_grad()
    def act(observations: np.ndarray) -> np.ndarray:
        actions, _ = policy.forward_eval(torch.as_tensor(observations))
        return actions.sample().clamp(-1, 1).numpy()

    return act


def uniform(observations: np.ndarray) -> np.ndarray:
    """Uniform actions."""
    return _rng.uniform(-1, 1, (len(observations), 6)).astype(np.float32)


_rng = np.random.default_rng(0)


def play(task: Task, act: Act) -> tuple[float, float, list[mujoco.MjData]]:
    """Steps/s of the environment alone, and of both, one thread; a sample of the states."""
    env = LeRobotPuffer(task, ENVS, 1, stagger=True)
    observations, _ = env.reset(0)
    rates, both, sample = [], [], []
    for block in range(BLOCKS + 1):
        inside = 0.0
        start = time.perf_counter()
        for _ in range(STEPS):
            actions = act(observations)
            tick = time.perf_counter()
            observations = env.step(actions)[0]
            inside += time.perf_counter() - tick
        rates.append(ENVS * STEPS / inside)
        both.append(ENVS * STEPS / (time.perf_counter() - start))
        if block:
            sample += [env.data(int(i)) for i in _rng.integers(ENVS, size=SAMPLE // BLOCKS)]
    env.close()
    return median(rates[1:]), median(both[1:]), sample


def stages(model: mujoco.MjModel, sample: list[mujoco.MjData], skip: int = 1,
           ) -> dict[str, float]:
    """us a substep of each stage, contacts, trees asleep; the first `skip` substeps left out."""
    times = {name: 0.0 for name in STAGES} | {"all": 0.0, "contacts": 0.0, "asleep": 0.0}
    data = mujoco.MjData(model)
    vector = np.empty(mujoco.mj_stateSize(model, STATE))
    for state in sample:
        mujoco.mj_getState(model, state, vector, STATE)
        mujoco.mj_resetData(model, data)
        mujoco.mj_setState(model, data, vector, STATE)
        mujoco.mj_step(model, data, skip)
        data.timer.duration[:] = 0
        data.timer.number[:] = 0
        mujoco.mj_step(model, data, 3)
        for name, parts in STAGES.items():
            times[name] += sum(float(data.timer[getattr(mujoco.mjtTimer, f"mjTIMER_{part}")]
                                     .duration) for part in parts) / 3
        times["all"] += float(data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration) / 3
        times["contacts"] += data.ncon
        times["asleep"] += int((data.tree_asleep >= 0).sum())
    return {name: value / len(sample) * (1 if name in ("contacts", "asleep") else 1e6)
            for name, value in times.items()}


def collide(spec: mujoco.MjSpec) -> None:
    """Let the arm's parts meet each other, but for parent and child."""
    for geom in spec.geoms:
        geom.contype = geom.conaffinity


def variants(task: Task, model: mujoco.MjModel) -> dict[str, tuple[mujoco.MjModel, int]]:
    """The task's model, the same with other settings, and how many substeps to skip."""
    def option(**values: int) -> mujoco.MjModel:
        other = copy.copy(model)
        for name, value in values.items():
            setattr(other.opt, name, value)
        return other

    def scene(**changes: object) -> mujoco.MjModel:
        return compile_task(replace(task, scene=replace(task.scene, **changes))).model

    def edited(edit: Callable[[mujoco.MjSpec], None]) -> mujoco.MjModel:
        spec = task.scene.spec()
        edit(spec)
        spec.compiler.discardvisual = True
        return spec.compile()

    physics = task.scene.physics
    off = mujoco.mjtDisableBit.mjDSBL_ISLAND
    asleep = model.opt.enableflags | mujoco.mjtEnableBit.mjENBL_SLEEP
    models = {
        "chosen": model,
        "box pads": edited(box_pads),
        "the arm meets itself": edited(collide),
        "implicitfast": scene(physics=replace(physics, integrator="implicitfast",
                                              eulerdamp=True)),
        "no grip": scene(grip=None),
        "pyramidal cone": option(cone=mujoco.mjtCone.mjCONE_PYRAMIDAL),
        "impratio 10": option(impratio=10),
        "4 iterations": option(iterations=4),
        "CG": option(solver=mujoco.mjtSolver.mjSOL_CG),
        "PGS": option(solver=mujoco.mjtSolver.mjSOL_PGS),
        "no islands": option(disableflags=model.opt.disableflags | off),
    }
    return {name: (other, 1) for name, other in models.items()} | {
        LATER: (model, SETTLED),
        "the same, sleeping": (option(enableflags=asleep), SETTLED),
    }


def copying(model: mujoco.MjModel) -> str:
    """What the state of a simulation is, and what it takes to load and save it once."""
    data = mujoco.MjData(model)
    spent = []
    for parts in (STATE, mujoco.mjtState.mjSTATE_TIME):
        vector = np.empty(mujoco.mj_stateSize(model, parts))
        blocks = []
        for _ in range(BLOCKS):
            begin = time.perf_counter()
            for _ in range(10_000):
                mujoco.mj_setState(model, data, vector, parts)
                mujoco.mj_getState(model, data, vector, parts)
            blocks.append((time.perf_counter() - begin) / 10_000 * 1e6)
        spent.append(median(blocks))
    # a state of one number takes what Python does
    return (f"{mujoco.mj_stateSize(model, STATE)} numbers of state, "
            f"{mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)} without controls, "
            f"applied forces and warm starts; loaded and saved in {spent[0] - spent[1]:.2f} us")


def main() -> None:
    """Play, step, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="lift")
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = make_task(args.task)
    stored = checkpoints.load(args.checkpoint or checkpoints.packaged(args.task))
    checkpoints.match(stored, task)
    model = compile_task(task).model
    samples = {}
    print("| actions | environment, steps/s | with the policy |\n|---|---:|---:|")
    for name, act in (("uniform", uniform), ("trained", noisy(stored.policy()))):
        alone, both, samples[name] = play(task, act)
        print(f"| {name} | {alone:,.0f} | {both:,.0f} |")
    print("\n| us a substep |", " | ".join(("contacts", "all", *STAGES)), "|")
    print("|---|" + "---:|" * (2 + len(STAGES)))
    for name, sample in samples.items():
        rows = [stages(model, sample) for _ in range(BLOCKS)]
        row = {key: median(row[key] for row in rows) for key in rows[0]}
        print(f"| {name} | {row['contacts']:.1f} | {row['all']:.1f} |",
              " | ".join(f"{row[key]:.1f}" for key in STAGES), "|")
    others = variants(task, model)
    rows_of: dict[str, list[dict[str, float]]] = {name: [] for name in others}
    for _ in range(BLOCKS):
        for name, (other, skip) in others.items():
            rows_of[name].append(stages(other, samples["trained"], skip))
    print("\n| trained policy's states | contacts | us a substep | of the chosen | asleep |"
          "\n|---|---:|---:|---:|---:|")
    for name, rows in rows_of.items():
        base = rows_of["chosen" if others[name][1] == 1 else LATER]
        ratios = [row["all"] / first["all"] for row, first in zip(rows, base, strict=True)]
        print(f"| {name} | {rows[0]['contacts']:.1f} | {median(row['all'] for row in rows):.1f} | "
              f"{median(ratios):.2f} | {rows[0]['asleep']:.2f} of {model.ntree} |")
    print(f"\n{copying(model)}")
    print(f"\n{cpu()}, MuJoCo {mujoco.__version__}, one thread")


if __name__ == "__main__":
    main()
