"""Observation terms: the parts of the observation row; kernels in csrc/observe.pxd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lerobot_puffer.signals import Axis, Body, Point, Signal, Site


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What is done to an observation term's elements: x * scale + offset + noise, then the clip.

    Attributes:
      name: key of the term in the layout and in dict observations.
      clip: elements are clipped to this (low, high), which is their range in the space; None for
        the term's own range, which is unbounded where it has none.
      scale: factor. offset: added after it.
      noise: standard deviation of Gaussian noise, in scaled units.
    """

    name: str
    clip: tuple[float, float] | None = None
    scale: float = 1.0
    offset: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Field(Scaling):
    """A field of mjData: all of it, or the elements of `of`.

    `actuator_force` and `sensordata` belong to the last substep and are zero after a reset.

    Attributes:
      field: what is copied.
      of: joints (qpos, qvel), actuators (ctrl, actuator_force), sensors (sensordata) or mocap
        bodies (mocap_pos, mocap_quat); None: all.
    """

    field: Literal["qpos", "qvel", "ctrl", "actuator_force", "sensordata", "mocap_pos",
                   "mocap_quat"]
    of: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Position(Scaling):
    """A point (3,), m.

    Attributes:
      point: what is observed, relative to `relative_to` where that is given.
      frame: the body or site in whose axes it is written; None: the world's.
    """

    point: Point
    relative_to: Point | None = None
    frame: Body | Site | None = None


@dataclass(frozen=True, kw_only=True)
class AxisDirection(Scaling):
    """An axis (3,), written in the axes of `frame` or the world's; kernel `observe_axis`."""

    axis: Axis
    frame: Body | Site | None = None


@dataclass(frozen=True, kw_only=True)
class GoalPosition(Scaling):
    """The goal (3,) that `RandomGoal(goal)` drew, m; its kernel is `observe_goal`."""

    goal: str


@dataclass(frozen=True, kw_only=True)
class OneHot(Scaling):
    """The index that `RandomChoice(choice)` drew, one-hot; its kernel is `observe_choice`."""

    choice: str


@dataclass(frozen=True, kw_only=True)
class TargetError(Scaling):
    """Control minus joint position of every actuator (nu,), rad."""


@dataclass(frozen=True, kw_only=True)
class SignalValue(Scaling):
    """A signal (1,); its kernel is `observe_signal`."""

    signal: Signal


@dataclass(frozen=True, kw_only=True)
class TimeFraction(Scaling):
    """Steps done over the episode's length (1,), 0..1; its kernel is `observe_time`."""


Part = (
    Field | Position | AxisDirection | GoalPosition | OneHot | TargetError | SignalValue
    | TimeFraction
)


@dataclass(frozen=True)
class Joined:
    """Terms under one name, one after the other."""

    name: str
    terms: tuple[Part, ...]


Observation = Part | Joined
