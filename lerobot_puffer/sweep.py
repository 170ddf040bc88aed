"""The sweeps of `lerobot-puffer bench --backend`: steps per second over numbers of environments.

As the reference package's README measures, with two differences: environments are counted, and
the actions are drawn beforehand. bench.py has the command line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_puffer import ALOHA_IDS, GYM_IDS
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks import make_task

BACKENDS = ("native", "puffer", "gym")
WARM_UP_STEPS = 20


def action_ring(num_envs: int, naction: int) -> np.ndarray:
    """Actions uniform in the whole box, (n, num_envs, naction) float32, 1 <= n <= 256."""
    length = int(np.clip(2**22 // (num_envs * naction), 1, 256))
    rng = np.random.default_rng(0)
    return rng.uniform(-1.0, 1.0, (length, num_envs, naction)).astype(np.float32)


def divisor(num_envs: int, workers: int) -> int:
    """The largest number of workers, up to `workers`, that share `num_envs` evenly."""
    return max(w for w in range(1, min(num_envs, workers) + 1) if num_envs % w == 0)


def env_id(task: str) -> str:
    """The Gymnasium id of a registered task, or the name of one that has none."""
    ids = GYM_IDS | ALOHA_IDS
    return next((f"lerobot_puffer/{name}" for name, known in ids.items() if known == task), task)


def open_backend(backend: str, task: str, num_envs: int,
                 workers: int) -> tuple[Callable[[np.ndarray], Any], Callable[[], Any], int]:
    """Make and reset a vector of environments; return its step, its close and its workers."""
    if backend == "gym":
        import gymnasium

        if env_id(task) == task:
            raise ValueError(f"task {task!r} has no Gymnasium id; use --backend native or puffer")
        make = partial(gymnasium.make, env_id(task), obs_type="state")
        envs = gymnasium.vector.AsyncVectorEnv([make] * num_envs)
        envs.reset(seed=0)
        return envs.step, envs.close, num_envs
    env_class = import_module("lerobot_puffer.env").LeRobotPuffer
    if backend == "native":
        env = env_class(task=task, num_envs=num_envs, num_threads=workers)
        env.reset(seed=0)
        return env.step, env.close, env.core.num_threads
    vector = import_module("pufferlib.vector")
    workers = divisor(num_envs, workers)
    envs = vector.make(
        env_class, env_kwargs={"task": task, "num_envs": num_envs // workers, "num_threads": 1},
        backend=vector.Multiprocessing, num_envs=workers, num_workers=workers,
        batch_size=workers, overwork=True)
    envs.reset(seed=0)
    return envs.step, envs.close, workers


def measure(backend: str, task: str, num_envs: int, workers: int, num_steps: int,
                  progress: Callable[[int], Any]) -> dict[str, Any]:
    """Steps per second of one setting: environments x vector steps over wall-clock time.

    Construction and reset are not timed; the actions are drawn before.
    """
    naction = compile_task(make_task(task)).tables.naction
    ring = action_ring(num_envs, naction)
    step, close, used = open_backend(backend, task, num_envs, workers)
    try:
        for k in range(WARM_UP_STEPS):
            step(ring[k % len(ring)])
        vector_steps = max(1, num_steps // num_envs)
        chunk = max(1, vector_steps // 50)
        seconds, done = 0.0, 0
        while done < vector_steps:
            count = min(chunk, vector_steps - done)
            begin = time.perf_counter()
            for k in range(done, done + count):
                step(ring[k % len(ring)])
            seconds += time.perf_counter() - begin
            done += count
            progress(count * num_envs)
    finally:
        close()
    return {"env_id": env_id(task), "backend": backend, "num_envs": num_envs, "num_workers": used,
            "steps_per_second": round(num_envs * vector_steps / seconds)}


def run(args: argparse.Namespace) -> None:
    """Write one JSONL line a setting and one PNG a number of workers."""
    tasks = args.task or ["lerobot_reach"]
    if len(tasks) > 1:
        raise ValueError(f"a sweep takes one task, got {' '.join(tasks)}")
    if args.assets != "native" or args.options:
        raise ValueError("a sweep takes a task as it is; --assets and --options are of the "
                         "comparison with raw MuJoCo, without --backend")
    pyplot = None
    if args.plot_path:
        matplotlib = import_module("matplotlib")
        matplotlib.use("Agg")
        pyplot = import_module("matplotlib.pyplot")
        args.plot_path.mkdir(parents=True, exist_ok=True)
    # AsyncVectorEnv has one process an environment
    choices = [1] if args.backend == "gym" else args.num_workers
    for workers in choices:
        name = f"throughput_{args.backend}" + (f"_num_w_{workers}" if len(choices) > 1 else "")
        lines = []
        for num_envs in args.sweep_num_envs:
            label = f"{args.backend} num_envs={num_envs} num_workers={workers}"
            with progress_bar(args.num_steps, label) as bar:
                lines.append(measure(args.backend, tasks[0], num_envs, workers, args.num_steps,
                                     bar.update))
            print(json.dumps(lines[-1]), flush=True)
        write_jsonl(args.jsonl, lines)
        if pyplot is not None:
            write_jsonl(args.plot_path / f"{name}.jsonl", lines, "w")
            figure, axes = pyplot.subplots()
            axes.plot([x["num_envs"] for x in lines], [x["steps_per_second"] for x in lines], "o-")
            axes.set(xlabel="num_envs", ylabel="environment steps/s", title=f"{tasks[0]}, {name}",
                     ylim=(0, None))
            figure.savefig(args.plot_path / f"{name}.png", dpi=120)
            pyplot.close(figure)


class _NoBar:
    """Stands in for tqdm where it is not installed or nobody looks."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, _: int) -> None:
        """Do nothing."""


def progress_bar(total: int, label: str) -> Any:
    """A tqdm bar on a terminal, if tqdm is there."""
    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        return _NoBar()
    return tqdm(total=total, desc=label, unit="step", unit_scale=True, leave=False, disable=None)


def write_jsonl(path: Path | None, lines: Iterable[dict], mode: str = "a") -> None:
    """Write dicts to a file, one a line."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
