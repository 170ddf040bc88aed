"""What a task is made of: frozen dataclasses that `compile.py` turns into the core's tables.

Action, observation, reward and reset terms are built from the points, signals and conditions of
`signals.py`. Each has its kernel in csrc/ (`Gaussian` is `reward_gaussian` in reward.pxd). Units
are m, rad, s, N; positions are in the world frame. `tasks/` puts terms together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import mujoco

from lerobot_puffer.signals import Axis, Condition, Point, Signal, Vec3


class SceneLike(Protocol):
    """Anything that compiles to a model: `Scene`, `Mjcf`, `Reference`, or a user's own class."""

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        """The compiled model; with visual False it may leave out what collides with nothing."""


@dataclass(frozen=True)
class Success:
    """The episode succeeds when all conditions have held for `hold` steps in a row.

    Attributes:
      conditions: all must hold.
      hold: steps.
      terminate: whether success ends the episode.
    """

    conditions: tuple[Condition, ...]
    hold: int = 1
    terminate: bool = True


# ------------------------------------------------------------------ actions


@dataclass(frozen=True)
class Coupled:
    """Several actuators that one element of the action drives, as the fingers of a gripper.

    Attributes:
      joints: the joints that they drive.
      low, high: the control of each at 0 and at 1 (`Absolute`), or at -1 and at 1 (`Normalized`).
      step: the share of high - low that `Delta` moves at most in a step.
    """

    joints: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    step: float = 0.25


@dataclass(frozen=True)
class Absolute:
    """The action is the actuators' control itself (rad), clipped to their ctrlrange."""

    coupled: tuple[Coupled, ...] = ()


@dataclass(frozen=True)
class Normalized:
    """-1..1 spans each actuator's ctrlrange."""

    coupled: tuple[Coupled, ...] = ()


@dataclass(frozen=True)
class Delta:
    """The action moves the target of each position actuator.

    Attributes:
      step: largest move a step, rad.
      leash: largest distance of the target from the joint, rad; keeps it from winding up against
        an obstacle.
      overrides: (joint, step, leash) of joints that differ, as a gripper's.
      coupled: as in the other modes.
    """

    step: float
    leash: float = math.inf
    overrides: tuple[tuple[str, float, float], ...] = ()
    coupled: tuple[Coupled, ...] = ()


Action = Absolute | Normalized | Delta


# ------------------------------------------------------------- observations


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
      of: joints (qpos, qvel), actuators (ctrl, actuator_force) or sensors (sensordata); None: all.
    """

    field: Literal["qpos", "qvel", "ctrl", "actuator_force", "sensordata"]
    of: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Position(Scaling):
    """A point (3,), m; relative to another point (world axes) where one is given."""

    point: Point
    relative_to: Point | None = None


@dataclass(frozen=True, kw_only=True)
class AxisDirection(Scaling):
    """An axis (3,) in the world frame; its kernel is `observe_axis`."""

    axis: Axis


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


# ------------------------------------------------------------------ rewards


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What the shaped reward terms share.

    Attributes:
      name: the term's key in the log.
      signal: what is shaped.
      weight: factor.
      when: the term is zero unless all these conditions hold.
      progress: the reward is the term's change since the last step (a potential's difference).
    """

    name: str
    signal: Signal
    weight: float = 1.0
    when: tuple[Condition, ...] = ()
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class Negative(Shaping):
    """-x."""


@dataclass(frozen=True, kw_only=True)
class Gaussian(Shaping):
    """exp(-x^2 / (2 variance)); the variance in the signal's unit squared."""

    variance: float


@dataclass(frozen=True, kw_only=True)
class Tanh(Shaping):
    """1 - tanh(x / width); the width in the signal's unit."""

    width: float


@dataclass(frozen=True, kw_only=True)
class Tolerance(Shaping):
    """1 within [lower, upper], falling as a Gaussian to `value_at_margin` at distance `margin`.

    As dm_control's `rewards.tolerance` with its Gaussian sigmoid (Tassa et al., 2018).
    """

    lower: float = 0.0
    upper: float = 0.0
    margin: float = 0.0
    value_at_margin: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """1 where all conditions of `when` hold, else 0."""

    name: str
    when: tuple[Condition, ...]
    weight: float = 1.0
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The value of the last (value, conditions) level whose conditions all hold; 0 if none does."""

    name: str
    levels: tuple[tuple[float, tuple[Condition, ...]], ...]
    weight: float = 1.0
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class SuccessBonus:
    """1 in every step in which the task's success holds; its kernel is the success flag."""

    name: str = "success_bonus"
    weight: float = 1.0


Reward = Negative | Gaussian | Tanh | Tolerance | Indicator | Stages | SuccessBonus


# ------------------------------------------------------------------- resets


@dataclass(frozen=True)
class Box:
    """Uniform in a box, m, relative to `origin`."""

    low: Vec3
    high: Vec3
    origin: Vec3 = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Sector:
    """Uniform in radius, angle about z and height: a part of a cylinder's shell about `origin`."""

    radius: tuple[float, float]
    angle: tuple[float, float]
    height: tuple[float, float]
    origin: Vec3 = (0.0, 0.0, 0.0)


Region = Box | Sector


@dataclass(frozen=True)
class RandomJoints:
    """Joints start uniformly within `noise` of `positions` and within their range.

    Its kernel is `reset_joints`.

    Attributes:
      joints: hinge or slide joints.
      positions: the centre of each, rad or m.
      noise: half width, rad or m, the same for all.
    """

    joints: tuple[str, ...]
    positions: tuple[float, ...]
    noise: float = 0.0


@dataclass(frozen=True)
class RandomPose:
    """A free body starts in a region, turned about z by a yaw; its kernel is `reset_pose`."""

    body: str
    region: Region
    yaw: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class RandomGoal:
    """A goal position is drawn, and the mocap body `marker` moves to it; kernel `reset_goal`."""

    name: str
    region: Region
    marker: str | None = None


@dataclass(frozen=True)
class RandomChoice:
    """A whole number is drawn from 0 .. count - 1; its kernel is `reset_choice`.

    Attributes:
      name: what `Chosen` and `OneHot` refer to.
      count: how many there are.
      fixed: always this one, where it is given.
    """

    name: str
    count: int
    fixed: int | None = None


Reset = RandomJoints | RandomPose | RandomGoal | RandomChoice


# --------------------------------------------------------------------- task


@dataclass(frozen=True)
class Task:
    """A task: everything that the core needs, as data.

    Attributes:
      name: what it is registered and logged as.
      scene: has `compile() -> mujoco.MjModel` (see scene.py).
      action: what an action does.
      observations: terms in the order of the flat observation.
      rewards: terms, summed.
      resets: terms, drawn in their order at the start of an episode.
      substeps: `mj_step` calls an environment step.
      episode_length: steps to the time limit, 0 for none.
      success: when the episode succeeds; None where the task has no success.
      failure: the episode ends when all these hold; () for never.
      render_camera: the camera that pictures are taken from; None: the free camera.
    """

    name: str
    scene: SceneLike
    action: Action
    observations: tuple[Observation, ...]
    rewards: tuple[Reward, ...]
    resets: tuple[Reset, ...] = ()
    substeps: int = 1
    episode_length: int = 0
    success: Success | None = None
    failure: tuple[Condition, ...] = ()
    render_camera: str | None = None
