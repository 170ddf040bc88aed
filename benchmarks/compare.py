"""What the comparisons with other packages share: their environments, workers, turns and tables.

Every side runs in a Python of its own: the others in .cache/venvs, which `make_venv` fills from
the package index, ours in the one that starts the script (`make install` makes it). A script
starts itself once a side with `--worker SIDE` (`workers`, `serve`), has the settings take turns in
blocks (`race`) and prints what was found (`report`). `reference.py`,
`rendering.py` and `so101_nexus.py` do.

Environments stay open from block to block, so that after the first they are measured in the
middle of their episodes. Nothing is imported at the top but the standard library: the other
sides' Pythons have neither this package nor its dependencies.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".cache" / "venvs"
OURS = "ours"
WARM_UP = 0.1  # s before each block, for the caches
RING = 64  # uniform actions drawn beforehand


@dataclass(frozen=True)
class Side:
    """One of the packages that are compared.

    Attributes:
      name: its folder in .cache/venvs.
      packages: what pip installs there.
      without_dependencies: what it installs after that with --no-deps.
      pythons: versions that the packages run on.
      pufferlib: whether this project's wheel of pufferlib goes in as well.
      shown: distributions whose versions the report names.
    """

    name: str
    packages: tuple[str, ...]
    without_dependencies: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ("3.11", "3.12")
    pufferlib: bool = False
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One way of stepping.

    Attributes:
      table: heading of the table that it belongs to.
      side: name of the side that runs it, `OURS` for this package.
      label: row of the table.
      opener: name of the script's function that makes the environments.
      num_envs: how many.
      options: further arguments of the opener.
      reopen: close the environments after each block, where idle ones would use the processor.
    """

    table: str
    side: str
    label: str
    opener: str
    num_envs: int
    options: dict
    reopen: bool = False


@dataclass
class Stepper:
    """Open environments.

    Attributes:
      step: takes one of `actions`.
      actions: (k, num_envs, n), which the steps go through again and again.
      reset: starts all episodes anew; None where the environments do it themselves.
      close: frees them.
      settle: steps before the first block.
      episode: steps between two calls of `reset`, which are not timed.
    """

    step: Callable[[Any], Any]
    actions: Any
    reset: Callable[[], Any] | None
    close: Callable[[], Any]
    settle: int = 0
    episode: int = 300
    done: int = 0

    def timed(self) -> float:
        """Seconds of the next step."""
        begin = time.perf_counter()
        self.step(self.actions[self.done % len(self.actions)])
        seconds = time.perf_counter() - begin
        self.done += 1
        if self.reset and self.done % self.episode == 0:
            self.reset()
        return seconds

    def rate(self, seconds: float) -> float:
        """Environment steps per second of one block."""
        while self.done < self.settle:
            self.timed()
        warm = elapsed = 0.0
        while warm < WARM_UP:
            warm += self.timed()
        steps = 0
        while elapsed < seconds:
            elapsed += self.timed()
            steps += 1
        return len(self.actions[0]) * steps / elapsed


def uniform(num_envs: int, low: Any, high: Any) -> Any:
    """Actions uniform between `low` and `high`, numbers or (n,): (RING, num_envs, n) float32."""
    import numpy as np

    low, high = np.broadcast_arrays(low, high)
    drawn = np.random.default_rng(0).uniform(low, high, (RING, num_envs, *low.shape))
    return np.ascontiguousarray(drawn, np.float32)


def open_native(num_envs: int, num_threads: int, task: Any, episode: int = 300,
                actions: Any = None) -> Stepper:
    """`LeRobotPuffer` in this process, its episodes cut to `episode` steps.

    Args:
      num_envs: simulations.
      num_threads: threads that step them.
      task: a `Task`.
      episode: steps; the simulations' ages are spread over them, so that a step resets the same
        share of them at any time.
      actions: as `Stepper.actions`; uniform in the action space where None.
    """
    import numpy as np

    from lerobot_puffer.env import LeRobotPuffer

    env = LeRobotPuffer(task=replace(task, episode_length=episode), num_envs=num_envs,
                        num_threads=num_threads)
    env.reset(seed=0)
    env.core.episode["steps"] = np.arange(num_envs) * episode // num_envs
    if actions is None:
        space = env.single_action_space
        actions = uniform(num_envs, space.low, space.high)
    return Stepper(env.step, actions, None, env.close, settle=episode)


def serve(sides: tuple[Side, ...], openers: Mapping[str, Callable[..., Any]]) -> bool:
    """Be a worker where `workers` started this process; return whether it did.

    It answers every line of standard input, [setting, seconds], with a rate; with null in place of
    the seconds, with the return value of the setting's opener. The first line it writes has the
    versions of the side's distributions.
    """
    if sys.argv[1:2] != ["--worker"]:
        return False
    # a script may have the name of the package that it measures
    sys.path.remove(str(Path(__file__).resolve().parent))
    shown = {side.name: side.shown for side in sides}.get(sys.argv[2], ())
    answers = os.fdopen(os.dup(1), "w")
    # what a package prints must not look like an answer
    os.dup2(2, 1)
    found = {name: metadata.version(name) for name in shown}
    print(json.dumps({"python": sys.version.split()[0]} | found), file=answers, flush=True)
    steppers: dict[str, Stepper] = {}
    for line in sys.stdin:
        fields, seconds = json.loads(line)
        setting = Setting(**fields)
        arguments = {"num_envs": setting.num_envs} | setting.options
        if seconds is None:
            print(json.dumps(openers[setting.opener](**arguments)), file=answers, flush=True)
            continue
        key = json.dumps(fields)
        if key not in steppers:
            steppers[key] = openers[setting.opener](**arguments)
        print(json.dumps(steppers[key].rate(seconds)), file=answers, flush=True)
        if setting.reopen:
            steppers.pop(key).close()
    for stepper in steppers.values():
        stepper.close()
    return True


def make_venv(side: Side) -> str:
    """Make a side's environment unless it is there as wanted; return its Python.

    Raises:
      SystemExit: there is no Python for it, or pip failed; the message says which and how.
    """
    sys.path.insert(0, str(ROOT / "tools"))
    import install

    folder = VENVS / side.name
    python = str(folder / "bin" / "python")
    stamp = folder / "installed.json"
    wanted = json.dumps([side.packages, side.without_dependencies, side.pythons, side.pufferlib])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    try:
        with redirect_stdout(sys.stderr):
            base = install.find_python(side.pythons)
            install.run(f"{folder.relative_to(ROOT)} from {base}",
                        [base, "-m", "venv", "--clear", str(folder)])
            install.run(f"{side.name} and what it needs (minutes the first time)",
                        install.pip(folder, "install", "-q", *side.packages))
            rest = list(side.without_dependencies)
            if side.pufferlib:
                rest.append(str(install.pufferlib_wheel(install.probe(python)[0])))
            if rest:
                install.run(" ".join(rest), install.pip(folder, "install", "--no-deps", *rest))
    except install.InstallError as error:
        raise SystemExit(f"{error}\n{folder.relative_to(ROOT)} was not made") from None
    stamp.write_text(wanted)
    return python


class Workers:
    """The running sides; ask them for rates or values.

    Attributes:
      versions: of each side, by name of the distribution.
    """

    def __init__(self, processes: dict[str, subprocess.Popen]) -> None:
        self.processes = processes
        self.versions = {side: self._answer(side) for side in processes}

    def _answer(self, side: str) -> Any:
        line = self.processes[side].stdout.readline()
        if not line:
            raise SystemExit(f"the worker of {side} ended with {self.processes[side].wait()}")
        return json.loads(line)

    def ask(self, setting: Setting, seconds: float | None = None) -> Any:
        """The rate of one block; without `seconds` the return value of the setting's opener."""
        print(json.dumps([asdict(setting), seconds]), file=self.processes[setting.side].stdin,
              flush=True)
        return self._answer(setting.side)


@contextmanager
def workers(script: str, sides: tuple[Side, ...], gl: str = "disable") -> Iterator[Workers]:
    """Start this package's worker and those of the other sides; end them afterwards.

    Args:
      script: the file that they run.
      sides: the other packages.
      gl: their MUJOCO_GL; nothing is drawn by default.
    """
    pythons = {OURS: sys.executable} | {side.name: make_venv(side) for side in sides}
    # one BLAS thread, as numpy has nothing to share out here
    env = os.environ | {"MUJOCO_GL": gl, "OMP_NUM_THREADS": "1"}
    foreign = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    processes = {
        name: subprocess.Popen(
            [python, str(Path(script).resolve()), "--worker", name], text=True, cwd=VENVS,
            env=env if name == OURS else foreign, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name, python in pythons.items()
    }
    try:
        yield Workers(processes)
    finally:
        for process in processes.values():
            process.stdin.close()
        for process in processes.values():
            process.wait()


def race(running: Workers, settings: list[Setting], repeats: int, seconds: float) -> list[dict]:
    """Measure every setting `repeats` times, in turns.

    Returns:
      A row a setting: its label, number of environments, median rate, (lowest, highest), and the
      median over the repeats of its rate over the one of the table's fastest other package.
    """
    rates: list[list[float]] = [[] for _ in settings]
    for repeat in range(repeats):
        for setting, found in zip(settings, rates, strict=True):
            found.append(running.ask(setting, seconds))
            print(f"{repeat + 1}/{repeats} {setting.table}: {setting.label}, {setting.num_envs}: "
                  f"{found[-1]:,.0f}", file=sys.stderr)
    medians = [statistics.median(found) for found in rates]
    best: dict[str, int] = {}
    for i, setting in enumerate(settings):
        j = best.get(setting.table)
        if setting.side != OURS and (j is None or medians[i] > medians[j]):
            best[setting.table] = i
    return [
        {"table": setting.table, "label": setting.label, "num_envs": setting.num_envs,
         "steps_per_second": round(median), "range": [round(min(found)), round(max(found))],
         "ratio": statistics.median(
             a / b for a, b in zip(found, rates[best[setting.table]], strict=True))}
        for setting, found, median in zip(settings, rates, medians, strict=True)
    ]


def tables(rows: list[dict]) -> str:
    """The Markdown tables."""
    lines: list[str] = []
    for heading in dict.fromkeys(row["table"] for row in rows):
        lines += [f"\n**{heading}**\n",
                  "| | environments | steps/s, median | lowest to highest | over their best |",
                  "|---|---:|---:|---:|---:|"]
        for row in rows:
            if row["table"] == heading:
                low, high = row["range"]
                lines.append(f"| {row['label']} | {row['num_envs']} "
                             f"| {row['steps_per_second']:,} | {low:,} to {high:,} "
                             f"| {row['ratio']:.2f} |")
    return "\n".join(lines)


def threads_text(count: int) -> str:
    """"1 thread", "2 threads"."""
    return f"{count} thread{'s' * (count > 1)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every comparison has."""
    parser.add_argument("--seconds", type=float, default=1.0, help="of one block")
    parser.add_argument("--repeats", type=int, default=5, help="blocks of every setting")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="most threads or processes of a setting")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def report(args: argparse.Namespace, versions: dict[str, dict], result: dict[str, Any]) -> None:
    """Print the tables of `result["rows"]` and what they were measured with; write the JSON file.

    Args:
      args: the parsed options of `add_arguments`.
      versions: of each side, as `Workers.versions`.
      result: what to write; "notes", texts, are printed below the tables.
    """
    from lerobot_puffer import bench

    result |= {"versions": versions | {OURS: bench.versions()}, "cpu": bench.cpu(),
               "repeats": args.repeats, "seconds": args.seconds,
               "command": " ".join(["python", *sys.argv])}
    print(tables(result["rows"]))
    for note in result.get("notes", ()):
        print(f"\n{note}")
    print(f"\n{args.repeats} blocks of {args.seconds:g} s in turn; {result['cpu']}; "
          f"`{result['command']}`")
    for side, found in result["versions"].items():
        print(f"\n{side}: " + ", ".join(f"{name} {version}" for name, version in found.items()))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
