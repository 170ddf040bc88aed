"""What a task compiles to: the core's tables, the model, and the layout of the observation.

`compile/` makes it; csrc/program.pxd says what the rows mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from lerobot_puffer._core import DTYPES, KINDS, apply_writes
from lerobot_puffer.terms import Task


@dataclass(frozen=True)
class Entry:
    """One named part of the flat observation.

    Attributes:
      name: key of the term.
      start, size: where it lies in the row.
      unit: unit of its elements before scaling.
      low, high: range of every element.
    """

    name: str
    start: int
    size: int
    unit: str
    low: float
    high: float

    @property
    def slice(self) -> slice:
        """Where it lies in the row."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Randomized:
    """One thing that differs from the nominal task.

    Attributes:
      name: quantity of a `RandomField`, else "delay", "push" or "noise".
      of: parts of the model, or the observation term.
      how: "scale" (a factor), "log scale", "add", "steps", "force" or "standard deviation".
      low, high: range.
      unit: of the range.
      start, size: where the numbers drawn lie in the core's memory; size 0: drawn at every step.
    """

    name: str
    of: tuple[str, ...]
    how: str
    low: float
    high: float
    unit: str
    start: int = 0
    size: int = 0

    @property
    def slice(self) -> slice:
        """Where the numbers drawn lie in the core's memory."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Tables:
    """The rows and numbers that a `Core` points its C program at; see csrc/program.pxd."""

    signal: np.ndarray
    condition: np.ndarray
    level: np.ndarray
    action: np.ndarray
    observation: np.ndarray
    reward: np.ndarray
    reset: np.ndarray
    ids: np.ndarray
    geom_sets: np.ndarray
    init: np.ndarray
    nobs: int
    naction: int
    nmemory: int
    substeps: int
    refresh: int
    stages: bool
    seen: tuple[int, int, int]
    episode_length: int
    hold: int
    terminate: bool
    nlast_signal: int
    ncontact_signal: int
    success: tuple[int, int]
    failure: tuple[int, int]
    term_log: int
    draw: np.ndarray
    write: np.ndarray
    lift: np.ndarray
    push: np.ndarray
    fields: tuple[str, ...]
    nominal: tuple[np.ndarray, ...]
    neutral: tuple[np.ndarray, np.ndarray]
    derive: bool
    delay: tuple[int, int, int]


@dataclass(frozen=True)
class Writes:
    """What a simulation's draws change in a model.

    Attributes:
      table: rows of `Write`.
      fields: names of the model's fields, in the order that the rows count them.
      nominal: their values without draws, flat.
    """

    table: np.ndarray
    fields: tuple[str, ...]
    nominal: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class CompiledTask:
    """A task with its model and tables.

    Attributes:
      task: what was compiled.
      model: the scene's model.
      tables: what the core runs.
      layout: parts of the observation row, in order.
      goals: name -> offset of the goals (3 numbers) in the core's memory.
      choices: name -> (offset in the core's memory, count).
      randomized: what differs from the nominal task.
      drawing: makes the table `write` of `visual_model`, with the names and nominal values of the
        fields that it counts.
    """

    task: Task
    model: mujoco.MjModel
    tables: Tables
    layout: tuple[Entry, ...]
    goals: dict[str, int]
    choices: dict[str, tuple[int, int]]
    randomized: tuple[Randomized, ...]
    drawing: Callable[[mujoco.MjModel], Writes]

    @property
    def latches(self) -> np.ndarray:
        """Offsets of the task's latches in the core's memory, (n,) int32."""
        signal = self.tables.signal
        return signal["address"][signal["kind"] == KINDS["signal"]["latch"]]

    @cached_property
    def visual_model(self) -> mujoco.MjModel:
        """The model to draw: as `model`, with the geoms that collide with nothing."""
        return self.task.scene.compile()

    @cached_property
    def _visual_writes(self) -> Writes:
        return self.drawing(self.visual_model)

    def apply_draws(self, model: mujoco.MjModel, memory: np.ndarray | None) -> None:
        """Make a model look as one simulation's: sizes, cameras, lights, colours, joint offsets.

        Args:
          model: `visual_model` or a copy of it; what an earlier call changed is undone.
          memory: the simulation's row of the core's memory, (nmemory,) float64; None for the
            nominal look.
        """
        if not self.randomized:
            return
        writes = self._visual_writes
        fields = [getattr(model, name).reshape(-1) for name in writes.fields]
        for field, nominal in zip(fields, writes.nominal, strict=True):
            field[:] = nominal
        if memory is not None:
            apply_writes(writes.table, memory, fields)

    @property
    def control_timestep(self) -> float:
        """Seconds of simulated time an environment step."""
        return float(self.model.opt.timestep) * self.task.substeps

    @property
    def reward_names(self) -> tuple[str, ...]:
        """Names of the reward terms, in their order."""
        return tuple(term.name for term in self.task.rewards)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest observation row, (nobs,) float64 each."""
        low = np.concatenate([np.full(e.size, e.low) for e in self.layout])
        high = np.concatenate([np.full(e.size, e.high) for e in self.layout])
        return low, high


def rows(kind: str, values: list[dict]) -> np.ndarray:
    """Rows of one table; a dict inside a row fills a nested struct."""
    table = np.zeros(len(values), DTYPES[kind])
    for record, row in zip(table, values, strict=True):
        _fill(record, row)
    return table


def _fill(record: np.void, row: dict) -> None:
    for name, value in row.items():
        if isinstance(value, dict):
            _fill(record[name], value)
        else:
            record[name] = value
