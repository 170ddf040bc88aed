"""`lerobot-puffer bench`: steps per second of the environment and of raw MuJoCo, and the sweeps.

The loop against raw MuJoCo is compiled (csrc/bench.pyx); `measure` runs it. sweep.py steps the
three ways in from Python, as a trainer does. `benchmarks/reference.py` compares with the
reference package.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from lerobot_puffer import sweep
from lerobot_puffer._bench import Race
from lerobot_puffer._core import Core
from lerobot_puffer.arguments import check_count, task_options, usable_cpus
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tables import CompiledTask
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import Task

SWEEP_NUM_ENVS = [2, 4, 8, 16, 32]
SETTLE_ENVS = 256
SETTLE_STEPS = 300
BLOCK_SECONDS = 0.03
# persistent raw batches above this are left out: they lose more the larger they are
PERSISTENT_BYTES = 2**30
_PACKAGES = ("lerobot_puffer", "mujoco", "numpy", "gymnasium", "pufferlib")


@dataclass(frozen=True)
class Bound:
    """A Core with the buffers it works on; `env.py` without PufferLib."""

    core: Core
    actions: np.ndarray
    observations: np.ndarray
    ring: np.ndarray

    @classmethod
    def make(cls, compiled: CompiledTask, num_envs: int, num_threads: int) -> Bound:
        """Make `num_envs` simulations and start an episode in each."""
        nobs, naction = compiled.tables.nobs, compiled.tables.naction
        actions = np.zeros((num_envs, naction), np.float32)
        observations = np.zeros((num_envs, nobs), np.float32)
        core = Core(compiled, num_envs, num_threads)
        core.bind(actions, observations, np.zeros_like(observations),
                  np.zeros(num_envs, np.float32), np.zeros(num_envs, bool),
                  np.zeros(num_envs, bool))
        core.seed(np.zeros(num_envs, np.uint64), np.arange(num_envs, dtype=np.uint32))
        core.reset()
        return cls(core, actions, observations, sweep.action_ring(num_envs, naction))

    def race(self, persistent: tuple[bool, ...] = ()) -> Race:
        """The compiled loop over this Core."""
        return Race(self.core, self.actions, self.ring, persistent)


def settled(compiled: CompiledTask, num_envs: int, num_threads: int) -> Bound:
    """`num_envs` simulations in the middle of their episodes.

    256 of them run 300 steps of random actions from ages spread over the episode, the others
    start as copies of these with generators and actions of their own: so the work of a step,
    and the share of resets in it, does not depend on the number of simulations.
    """
    few = Bound.make(compiled, min(num_envs, SETTLE_ENVS), num_threads)
    count = len(few.actions)
    if compiled.tables.episode_length:
        few.core.episode["steps"] = np.arange(count) * compiled.tables.episode_length // count
    few.race().step(SETTLE_STEPS)
    if num_envs == count:
        return few
    many = Bound.make(compiled, num_envs, num_threads)
    for first in range(0, num_envs, count):
        ids = np.arange(first, min(first + count, num_envs))
        many.core.set_state(few.core.get_state(ids - first), ids)
    many.core.seed(np.ones(num_envs, np.uint64), np.arange(num_envs, dtype=np.uint32))
    few.core.close()
    return many


def compiled_task(task: str | Task, assets: str = "native",
                  options: Mapping[str, Any] | None = None) -> CompiledTask:
    """A task, by name or itself, ready to run."""
    return compile_task(make_task(task, assets, options=options))


def measure(
    task: str | Task,
    num_envs: int = 256,
    num_threads: int | None = None,
    seconds: float = 6.0,
    repeats: int = 7,
    assets: str = "native",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Race the environment against raw `mjb_step` of the same model, states and controls.

    All sides run in turns, in blocks of about 30 ms; the raw side is the faster of the batches
    with and without one mjData a simulation. csrc/bench.pyx says what is timed.

    Args:
      task: name of a registered task, or a `Task`.
      num_envs: simulations.
      num_threads: threads of every side; None or 0: every usable CPU.
      seconds: about how long to measure, after the warm-up.
      repeats: groups of blocks, at least 5, that medians are taken over.
      assets: "native", or "reference" for the scene of the reference package.
      options: of the registered task, as `{"mode": "delta"}`.

    Returns:
      Medians over the repeats and their (lowest, highest): `env_steps_per_second`,
      `raw_steps_per_second` (environment steps' worth of mj_step: `substeps` each) and `ratio`,
      the first over the second; `mj_steps_per_second`; `raw`, the faster batch ("shared" or
      "persistent"); `matched`, whether both sides' states were equal bit for bit; the settings.
    """
    num_envs = check_count("num_envs", num_envs, 1)
    num_threads = check_count("num_threads", num_threads or 0, 0) or usable_cpus()
    repeats = check_count("repeats", repeats, 5)
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")
    compiled = compiled_task(task, assets, options)
    data = mujoco.MjData(compiled.model)
    persistent = num_envs * data.nbuffer < PERSISTENT_BYTES
    names = ["shared", "persistent"] if persistent else ["shared"]
    bound = settled(compiled, num_envs, num_threads)
    race = bound.race((False, True)[:len(names)])
    steps = max(1, round(BLOCK_SECONDS / (race.step(3) / 3)))
    turn = race.run(steps, 2)[1].sum()
    turns = max(1, round(seconds / turn / repeats))
    blocks = np.stack([race.run(steps, turns).sum(axis=0) for _ in range(repeats)])
    bound.core.close()
    rates = num_envs * steps * turns / blocks
    best = 1 + int(np.argmax(np.median(rates[:, 1:], axis=0)))
    env, raw = rates[:, 0], rates[:, best]
    return {
        "task": compiled.task.name, "assets": assets, "options": dict(options or {}),
        "num_envs": num_envs,
        "num_threads": bound.core.num_threads, "substeps": compiled.task.substeps,
        "env_steps_per_second": round(float(np.median(env))),
        "env_range": [round(float(env.min())), round(float(env.max()))],
        "raw_steps_per_second": round(float(np.median(raw))),
        "raw_range": [round(float(raw.min())), round(float(raw.max()))],
        "mj_steps_per_second": round(float(np.median(env))) * compiled.task.substeps,
        "ratio": round(float(np.median(env / raw)), 4),
        "ratio_range": [round(float((env / raw).min()), 4), round(float((env / raw).max()), 4)],
        "raw": names[best - 1], "matched": race.matched, "repeats": repeats,
        "blocks": repeats * turns, "steps_a_block": steps,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that count, where they are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """Name of the processor and the number of CPUs that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {usable_cpus()} CPUs"


def resident() -> int:
    """Resident memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def construction(task: str | Task, num_envs: int, num_threads: int) -> dict[str, Any]:
    """What making `num_envs` environments costs.

    Returns:
      `seconds` from the task's name to the first observations, the model's compilation and the
      first reset included; `resident_bytes`, by how much this and two steps let the process grow.
    """
    before = resident()
    begin = time.perf_counter()
    bound = Bound.make(compiled_task(task), num_envs, num_threads)
    seconds = time.perf_counter() - begin
    bound.race().step(2)
    return {"num_envs": num_envs, "seconds": seconds, "resident_bytes": resident() - before}


def footprint(task: str | Task, num_threads: int, repeats: int = 5) -> dict[str, Any]:
    """Construction of 4,096 and 65,536 environments, and throughput at 16,384 over 1,024.

    Each construction runs in a process of its own; the two throughputs are taken in turns.
    """
    context = multiprocessing.get_context("spawn")
    made = []
    for num_envs in (4096, 65536):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            made.append(pool.submit(construction, task, num_envs, num_threads).result())
    compiled = compiled_task(task)
    bounds = [settled(compiled, num_envs, num_threads) for num_envs in (1024, 16384)]
    races = [bound.race() for bound in bounds]
    rates = np.array([[1024 * 16 / races[0].step(16), 16384 / races[1].step(1)]
                      for _ in range(1 + repeats)])[1:]
    return {
        "seconds_to_make_4096": round(made[0]["seconds"], 3),
        "resident_mib_of_65536": round(made[1]["resident_bytes"] / 2**20),
        "steps_per_second_at_1024": round(float(np.median(rates[:, 0]))),
        "steps_per_second_at_16384": round(float(np.median(rates[:, 1]))),
        "ratio_16384_to_1024": round(float(np.median(rates[:, 1] / rates[:, 0])), 3),
    }


def counts(text: str) -> list[int]:
    """Whole numbers from 1 on, separated by commas."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers from 1 on, as in 2,4,8; "
                                         f"got {text!r}")
    return numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lerobot-puffer bench`."""
    parser.add_argument("--task", nargs="+", choices=sorted(REGISTRY), metavar="TASK",
                        help="tasks to run (default: lerobot_reach reach; sweeps: lerobot_reach)")
    parser.add_argument("--assets", default="native", choices=("native", "reference"))
    parser.add_argument("--options", type=task_options, default={}, metavar="NAME=VALUE,...",
                        help="of the tasks, as in mode=delta,physics=fast")
    parser.add_argument("--num-envs", type=counts, default=[256], help="as in 64,256,1024")
    parser.add_argument("--num-threads", type=counts, default=[usable_cpus()], help="as in 1,2")
    parser.add_argument("--seconds", type=float, default=6.0, help="to measure a setting")
    parser.add_argument("--repeats", type=int, default=7, help="at least 5")
    parser.add_argument("--jsonl", type=Path, help="append one line a setting to this file")
    parser.add_argument("--footprint", action="store_true",
                        help="also memory, construction time and large numbers of environments")
    group = parser.add_argument_group("sweeps, stepped from Python")
    group.add_argument("--backend", choices=sweep.BACKENDS,
                       help="native: threads; puffer: pufferlib.vector.make, Multiprocessing; "
                            "gym: gymnasium AsyncVectorEnv")
    group.add_argument("--sweep-num-envs", type=counts, default=SWEEP_NUM_ENVS)
    group.add_argument("--num-workers", type=counts, default=[usable_cpus()],
                       help="threads of native, processes of puffer")
    group.add_argument("--num-steps", type=int, default=1_000_000,
                       help="environment steps of a setting")
    group.add_argument("--plot-path", type=Path, help="folder for a JSONL and a PNG file")


def run(args: argparse.Namespace) -> None:
    """Run `lerobot-puffer bench`; raises ValueError for options that do not fit."""
    if args.backend:
        sweep.run(args)
        return
    if args.plot_path or args.sweep_num_envs != SWEEP_NUM_ENVS:
        raise ValueError("--sweep-num-envs and --plot-path are of a sweep: choose its "
                         f"--backend {', '.join(sweep.BACKENDS)}")
    race(args)


def race(args: argparse.Namespace) -> None:
    """Print the table of the environment against raw MuJoCo."""
    tasks = args.task or ("lerobot_reach", "reach")
    for task in tasks:
        make_task(task, args.assets, options=args.options)
    found = versions()
    about = {"versions": found, "cpu": cpu(),
             "command": " ".join(["lerobot-puffer", *sys.argv[1:]])}
    print(f"{'task':20s}{'envs':>7s}{'threads':>8s}{'environment steps/s':>31s}"
          f"{'raw mjb_step, same work':>34s}{'ratio':>23s}")
    for task in tasks:
        for num_envs in args.num_envs:
            for num_threads in args.num_threads:
                line = measure(task, num_envs, num_threads, args.seconds, args.repeats,
                               args.assets, args.options)
                print(row(line), flush=True)
                if not line["matched"]:
                    print("  the two sides did not simulate the same states", file=sys.stderr)
                sweep.write_jsonl(args.jsonl, [line | about])
        if args.footprint:
            figures = footprint(task, max(args.num_threads))
            print("  " + ", ".join(f"{name} {value:,}" for name, value in figures.items()))
            sweep.write_jsonl(args.jsonl, [{"task": task} | figures | about])
    print(f"medians (lowest to highest) of {args.repeats} repeats; raw: the faster of a batch with "
          "one mjData a thread and with one a simulation (*)")
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    print(about["cpu"])
    print(about["command"])


def row(line: dict[str, Any]) -> str:
    """One line of the table."""
    def rates(name: str) -> str:
        low, high = line[f"{name}_range"]
        return f"{line[f'{name}_steps_per_second']:,} ({low:,} to {high:,})"

    low, high = line["ratio_range"]
    star = "*" if line["raw"] == "persistent" else " "
    return (f"{line['task']:20s}{line['num_envs']:>7d}{line['num_threads']:>8d}"
            f"{rates('env'):>31s}{rates('raw'):>33s}{star}"
            f"{line['ratio']:>9.3f} ({low:.3f} to {high:.3f})")
