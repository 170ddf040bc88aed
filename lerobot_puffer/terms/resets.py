"""Reset terms: what an episode starts with; kernels in csrc/reset.pxd."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot_puffer.signals import Vec3


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
    """A free body starts in a region, turned about z by a yaw; its kernel is `reset_pose`.

    Attributes:
      body: its joint is free.
      region: where its origin is drawn.
      yaw: range of the turn, rad.
      radial: yaw counts from the direction in which the body lies from the region's origin, so
        that every direction has the same turns as seen from there.
      separation: least horizontal distance, m, from every body and goal that an earlier term drew;
        positions that are nearer are drawn again.
    """

    body: str
    region: Region
    yaw: tuple[float, float] = (0.0, 0.0)
    separation: float = 0.0
    radial: bool = False


@dataclass(frozen=True)
class RandomGoal:
    """A goal position is drawn, and the mocap body `marker` moves to it; kernel `reset_goal`.

    Attributes:
      name: what `Goal` and `GoalPosition` refer to.
      region: where it is drawn.
      marker: a mocap body.
      separation: as `RandomPose` has it.
    """

    name: str
    region: Region
    marker: str | None = None
    separation: float = 0.0


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


@dataclass(frozen=True)
class RestingMocap:
    """A welded mocap body starts where its weld does not pull; its kernel is `reset_mocap`.

    It comes after the terms that move the arm.
    """

    body: str


Reset = RandomJoints | RandomPose | RandomGoal | RandomChoice | RestingMocap
