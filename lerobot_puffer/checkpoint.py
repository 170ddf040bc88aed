"""Checkpoints: a policy's weights with what they belong to.

A file is a dict of tensors and basic types, so `torch.load(path, weights_only=True)` reads it.
`train.py` writes it, `evaluate.py` reads it.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch
from torch import nn

import lerobot_puffer
from lerobot_puffer.compile import compile_task
from lerobot_puffer.names import close
from lerobot_puffer.policy import PolicyShape, make_policy
from lerobot_puffer.tables import CompiledTask
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import Joined, Observation, Part, Task

FORMAT = 1


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one of another task; the message says what differs."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
      task: name, assets, goal and options, as `make_task` takes them.
      interface: what the weights mean; parts of the observation (name, start, stop, unit, low,
        high, scales, offsets), action and control timestep.
      shape: what the policy is built from.
      weights: the policy's state dict.
      steps: environment steps trained.
      seed: of the training.
      success_rate: of the last logged rollouts, None where the task has none.
      options: the options of the training, by dotted name.
      versions: of the packages that wrote it.
    """

    task: dict
    interface: dict
    shape: PolicyShape
    weights: dict[str, torch.Tensor]
    steps: int
    seed: int
    success_rate: float | None
    options: dict
    versions: dict[str, str]

    def policy(self) -> nn.Module:
        """The policy with its weights, on the CPU, in evaluation mode."""
        policy = make_policy(self.shape)
        policy.load_state_dict(self.weights)
        return policy.eval()


def interface(compiled: CompiledTask) -> dict:
    """What a policy sees and does in a task, in basic types."""
    terms = compiled.task.observations
    return {
        "layout": [
            {"name": entry.name, "start": entry.start, "stop": entry.start + entry.size,
             "unit": entry.unit, "low": float(entry.low), "high": float(entry.high),
             "scale": [float(part.scale) for part in _parts(term)],
             "offset": [float(part.offset) for part in _parts(term)]}
            for entry, term in zip(compiled.layout, terms, strict=True)],
        "action": repr(compiled.task.action),
        "naction": int(compiled.tables.naction),
        "control_timestep": float(compiled.control_timestep),
    }


def _parts(term: Observation) -> tuple[Part, ...]:
    return term.terms if isinstance(term, Joined) else (term,)


def versions() -> dict[str, str]:
    """Versions of what a training depends on."""
    found = {"lerobot_puffer": lerobot_puffer.__version__, "python": platform.python_version(),
             "mujoco": mujoco.__version__, "numpy": np.__version__, "torch": str(torch.__version__)}
    return found | {"pufferlib": metadata.version("pufferlib")}


def basic(name: str, value: Any) -> Any:
    """An option in the types that a checkpoint can hold, paths and NumPy's numbers changed to such.

    Raises:
      ValueError: it holds something else.
    """
    if isinstance(value, dict):
        return {key: basic(name, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(basic(name, part) for part in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{name} must be made of numbers, texts, lists and dicts, got {value!r}")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: getattr(checkpoint, name) for name in checkpoint.__dataclass_fields__}
    content["shape"] = asdict(checkpoint.shape)
    write(path, {"format": FORMAT, **content})


def write(path: Path, content: dict) -> None:
    """Write tensors and basic types; a reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    os.replace(part, path)


def read(path: Path) -> dict:
    """Read what `write` wrote; an empty dict where the file holds anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever the bytes of another file lead it to
        return {}
    return content if isinstance(content, dict) else {}


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
      CheckpointError: the file is missing, or no checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    content = read(path)
    if content.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint that lerobot_puffer "
                              f"{lerobot_puffer.__version__} can read (format {FORMAT})")
    content["shape"] = PolicyShape(**content["shape"])
    return Checkpoint(**content)


def find_newest(task: str, root: str | Path = "runs") -> Path:
    """The newest checkpoint of a task under a folder.

    Raises:
      CheckpointError: there is none; the message says how to get one.
    """
    found = list(Path(root).glob(f"{task}/*/policy.pt"))
    if not found:
        raise CheckpointError(f"no checkpoint of {task} under {root}/{task}" + (
            f": train one with lerobot-puffer train {task}, or name its file" if task in REGISTRY
            else f", and no registered task has that name{close(task, REGISTRY)}"))
    return max(found, key=lambda path: path.stat().st_mtime)


def packaged(task: str) -> Path:
    """Where the checkpoint that comes with the package lies, for the tasks that have one."""
    return Path(str(files("lerobot_puffer") / "checkpoints" / f"{task}.pt"))


def find_trained(task: str, root: str | Path = "runs") -> Path:
    """The newest checkpoint of a task under a folder, else the one that comes with the package.

    Raises:
      CheckpointError: there is neither; the message says how to get one.
    """
    try:
        return find_newest(task, root)
    except CheckpointError:
        path = packaged(task)
        if path.is_file():
            return path
        raise


def match(checkpoint: Checkpoint, task: str | Task | None = None) -> Task:
    """The task that a checkpoint acts in, after comparing what its policy sees and does.

    Args:
      task: name or Task; None for the checkpoint's own, which must be a registered one.

    Raises:
      CheckpointError: the task is another one, or has changed; the message says where.
    """
    stored = checkpoint.task
    if task is None:
        task = stored["name"]
    name = task.name if isinstance(task, Task) else task
    if name != stored["name"]:
        raise CheckpointError(f"the checkpoint is of task {stored['name']!r}, not of {name!r}")
    if not isinstance(task, Task):
        if task not in REGISTRY:
            raise CheckpointError(f"the checkpoint's task {name!r} is not a registered one; pass "
                                  "the Task itself")
        task = make_task(task, stored["assets"], stored["goal"], stored.get("options"))
    differences = _compare(checkpoint.interface, interface(compile_task(task)))
    if differences:
        raise CheckpointError(f"the checkpoint does not fit task {name!r} as it is now:\n  "
                              + "\n  ".join(differences))
    return task


def _compare(stored: dict, present: dict) -> list[str]:
    """One line a difference, with the checkpoint's value first."""
    lines = []
    old = {part["name"]: part for part in stored["layout"]}
    new = {part["name"]: part for part in present["layout"]}
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            lines.append(f"observation {name!r}: only in the checkpoint")
        elif name not in old:
            lines.append(f"observation {name!r}: only in the task")
        else:
            lines += [f"observation {name!r}: {key} {old[name][key]!r} in the checkpoint, "
                      f"{new[name][key]!r} in the task"
                      for key in old[name] if old[name][key] != new[name].get(key)]
    lines += [f"{key}: {stored[key]} in the checkpoint, {present[key]} in the task"
              for key in ("action", "naction", "control_timestep") if stored[key] != present[key]]
    return lines
