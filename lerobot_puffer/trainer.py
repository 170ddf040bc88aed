"""PuffeRL's trainer as `train.py` runs it: our checkpoints, our logs, several processes.

`torchrun` starts one process a share of the work; their gradients are averaged by PyTorch's
DistributedDataParallel.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

# the optimizer imports it at its first use, which would count as a second of training
import torch._dynamo
from torch import distributed, nn

from lerobot_puffer.options import Options


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

from pufferlib import pufferl  # noqa: E402


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Attributes:
      rank: of this one, 0 for the one that logs, saves and checks.
      size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def agree(self, value: bool) -> bool:
        """Whether the value is True in any process; all of them call this together."""
        if self.size == 1:
            return value
        flag = torch.tensor(int(value))
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def share(self, value: Any) -> Any:
        """The value that process 0 has; all of them call this together."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over the processes, in place; all of them call this together."""
        if self.size > 1:
            distributed.all_reduce(tensor)
            tensor /= self.size
        return tensor


@contextlib.contextmanager
def world() -> Iterator[World]:
    """The processes that torchrun started, connected by gloo; else this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    distributed.init_process_group("gloo")
    try:
        yield World(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def parallel(policy: nn.Module, world: World) -> nn.Module:
    """The policy as PuffeRL trains it: with several processes their gradients are averaged."""
    if world.size == 1:
        return policy
    wrapped = nn.parallel.DistributedDataParallel(policy)
    for name in ("forward_eval", "hidden_size"):
        setattr(wrapped, name, getattr(policy, name))
    return wrapped


class Trainer(pufferl.PuffeRL):
    """PuffeRL with our checkpoints and logs, and lines of text where there is no terminal."""

    stats: dict
    logger: Logger

    def __init__(self, config: dict, env: Any, policy: nn.Module,
                 save: Callable[[Trainer], Path], quiet: bool, world: World) -> None:
        self.save, self.quiet, self.last_line, self.world = save, quiet, 0.0, world
        super().__init__(config, env, policy)
        if not str(config["device"]).startswith("cuda"):
            self.amp_context = contextlib.nullcontext()

    @property
    def steps(self) -> int:
        """Environment steps of all processes."""
        return self.global_step * self.world.size

    def mean_and_log(self) -> dict | None:
        """Log means since the last log.

        PuffeRL's own sums over the processes here, which each reaches at another time.
        """
        self.stats = {name: np.mean(values) for name, values in self.stats.items()}
        if self.world.rank:
            return None
        logs = {
            "SPS": self.sps * self.world.size, "agent_steps": self.steps,
            "uptime": self.uptime, "epoch": self.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            **{f"environment/{name}": value for name, value in self.stats.items()},
            **{f"losses/{name}": value for name, value in self.losses.items()},
            **{f"performance/{name}": value["elapsed"] for name, value in self.profile},
        }
        self.logger.log(logs, self.steps)
        return logs

    def save_checkpoint(self) -> str:
        """Write the checkpoint, as PuffeRL asks for it every `checkpoint_interval` updates."""
        return str(self.save(self))

    def print_dashboard(self, *args: Any, **kwargs: Any) -> None:
        """PuffeRL's dashboard on a terminal; elsewhere a line every two seconds."""
        if self.quiet or self.world.rank:
            return
        if sys.stdout.isatty() and self.world.size == 1:
            super().print_dashboard(*args, **kwargs)
        elif self.global_step and time.time() - self.last_line > 2:
            self.last_line = time.time()
            success = self.stats.get("success_rate")
            print(f"{self.steps:>12,} steps {self.sps * self.world.size:>9,.0f}/s"
                  + (f"   success {success:.3f}" if success is not None else ""), flush=True)

    def resume(self, state: dict) -> None:
        """Go on from what `state_dict` gave; the episodes start anew.

        The optimizer keeps its averages; its settings and the learning rate's schedule are those of
        the options, which may differ from the first part's, as the budget mostly does.
        """
        settings = [{name: value for name, value in group.items() if name != "params"}
                    for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = self.scheduler.last_epoch = state["epoch"]
        part = min(self.epoch / self.scheduler.T_max, 1.0) if self.config["anneal_lr"] else 0.0
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
            group["lr"] *= (1 + math.cos(math.pi * part)) / 2
        self.global_step = self.last_log_step = state["steps"] // self.world.size

    def state_dict(self) -> dict:
        """What training needs beside the checkpoint to go on."""
        return {"optimizer": self.optimizer.state_dict(), "epoch": self.epoch,
                "steps": self.steps}

    def close(self) -> None:
        """Stop the environment, the workers and the dashboard's thread."""
        self.utilization.stop()
        self.vecenv.close()


# -------------------------------------------------------------------- logs


class Logger(Protocol):
    """What PuffeRL wants of a logger."""

    run_id: str

    def log(self, logs: dict, step: int) -> None:
        """Take the numbers of a log."""

    def close(self, model_path: str) -> None:
        """End the run, with its checkpoint."""


class JsonLogger:
    """A JSON object a log in `log.jsonl`; goes on with the file that is there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.run_id = folder.name
        self.file = (folder / "log.jsonl").open("a", encoding="utf-8")

    def log(self, logs: dict, step: int) -> None:
        """Write one line."""
        self.file.write(json.dumps({key: float(value) for key, value in logs.items()}) + "\n")
        self.file.flush()

    def close(self, model_path: str) -> None:
        """Close the file."""
        self.file.close()


class TensorboardLogger:
    """Scalars over environment steps, for `tensorboard --logdir`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.run_id = folder.name
        self.writer = SummaryWriter(str(folder))

    def log(self, logs: dict, step: int) -> None:
        """Write a scalar a number."""
        for name, value in logs.items():
            self.writer.add_scalar(name, float(value), step)

    def close(self, model_path: str) -> None:
        """Write what is left."""
        self.writer.close()


class Loggers:
    """Several loggers as one."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = loggers
        self.run_id = loggers[0].run_id if loggers else ""

    def log(self, logs: dict, step: int) -> None:
        """Pass the numbers on."""
        for logger in self.loggers:
            logger.log(logs, step)

    def close(self, model_path: str) -> None:
        """End them all."""
        for logger in self.loggers:
            logger.close(model_path)


def make_loggers(options: Options, task: str, folder: Path, world: World) -> Loggers:
    """The loggers that the options ask for; process 0 always writes `log.jsonl`."""
    if world.rank:
        return Loggers([])
    loggers: list[Logger] = [JsonLogger(folder)]
    if options["tensorboard"]:
        loggers.append(TensorboardLogger(folder))
    if options["neptune"]:
        loggers.append(pufferl.NeptuneLogger(options))
    if options["wandb"]:
        # the id that PufferLib would make comes from a function that wandb no longer has
        loggers.append(pufferl.WandbLogger(options, load_id=f"{task}-{folder.name}"))
    return Loggers(loggers)
