"""Environment steps per second: lerobothackathonenv 0.2.0 and this package, on the same scene.

Makes an environment for the reference in .cache/reference (mujoco 3.17.0, dm-control 1.0.50, the
newest it runs on); this package runs in the Python that starts the script, which `make install`
made. Each side has a worker process of its own, and the settings take turns in blocks.

    .venv/bin/python benchmarks/reference.py --json runs/reference.json

Actions are uniform in the action space and drawn beforehand. Every simulation starts anew after
300 steps on both sides, so that they see the same states; our resets are inside the timed steps,
the reference's are not timed. `models.py` compares the scenes, `lerobot-puffer bench` the
environment with raw MuJoCo.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / ".cache" / "reference"
PACKAGES = ("mujoco==3.17.0", "dm-control==1.0.50", "gymnasium==0.29.1", "numpy<2",
            "gym==0.23.0", "pettingzoo", "shimmy", "psutil", "setuptools<81", "imageio")
# it declares an older mujoco
WITHOUT_DEPENDENCIES = ("lerobothackathonenv==0.2.0",)
EPISODE = 300
WARM_UP = 0.3  # s
GYM_ID = "LeRobot-v0"


@dataclass(frozen=True)
class Setting:
    """One way of stepping.

    Attributes:
      side: "reference" or "ours", the worker that runs it.
      label: row of the table.
      opener: name of the function below that makes the environments.
      num_envs: how many.
      options: further arguments of the opener.
    """

    side: str
    label: str
    opener: str
    num_envs: int
    options: dict


@dataclass
class Stepper:
    """Open environments.

    Attributes:
      step: takes (num_envs, 6) actions.
      reset: starts all episodes anew; None where the environments do it themselves.
      close: frees them.
    """

    step: Callable[[Any], Any]
    reset: Callable[[], Any] | None
    close: Callable[[], Any]


def open_single(num_envs: int, env_id: str, **options: Any) -> Stepper:
    """One Gymnasium environment."""
    import gymnasium

    env = gymnasium.make(env_id, **options)
    return Stepper(lambda actions: env.step(actions[0]), env.reset, env.close)


def open_async(num_envs: int, env_id: str, **options: Any) -> Stepper:
    """Gymnasium's AsyncVectorEnv, one process an environment."""
    import gymnasium

    make = partial(gymnasium.make, env_id, **options)
    envs = gymnasium.vector.AsyncVectorEnv([make] * num_envs)
    return Stepper(envs.step, envs.reset, envs.close)


def puffer_env(env_id: str, buf: Any = None, seed: int = 0) -> Any:
    """One Gymnasium environment under PufferLib's adapter."""
    import gymnasium
    from pufferlib.emulation import GymnasiumPufferEnv

    return GymnasiumPufferEnv(env_creator=partial(gymnasium.make, env_id), buf=buf, seed=seed)


def open_puffer(num_envs: int, env_id: str, num_workers: int) -> Stepper:
    """Gymnasium environments under pufferlib.vector's Multiprocessing."""
    import pufferlib.vector as vector

    envs = vector.make(partial(puffer_env, env_id), num_envs=num_envs, num_workers=num_workers,
                       batch_size=num_envs, backend=vector.Multiprocessing, overwork=True)
    return Stepper(envs.step, envs.reset, envs.close)


def open_native(num_envs: int, num_threads: int, assets: str) -> Stepper:
    """`LeRobotPuffer` in this process."""
    import numpy as np

    from lerobot_puffer.env import LeRobotPuffer
    from lerobot_puffer.tasks import make_task

    task = replace(make_task("lerobot_reach", assets), episode_length=EPISODE)
    env = LeRobotPuffer(task=task, num_envs=num_envs, num_threads=num_threads)
    env.reset(seed=0)
    # ages from 0 to 299, so that a step resets the same share of them at any time
    env.core.episode["steps"] = np.arange(num_envs) * EPISODE // num_envs
    return Stepper(env.step, None, env.close)


OPENERS = {"single": open_single, "async": open_async, "puffer": open_puffer,
           "native": open_native}


def measure(setting: Setting, seconds: float) -> float:
    """Environment steps per second of one block."""
    import numpy as np

    rng = np.random.default_rng(0)
    ring = rng.uniform(-1.0, 1.0, (64, setting.num_envs, 6)).astype(np.float32)
    stepper = OPENERS[setting.opener](setting.num_envs, **setting.options)
    if stepper.reset:
        stepper.reset()
    done, timed, elapsed, total = 0, 0, 0.0, 0.0
    while elapsed < seconds:
        begin = time.perf_counter()
        stepper.step(ring[done % len(ring)])
        duration = time.perf_counter() - begin
        done += 1
        total += duration
        if total > WARM_UP:
            elapsed += duration
            timed += 1
        if stepper.reset and done % EPISODE == 0:
            stepper.reset()
    stepper.close()
    return setting.num_envs * timed / elapsed


def work(side: str) -> None:
    """Answer every line of standard input, [setting number, seconds], with a rate."""
    answers = os.fdopen(os.dup(1), "w")
    # what a package prints must not look like an answer
    os.dup2(2, 1)
    if side == "reference":
        import lerobothackathonenv  # noqa: F401  registers its ids

    import mujoco
    print(json.dumps(mujoco.mj_versionString()), file=answers, flush=True)
    for line in sys.stdin:
        setting, seconds = json.loads(line)
        print(json.dumps(measure(Setting(**setting), seconds)), file=answers, flush=True)


def pip(*arguments: str) -> None:
    """Install into the reference's environment."""
    subprocess.run([str(REFERENCE / "bin" / "python"), "-m", "pip", "install", "-q",
                    "--disable-pip-version-check", *arguments], check=True)


def make_reference() -> str:
    """Make the reference's environment unless it is there; return its Python."""
    stamp = REFERENCE / "installed.json"
    wanted = json.dumps([PACKAGES, WITHOUT_DEPENDENCIES])
    if not stamp.is_file() or stamp.read_text() != wanted:
        sys.path.insert(0, str(ROOT / "tools"))
        import install

        print(f"making {REFERENCE.relative_to(ROOT)} (minutes the first time)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(REFERENCE)], check=True)
        pip(*PACKAGES)
        wheel = install.pufferlib_wheel(f"{sys.version_info.major}.{sys.version_info.minor}")
        pip("--no-deps", str(wheel), *WITHOUT_DEPENDENCIES)
        stamp.write_text(wanted)
    return str(REFERENCE / "bin" / "python")


@contextmanager
def workers() -> Iterator[tuple[Callable[[Setting, float], float], dict[str, str]]]:
    """Start both sides; yield a function that measures, and their MuJoCo versions."""
    processes = {}
    for side, python in (("reference", make_reference()), ("ours", sys.executable)):
        # nothing is drawn; one BLAS thread, as numpy has nothing to share out here
        env = os.environ | {"MUJOCO_GL": "disable", "OMP_NUM_THREADS": "1"}
        processes[side] = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--worker", side], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REFERENCE)

    def answer(side: str) -> Any:
        line = processes[side].stdout.readline()
        if not line:
            raise SystemExit(f"the worker of {side} ended with {processes[side].wait()}")
        return json.loads(line)

    def ask(setting: Setting, seconds: float) -> float:
        print(json.dumps([setting.__dict__, seconds]), file=processes[setting.side].stdin,
              flush=True)
        return answer(setting.side)

    try:
        yield ask, {side: answer(side) for side in processes}
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait()


def settings(vector_envs: list[int], native_envs: int, threads: int) -> list[Setting]:
    """What is compared; the first is what the others are divided by."""
    found = [Setting("reference", "reference, one environment", "single", 1, {"env_id": GYM_ID})]
    for n in vector_envs:
        found.append(Setting("reference", "reference, AsyncVectorEnv", "async", n,
                             {"env_id": GYM_ID}))
    for n in vector_envs:
        found.append(Setting("reference", f"reference, PufferLib, {threads} workers", "puffer", n,
                             {"env_id": GYM_ID, "num_workers": min(n, threads)}))
    ours = {"env_id": f"lerobot_puffer/{GYM_ID}", "assets": "reference"}
    found.append(Setting("ours", "ours, its scene, one Gymnasium environment", "single", 1, ours))
    for assets, scene in (("reference", "its scene"), ("native", "native scene")):
        for count in sorted({1, threads}):
            found.append(Setting("ours", f"ours, {scene}, {count} threads".replace(
                "1 threads", "1 thread"), "native", native_envs,
                {"num_threads": count, "assets": assets}))
    return found


def table(rows: list[dict]) -> str:
    """The Markdown table."""
    lines = ["| | environments | steps/s, median | lowest to highest | over the first |",
             "|---|---:|---:|---:|---:|"]
    for row in rows:
        low, high = row["range"]
        lines.append(f"| {row['label']} | {row['num_envs']} | {row['steps_per_second']:,} | "
                     f"{low:,} to {high:,} | {row['ratio']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison, or one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of one block")
    parser.add_argument("--repeats", type=int, default=5, help="blocks of every setting")
    parser.add_argument("--vector-envs", default="4,16",
                        help="environments of AsyncVectorEnv and PufferLib")
    parser.add_argument("--native-envs", type=int, default=256)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--worker", choices=("reference", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker)
        return
    from lerobot_puffer.bench import cpu, versions

    compared = settings([int(n) for n in args.vector_envs.split(",")], args.native_envs,
                        args.threads)
    rates: list[list[float]] = [[] for _ in compared]
    with workers() as (ask, mujoco_versions):
        for repeat in range(args.repeats):
            for setting, found in zip(compared, rates, strict=True):
                found.append(ask(setting, args.seconds))
                print(f"{repeat + 1}/{args.repeats} {setting.label}, {setting.num_envs}: "
                      f"{found[-1]:,.0f}", file=sys.stderr)
    rows = [
        {"label": setting.label, "num_envs": setting.num_envs,
         "steps_per_second": round(statistics.median(found)),
         "range": [round(min(found)), round(max(found))],
         "ratio": statistics.median(a / b for a, b in zip(found, rates[0], strict=True))}
        for setting, found in zip(compared, rates, strict=True)
    ]
    result = {"rows": rows, "mujoco": mujoco_versions, "versions": versions(), "cpu": cpu(),
              "repeats": args.repeats, "seconds": args.seconds,
              "command": " ".join(["python", *sys.argv])}
    print(table(rows))
    print(f"\n{result['cpu']}; MuJoCo {mujoco_versions['reference']} (reference) and "
          f"{mujoco_versions['ours']} (ours); {args.repeats} blocks of {args.seconds:g} s in turn; "
          f"`{result['command']}`")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
