"""Training with PuffeRL, PufferLib's trainer: options in, a checkpoint out.

`options.py` has the options, `policy.py` the policy, `evaluate.py` judges the result. The loop is
the one of `pufferlib.pufferl.train`, which cannot stop early or on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# the optimizer imports it at its first use, which would count as a second of training
import torch._dynamo

from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.env import LeRobotPuffer
from lerobot_puffer.evaluate import evaluate
from lerobot_puffer.options import Options, load_options, section
from lerobot_puffer.policy import PolicyShape, make_policy
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Task


def _import_pufferl() -> None:
    """Import PuffeRL without what its import does to the process.

    It makes every RuntimeWarning an error, replaces the exception hook, and ends the process
    without a word on Ctrl-C.
    """
    hook, in_main = sys.excepthook, threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    with warnings.catch_warnings():
        from pufferlib import pufferl
    sys.excepthook = hook
    if in_main:
        signal.signal(signal.SIGINT, handler)
    # pufferl asks whether nvcc is on PATH, not whether the kernel was built for a GPU
    pufferl.ADVANTAGE_CUDA = torch._C._dispatch_has_kernel_for_dispatch_key(
        "pufferlib::compute_puff_advantage", "CUDA")


_import_pufferl()

import pufferlib.vector  # noqa: E402
from pufferlib import pufferl  # noqa: E402

# the episodes of the checks are neither those of training nor those of `evaluate`
CHECK_SEED = 2_000_000


@dataclass(frozen=True)
class Training:
    """What a training ended with.

    Attributes:
      checkpoint: file of the policy.
      steps: environment steps.
      seconds: wall time of rollouts, learning and checks, without imports.
      rollout_seconds, learn_seconds: parts of it.
      success_rate: in the latest rollouts, with the policy's noise; None where no episode ended.
      reached: the target success rate was reached on fresh episodes.
      interrupted: ended by Ctrl-C.
    """

    checkpoint: Path
    steps: int
    seconds: float
    rollout_seconds: float
    learn_seconds: float
    success_rate: float | None
    reached: bool
    interrupted: bool


def train(task: str | Task = "reach", changes: Mapping[str, object] | None = None,
          folder: str | Path | None = None, quiet: bool = False) -> Training:
    """Train a policy.

    Args:
      task: a registered task's name, or a Task.
      changes: options that differ from the task's, e.g. `{"train.total_timesteps": 20_000}`.
      folder: where `policy.pt` and `log.jsonl` go; by default a new one under train.data_dir.
      quiet: print nothing.

    Raises:
      ValueError: an option is unknown or does not fit.
    """
    name = task.name if isinstance(task, Task) else task
    options = load_options(name, changes)
    config = section(options, "train")
    if str(config["device"]).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but torch sees no GPU; use --train.device cpu")
    if folder is None:
        folder = Path(str(config["data_dir"])) / name / time.strftime("%Y%m%d-%H%M%S")
    threads = torch.get_num_threads()
    torch.set_num_threads(int(config["torch_threads"]))
    try:
        # before the workers fork: they inherit the handler and outlive a Ctrl-C for the checkpoint
        with _interrupts(quiet) as interrupts, warnings.catch_warnings():
            # PuffeRL asks for CUDA's mixed precision on every device
            warnings.filterwarnings("ignore", message=".*Disabling autocast.*")
            return _Run(task, options, Path(folder), quiet).run(interrupts)
    except pufferlib.APIUsageError as error:
        raise ValueError(f"PufferLib: {error}") from error
    finally:
        torch.set_num_threads(threads)


class Trainer(pufferl.PuffeRL):
    """PuffeRL with our checkpoints, and lines of text where its dashboard has no terminal."""

    def __init__(self, config: dict, env: Any, policy: torch.nn.Module, logger: Any,
                 save: Callable[[Trainer], Path], quiet: bool) -> None:
        self.save, self.quiet, self.last_line = save, quiet, 0.0
        super().__init__(config, env, policy, logger)
        if not str(config["device"]).startswith("cuda"):
            self.amp_context = contextlib.nullcontext()

    def save_checkpoint(self) -> str:
        """Write the checkpoint, as PuffeRL asks for it every `checkpoint_interval` updates."""
        return str(self.save(self))

    def print_dashboard(self, *args: Any, **kwargs: Any) -> None:
        """PuffeRL's dashboard on a terminal; elsewhere a line every two seconds."""
        if self.quiet:
            return
        if sys.stdout.isatty():
            super().print_dashboard(*args, **kwargs)
        elif self.global_step and time.time() - self.last_line > 2:
            self.last_line = time.time()
            success = self.stats.get("success_rate")
            print(f"{self.global_step:>12,} steps {self.sps:>9,.0f}/s"
                  + (f"   success {success:.3f}" if success is not None else ""), flush=True)

    def close(self) -> None:
        """Stop the environment, the workers and the dashboard's thread."""
        self.utilization.stop()
        self.vecenv.close()


class _JsonLogger:
    """PuffeRL's logger interface; a JSON object a log in `log.jsonl`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run_id = path.parent.name
        self.file = path.open("w", encoding="utf-8")

    def log(self, logs: dict, step: int) -> None:
        self.file.write(json.dumps({key: float(value) for key, value in logs.items()}) + "\n")
        self.file.flush()

    def close(self, model_path: str) -> None:
        self.file.close()


class _Run:
    """One training: what its parts share."""

    def __init__(self, task: str | Task, options: Options, folder: Path, quiet: bool) -> None:
        self.options, self.folder, self.quiet = options, folder, quiet
        self.config = section(options, "train")
        env = section(options, "env")
        self.origin = {name: env[name] for name in ("assets", "goal", "options")}
        self.task = make_task(task, **self.origin)
        # a Task carries its own assets, goal and options
        self.env = {key: value for key, value in env.items() if key not in self.origin}
        self.env["task"] = self.task
        self.origin["name"] = self.task.name
        self.success_rate: float | None = None
        self.recent = 0.0
        self.next_check = 0.0

    def run(self, interrupts: list) -> Training:
        """Train until the budget, the target or Ctrl-C ends it."""
        start = time.perf_counter()
        torch.manual_seed(int(self.config["seed"]))
        vecenv = pufferlib.vector.make(LeRobotPuffer, env_kwargs=self.env,
                                       **section(self.options, "vec"))
        try:
            trainer = self._trainer(vecenv)
        except BaseException:
            # workers would outlive this process
            vecenv.close()
            raise
        rollout = learn = 0.0
        reached = False
        try:
            while trainer.global_step < self.config["total_timesteps"]:
                known = len(trainer.stats.get("n", ()))
                tick = time.perf_counter()
                stats = trainer.evaluate()
                tock = time.perf_counter()
                # PuffeRL's own means depend on the clock, and a run must not
                for n, rate in zip(stats.get("n", ()), stats.get("success_rate", ()), strict=True):
                    known -= 1
                    if known < 0:
                        self._note(n, rate)
                trainer.train()
                rollout, learn = rollout + tock - tick, learn + time.perf_counter() - tock
                reached = self._reached(trainer)
                if reached or interrupts:
                    break
            path = self._save(trainer)
            trainer.logger.close(str(path))
        finally:
            trainer.close()
        return Training(
            checkpoint=path, steps=trainer.global_step, seconds=time.perf_counter() - start,
            rollout_seconds=rollout, learn_seconds=learn, success_rate=self.success_rate,
            reached=reached, interrupted=bool(interrupts))

    def _trainer(self, vecenv: Any) -> Trainer:
        driver = vecenv.driver_env
        self.interface = checkpoints.interface(driver.compiled)
        rnn = section(self.options, "rnn") if self._uses_rnn() else None
        self.shape = PolicyShape(
            nobs=int(driver.single_observation_space.shape[0]),
            naction=int(driver.single_action_space.shape[0]),
            options=section(self.options, "policy"), rnn=rnn)
        policy = make_policy(self.shape)
        self._load_weights(policy)
        # PuffeRL reads it for the LSTM; PufferEnv has it misspelt
        if not hasattr(vecenv, "agents_per_batch"):
            vecenv.agents_per_batch = vecenv.num_agents
        return Trainer(
            self.config | {"env": self.task.name, "use_rnn": rnn is not None}, vecenv,
            policy.to(str(self.config["device"])), self._logger(), self._save, self.quiet)

    def _uses_rnn(self) -> bool:
        name = self.options["rnn_name"]
        if name not in (None, "LSTMWrapper"):
            raise ValueError(f"rnn_name must be None or LSTMWrapper, got {name!r}")
        return name is not None

    def _load_weights(self, policy: torch.nn.Module) -> None:
        path = self.options["load_model_path"]
        if path is None:
            return
        if path == "latest":
            path = checkpoints.find_newest(self.task.name, str(self.config["data_dir"]))
        stored = checkpoints.load(str(path))
        checkpoints.match(stored, self.task)
        if stored.shape != self.shape:
            raise ValueError(f"the policy of {path} is {stored.shape}, that of this training "
                             f"{self.shape}")
        policy.load_state_dict(stored.weights)

    def _logger(self) -> Any:
        if self.options["neptune"]:
            return pufferl.NeptuneLogger(self.options)
        if self.options["wandb"]:
            # the id that PufferLib would make comes from a function that wandb no longer has
            return pufferl.WandbLogger(self.options, load_id=f"{self.task.name}-{self.folder.name}")
        return _JsonLogger(self.folder / "log.jsonl")

    def _note(self, n: float, success_rate: float) -> None:
        """Average the success over the latest five or so infos, which have few episodes each."""
        self.recent = 0.8 * self.recent + n
        last = success_rate if self.success_rate is None else self.success_rate
        self.success_rate = last + (success_rate - last) * n / self.recent

    def _reached(self, trainer: Trainer) -> bool:
        """Whether the mean action has the target success on fresh episodes."""
        target = float(self.config["target_success"])
        # until every environment has seen a time limit, only successes have ended
        seen = 2 * self.task.episode_length * trainer.total_agents
        if not target or (self.success_rate or 0) < target or (
                trainer.global_step < max(seen, self.next_check)):
            return False
        self.next_check = 1.15 * trainer.global_step
        checked = evaluate(
            self.task, trainer.uncompiled_policy, device=str(self.config["device"]),
            episodes=int(self.config["check_episodes"]),
            seed=CHECK_SEED + int(self.config["seed"]), at_least=target)
        return checked.success_rate >= target

    def _save(self, trainer: Trainer) -> Path:
        path = self.folder / "policy.pt"
        weights = trainer.uncompiled_policy.state_dict()
        checkpoints.save(path, checkpoints.Checkpoint(
            task=self.origin, interface=self.interface, shape=self.shape,
            weights={key: value.detach().cpu().clone() for key, value in weights.items()},
            steps=trainer.global_step, seed=int(self.config["seed"]),
            success_rate=None if self.success_rate is None else float(self.success_rate),
            options=self.options, versions=checkpoints.versions()))
        return path


@contextlib.contextmanager
def _interrupts(quiet: bool) -> Iterator[list]:
    """A list that Ctrl-C fills instead of raising; the second one raises KeyboardInterrupt."""
    seen: list = []

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)
        if not quiet:
            print("\nCtrl-C: stopping after this update (again: at once)", flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    previous = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, previous)
