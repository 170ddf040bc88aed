"""Training with PuffeRL, PufferLib's trainer: options in, a checkpoint out.

`options.py` has the options, `policy.py` the policy, `trainer.py` the trainer, `evaluate.py`
judges the result. The loop is the one of `pufferlib.pufferl.train`, which cannot stop early, on
Ctrl-C or at the same step in several processes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.env import LeRobotPuffer
from lerobot_puffer.evaluate import evaluate
from lerobot_puffer.options import Options, load_options, section
from lerobot_puffer.policy import MeanActor, Normalizer, PolicyShape, make_policy
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Task
from lerobot_puffer.trainer import Trainer, World, make_loggers, parallel, world

# pufferlib's import has side effects, which env.py and trainer.py undo
import pufferlib.vector  # isort: skip

# the episodes of the checks are neither those of training nor those of `evaluate`
CHECK_SEED = 2_000_000
# between the processes of a training: PufferLib's workers count up from each process's seed
_SEEDS_APART = 100_000
# beside policy.pt: what `resume` needs; runs from before "recent" have none
_STATE = "trainer.pt"
_STATE_NAMES = {"optimizer", "epoch", "steps", "best", "success_rate"}


@dataclass(frozen=True)
class Training:
    """What a training ended with.

    Attributes:
      checkpoint: file of the last policy; `best.pt` beside it had the highest success rate of
        those that were stored on the way.
      steps: environment steps of all processes.
      seconds: wall time of rollouts, learning and checks, without imports.
      rollout_seconds, learn_seconds: parts of it.
      success_rate: in the latest rollouts, with the policy's noise; None where no episode ended.
      reached: the target success rate was reached on fresh episodes.
      interrupted: ended by Ctrl-C.
      rank: of this process; 0 wrote the files.
    """

    checkpoint: Path
    steps: int
    seconds: float
    rollout_seconds: float
    learn_seconds: float
    success_rate: float | None
    reached: bool
    interrupted: bool
    rank: int = 0


def train(task: str | Task = "reach", changes: Mapping[str, object] | None = None,
          folder: str | Path | None = None, quiet: bool = False) -> Training:
    """Train a policy.

    Args:
      task: a registered task's name, or a Task.
      changes: options that differ from the task's, e.g. `{"train.total_timesteps": 20_000}`.
      folder: where `policy.pt`, `best.pt`, `trainer.pt` and `log.jsonl` go; by default a new one
        under train.data_dir, or the one that is resumed.
      quiet: print nothing.

    Raises:
      ValueError: an option is unknown or does not fit, or the run to resume has all its steps.
    """
    name = task.name if isinstance(task, Task) else task
    options = load_options(name, changes)
    resumed = _find_resumed(name, options)
    state = None
    if resumed is not None:
        stored = checkpoints.load(resumed)
        options = load_options(name, stored.options | dict(changes or {}))
        folder = folder or resumed.parent
        state = _read_state(resumed, int(options["train.total_timesteps"]))
    config = section(options, "train")
    if str(config["device"]).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("train.device is cuda, but torch sees no GPU; use --train.device cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(int(config["torch_threads"]))
    try:
        # before the workers fork: they inherit the handler and outlive a Ctrl-C for the checkpoint
        with world() as processes, _interrupts(quiet) as interrupts, warnings.catch_warnings():
            # PuffeRL asks for CUDA's mixed precision on every device
            warnings.filterwarnings("ignore", message=".*Disabling autocast.*")
            given = None if folder is None else Path(folder)
            run = _Run(task, options, given, quiet, processes)
            return run.run(interrupts, resumed, state)
    except pufferlib.APIUsageError as error:
        raise ValueError(f"PufferLib: {error}") from error
    finally:
        torch.set_num_threads(threads)


class _Run:
    """One training: what its parts share."""

    def __init__(self, task: str | Task, options: Options, given: Path | None, quiet: bool,
                 processes: World) -> None:
        if not isinstance(options["env.randomize"], (str, bool, type(None))):
            raise ValueError("env.randomize must be a preset's name, True or False, got "
                             f"{options['env.randomize']!r}; give terms to the Task's own "
                             "`randomize`")
        # the checkpoint stores them
        self.options = {key: checkpoints.basic(key, value) for key, value in options.items()}
        self.given, self.quiet = given, quiet
        self.world = processes
        self.config = section(options, "train")
        # a process does its share, on episodes of its own
        self.config["total_timesteps"] = -(-self.config["total_timesteps"] // processes.size)
        self.config["seed"] += _SEEDS_APART * processes.rank
        env = section(options, "env")
        self.origin = {name: self.options[f"env.{name}"] for name in ("assets", "goal", "options")}
        self.task = make_task(task, **self.origin, randomize=env.pop("randomize"))
        # a Task carries its own assets, goal and options
        self.env = {key: value for key, value in env.items() if key not in self.origin}
        self.env["task"] = self.task
        self.origin["name"] = self.task.name
        self.success_rate: float | None = None
        self.best = -1.0
        self.recent = 0.0
        self.next_check = 0.0

    def run(self, interrupts: list, resumed: Path | None, state: dict | None) -> Training:
        """Train until the budget, the target or Ctrl-C ends it."""
        start = time.perf_counter()
        torch.manual_seed(int(self.config["seed"]))
        vecenv = pufferlib.vector.make(LeRobotPuffer, env_kwargs=self.env,
                                       **section(self.options, "vec"))
        try:
            trainer = self._trainer(vecenv, resumed, state)
        except BaseException:
            # workers would outlive this process
            vecenv.close()
            raise
        rollout = learn = 0.0
        ended = reached = False
        try:
            if resumed is not None and state is not None:
                trainer.resume(state)
                self.success_rate, self.recent = state["success_rate"], state.get("recent", 0.0)
                if self.given is not None and self.given.resolve() == resumed.parent.resolve():
                    self.best = state["best"]
            # after everything that can refuse the options: a failed start leaves no files
            self.folder = self._folder()
            trainer.logger = make_loggers(self.options, self.task.name, self.folder, self.world)
            while not ended:
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
                if self.normalizer is not None:
                    # after learning, which compares with what the rollout saw
                    self.normalizer.update(trainer.observations, self.world)
                rollout, learn = rollout + tock - tick, learn + time.perf_counter() - tock
                reached = self.world.share(self.world.rank == 0 and self._reached(trainer))
                # workers may be a few steps ahead in one process: it waits for no other's gradients
                ended = reached or self.world.agree(
                    bool(interrupts) or trainer.global_step >= self.config["total_timesteps"])
            path = self._save(trainer)
            trainer.logger.close(str(path))
        finally:
            trainer.close()
        return Training(
            checkpoint=path, steps=trainer.steps, seconds=time.perf_counter() - start,
            rollout_seconds=rollout, learn_seconds=learn, success_rate=self.success_rate,
            reached=reached, interrupted=bool(interrupts), rank=self.world.rank)

    def _trainer(self, vecenv: Any, resumed: Path | None, state: dict | None) -> Trainer:
        driver = vecenv.driver_env
        self.interface = checkpoints.interface(driver.compiled)
        rnn = section(self.options, "rnn") if self._uses_rnn() else None
        self.shape = PolicyShape(
            nobs=int(driver.single_observation_space.shape[0]),
            naction=int(driver.single_action_space.shape[0]),
            options=section(self.options, "policy"), rnn=rnn)
        self.policy = policy = make_policy(self.shape)
        self.normalizer = next(
            (part for part in policy.modules() if isinstance(part, Normalizer)), None)
        self._load_weights(policy, resumed or self._initial())
        # PuffeRL reads it for the LSTM; PufferEnv has it misspelt
        if not hasattr(vecenv, "agents_per_batch"):
            vecenv.agents_per_batch = vecenv.num_agents
        batch = self.config["batch_size"]
        if batch == "auto":
            batch = vecenv.num_agents * int(self.config["bptt_horizon"])
        if self.config["total_timesteps"] < batch:
            raise ValueError(f"train.total_timesteps must be at least one batch, {batch} steps, "
                             f"got {self.config['total_timesteps']} a process; a batch is "
                             "env.num_envs times train.bptt_horizon")
        config = self.config | {"env": self.task.name, "use_rnn": rnn is not None}
        if state is not None:
            # other episodes than those of the first part
            config["seed"] += state["epoch"]
        return Trainer(
            config, vecenv, parallel(policy.to(str(self.config["device"])), self.world),
            self._save, self.quiet, self.world)

    def _folder(self) -> Path:
        """The given folder, or a new one that process 0 makes."""
        folder = self.given
        if folder is None and self.world.rank == 0:
            folder = _new_folder(Path(str(self.config["data_dir"])) / self.task.name)
        return self.world.share(folder)

    def _uses_rnn(self) -> bool:
        name = self.options["rnn_name"]
        if name not in (None, "LSTMWrapper"):
            raise ValueError(f"rnn_name must be None or LSTMWrapper, got {name!r}")
        return name is not None

    def _initial(self) -> Path | None:
        path = self.options["load_model_path"]
        if path == "latest":
            return checkpoints.find_newest(self.task.name, str(self.config["data_dir"]))
        return None if path is None else Path(str(path))

    def _load_weights(self, policy: torch.nn.Module, path: Path | None) -> None:
        if path is None:
            return
        stored = checkpoints.load(path)
        checkpoints.match(stored, self.task)
        if stored.shape != self.shape:
            raise ValueError(f"the policy of {path} is {stored.shape}, that of this training "
                             f"{self.shape}")
        policy.load_state_dict(stored.weights)

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
            self.task, partial(MeanActor, self.policy, device=str(self.config["device"])),
            episodes=int(self.config["check_episodes"]),
            seed=CHECK_SEED + int(self.config["seed"]), at_least=target)
        return checked.success_rate >= target

    def _save(self, trainer: Trainer) -> Path:
        path = self.folder / "policy.pt"
        if self.world.rank:
            return path
        weights = self.policy.state_dict()
        checkpoint = checkpoints.Checkpoint(
            task=self.origin, interface=self.interface, shape=self.shape,
            weights={key: value.detach().cpu().clone() for key, value in weights.items()},
            steps=trainer.steps, seed=int(self.config["seed"]),
            success_rate=None if self.success_rate is None else float(self.success_rate),
            options=self.options, versions=checkpoints.versions())
        checkpoints.save(path, checkpoint)
        if (self.success_rate or 0) >= self.best:
            self.best = self.success_rate or 0.0
            checkpoints.save(path.with_name("best.pt"), checkpoint)
        checkpoints.write(path.with_name(_STATE), trainer.state_dict() | {
            "best": self.best, "success_rate": checkpoint.success_rate,
            "recent": float(self.recent)})
        return path


def _find_resumed(task: str, options: Options) -> Path | None:
    """The checkpoint of the run that `resume` names: its folder, or "latest"."""
    name = options["resume"]
    if name is None:
        return None
    if name == "latest":
        path = checkpoints.find_newest(task, str(options["train.data_dir"]))
    else:
        path = Path(str(name)) / "policy.pt" if Path(str(name)).is_dir() else Path(str(name))
    if path.name != "policy.pt":
        raise ValueError(f"resume goes on with a run's folder or its policy.pt, got {path}. "
                         "Weights alone: load_model_path")
    state = path.with_name(_STATE)
    if not state.is_file():
        raise ValueError(f"resume goes on with a run's folder, which has policy.pt and {_STATE}; "
                         f"there is no {state}. Weights alone: load_model_path")
    return path


def _read_state(resumed: Path, budget: int) -> dict:
    """What the trainer of a run that has steps left goes on from."""
    path = resumed.with_name(_STATE)
    state = checkpoints.read(path)
    if not state.keys() >= _STATE_NAMES:
        raise ValueError(f"{path} is damaged: there is no trainer's state in it. Weights alone: "
                         "load_model_path")
    if state["steps"] >= budget:
        raise ValueError(f"the run in {resumed.parent} has its {budget:,} steps; to go on, raise "
                         f"--train.total-timesteps above {state['steps']:,}")
    return state


def _new_folder(parent: Path) -> Path:
    """Make a folder that no other training has: the time, with -2, -3, ... where it is taken."""
    parent.mkdir(parents=True, exist_ok=True)
    name, count = time.strftime("%Y%m%d-%H%M%S"), 1
    folder = parent / name
    while True:
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            count += 1
            folder = parent / f"{name}-{count}"


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
