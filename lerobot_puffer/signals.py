"""Points, signals and conditions: the places and scalars that a task's terms read.

Each signal has its kernel of the same name in csrc/signal.pxd. `terms/` builds on them. Units
are m, rad, N; positions are in the world frame.
"""

from __future__ import annotations

from dataclasses import dataclass

Vec3 = tuple[float, float, float]


@dataclass(frozen=True)
class Body:
    """The origin of a body."""

    name: str


@dataclass(frozen=True)
class Site:
    """The centre of a site."""

    name: str


@dataclass(frozen=True)
class Geom:
    """The centre of a geom."""

    name: str


@dataclass(frozen=True)
class Goal:
    """The position that the reset term `RandomGoal(name)` drew."""

    name: str


@dataclass(frozen=True)
class Chosen:
    """The origin of that one of `bodies` whose index the reset term `RandomChoice(by)` drew."""

    bodies: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class Fixed:
    """A fixed position, world frame, m."""

    position: Vec3


@dataclass(frozen=True)
class Midpoint:
    """Half-way between two sites, as between the two jaws of a gripper."""

    a: str
    b: str


Point = Body | Site | Geom | Goal | Chosen | Fixed | Midpoint


@dataclass(frozen=True)
class Axis:
    """A unit vector in the frame of a body or site; with frame None in the world frame."""

    frame: Body | Site | None
    direction: Vec3


# ----------------------------------------------------------------- signals


@dataclass(frozen=True)
class Distance:
    """Distance of two points along `axes`, m: "xyz" in space, "xy" in the plane, "z" in height."""

    a: Point
    b: Point
    axes: str = "xyz"


@dataclass(frozen=True)
class Height:
    """The z of a point, m, world frame; over another point where one is given."""

    point: Point
    over: Point | None = None


@dataclass(frozen=True)
class Speed:
    """Linear speed of a body, site or geom, m/s."""

    point: Body | Site | Geom


@dataclass(frozen=True)
class AngularSpeed:
    """Angular speed of a body, site or geom, rad/s."""

    point: Body | Site | Geom


@dataclass(frozen=True)
class JointPosition:
    """Position of a hinge (rad) or slide (m) joint."""

    joint: str


@dataclass(frozen=True)
class Control:
    """Control of an actuator: of a position actuator the target that it moves to, rad or m."""

    actuator: str


@dataclass(frozen=True)
class JointSpeed:
    """The largest |velocity| of hinge (rad/s) or slide (m/s) joints."""

    joints: tuple[str, ...]


@dataclass(frozen=True)
class Contact:
    """1 where any geom of `a` touches any of `b` in the new state, else 0.

    Attributes:
      a, b: sets of geoms.
      ordered: count only contacts that MuJoCo lists with a's geom first, as some published rewards
        do.
      along: count only contacts whose normal lies along this axis, either way: two jaws that touch
        an object so hold it between them.
      cosine: by that much, the |cosine| of the angle between them, 0..1.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    ordered: bool = False
    along: Axis | None = None
    cosine: float = 0.7


@dataclass(frozen=True)
class ContactForce:
    """Sum of the normal forces between geoms of `a` and of `b` in the last substep, N."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True)
class Alignment:
    """Cosine of the angle between two axes."""

    a: Axis
    b: Axis


@dataclass(frozen=True)
class FaceAlignment:
    """How squarely an axis meets a box: the largest |cosine| with the axes of the box's frame.

    1 where the axis is normal to a face, 0.71 where it points along a face's diagonal.
    """

    axis: Axis
    box: Body | Site


@dataclass(frozen=True)
class Latch:
    """1 from the first state of the episode on in which all conditions hold, before that 0."""

    conditions: tuple[Condition, ...]


Signal = (
    Distance | Height | Speed | AngularSpeed | JointPosition | Control | JointSpeed | Contact
    | ContactForce | Alignment | FaceAlignment | Latch
)


# -------------------------------------------------------------- conditions


@dataclass(frozen=True)
class Above:
    """True where the signal is greater than the threshold, in the signal's unit."""

    signal: Signal
    threshold: float


@dataclass(frozen=True)
class Below:
    """True where the signal is less than the threshold, in the signal's unit."""

    signal: Signal
    threshold: float


Condition = Above | Below
