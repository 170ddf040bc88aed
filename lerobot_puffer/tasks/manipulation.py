"""What the tasks with cubes share: scene, clock, action, observations, resets and conditions."""

from __future__ import annotations

import math
from dataclasses import replace

from lerobot_puffer.physics import MANIPULATION, SO101_GAINS, Grip
from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import Camera, Object, Scene
from lerobot_puffer.signals import (
    Above,
    AngularSpeed,
    Axis,
    Below,
    Body,
    Condition,
    Contact,
    Control,
    Distance,
    FaceAlignment,
    Fixed,
    Goal,
    Height,
    JointPosition,
    Latch,
    Midpoint,
    Point,
    Signal,
    Site,
    Speed,
)
from lerobot_puffer.tasks.goal import at, check_goal
from lerobot_puffer.terms import (
    AxisDirection,
    Delta,
    Field,
    Indicator,
    Observation,
    Position,
    Ramp,
    RandomJoints,
    Region,
    Reward,
    Sector,
    SignalValue,
    Tanh,
    TargetError,
    TimeFraction,
)

# where a held object lies between the jaws; its z closes them and its x points out of the gripper
GRIPPER = Site("grasp")
# follows the opening: near a cube only where the cube is between the jaws
BETWEEN = Midpoint("fixed_grip", "moving_grip")
JAWS = Axis(GRIPPER, (0.0, 0.0, 1.0))
FIXED_JAW, MOVING_JAW = SO101.jaws
HAND = (*FIXED_JAW, *MOVING_JAW, "palm", "moving_jaw_knuckle")
PANNED = Body("shoulder")
TARGET = Goal("target_pos")
HALF = 0.0125  # half an edge of a cube, m
LYING = 0.6 + HALF  # height of the centre of a cube on the table, m
# on the shoulder's axis at a lying cube's height, m
FOOT = (0.0388, 0.0, LYING)
# scripted picks succeed in it, at its outer rim in most poses (docs/physics.md)
TABLE = Sector(radius=(0.14, 0.26), angle=(-1.2, 1.2), height=(0.0, 0.0), origin=FOOT)
# from the robot's view; a cube looks the same after a quarter turn, so these are all it can lie in
YAW = (-math.pi / 4, math.pi / 4)
# the gripper 10 cm over the table, half open, pointing down
START = RandomJoints(SO101.joints, (0.0, -0.44, 0.36, 1.39, 0.0, 0.9), noise=0.1)
COLORS = ((0.82, 0.16, 0.13, 1.0), (0.13, 0.35, 0.75, 1.0))

SUBSTEPS = 4
# a closed gripper's BETWEEN comes no nearer to the cube's centre, m
_CLOSED = 0.012


def check_options(task: str, assets: str, control_rate: int) -> None:
    """Raises ValueError unless the assets are native and the control rate, Hz, is 25 or 50."""
    if assets != "native":
        raise ValueError(f"{task} has native assets only, got assets={assets!r}")
    if control_rate not in (25, 50):
        raise ValueError(f"control_rate must be 25 or 50 Hz, got {control_rate!r}")


def target(goal: dict | None) -> Region:
    """Where the target is drawn; raises ValueError unless a fixed one lies on `TABLE`."""
    position = check_goal(goal, ("target_pos",)).get("target_pos")
    if position is None:
        return TABLE
    region = at(position)
    if abs(region.origin[2] - LYING) > 0.001:
        raise ValueError(f"target_pos must lie on the table, at z = {LYING:g} m, where a cube's "
                         f"centre is, got {position!r}")
    x, y = region.origin[0] - FOOT[0], region.origin[1] - FOOT[1]
    radius, angle = math.hypot(x, y), math.atan2(y, x)
    low, high = TABLE.radius
    if not (low <= radius <= high and abs(angle) <= TABLE.angle[1]):
        raise ValueError(
            f"target_pos must be in reach, {low:g} .. {high:g} m about the shoulder at "
            f"({FOOT[0]:g}, {FOOT[1]:g}) and within {TABLE.angle[1]:g} rad of the front, got "
            f"{position!r}: {radius:.3g} m, {angle:.3g} rad")
    return region


def scene(control_rate: int, cubes: tuple[str, ...], target: bool = False) -> Scene:
    """The SO-101 at its table with cubes of 2.5 cm and 30 g."""
    return Scene(
        objects=tuple(
            Object(cube, "cube", (0.25, 0.05 * i, LYING), rgba=COLORS[i])
            for i, cube in enumerate(cubes)
        ),
        physics=replace(MANIPULATION, timestep=1 / (SUBSTEPS * control_rate)),
        gains=SO101_GAINS,
        grip=Grip(),
        goal_marker=(0.25, 0.1, LYING) if target else None,
        cameras=(Camera("near", pos=(0.75, -0.62, 1.05), lookat=(0.17, -0.02, 0.685), fovy=29.0),),
    )


def action(control_rate: int) -> Delta:
    """Joint targets that move by at most 1.25 rad/s, the pan's by 2.5, the gripper's by 3.75 rad/s.

    Faster ones turn a learning policy's noise into centimetres at the fingertips.
    """
    return Delta(1.25 / control_rate, leash=0.1, overrides=(
        ("shoulder_pan", 2.5 / control_rate, 0.1), ("gripper", 3.75 / control_rate, 0.3)))


def grip(cube: str) -> tuple[Signal, Signal]:
    """Whether the fixed and the moving jaw press on a cube along the axis on which they close."""
    box = (f"{cube}/box",)
    return Contact(FIXED_JAW, box, along=JAWS), Contact(MOVING_JAW, box, along=JAWS)


def square(cube: str) -> Signal:
    """1 where the jaws would close on faces of a cube, 0.71 where on its edges."""
    return FaceAlignment(JAWS, Body(cube))


def grasped(cube: str) -> tuple[Condition, ...]:
    """Both jaws press on the cube."""
    return tuple(Above(jaw, 0.5) for jaw in grip(cube))


def still(cube: str) -> tuple[Condition, ...]:
    """Slower than 1 cm/s and 0.5 rad/s."""
    return Below(Speed(Body(cube)), 0.01), Below(AngularSpeed(Body(cube)), 0.5)


def untouched(*cubes: str) -> Condition:
    """The gripper touches none of the cubes."""
    return Below(Contact(HAND, tuple(f"{cube}/box" for cube in cubes)), 0.5)


def let_go(cube: str) -> tuple[Condition, ...]:
    """The gripper does not touch the cube, which is no longer between the jaws."""
    return untouched(cube), Above(Distance(GRIPPER, Body(cube)), 2 * HALF)


def lying(cube: str) -> Condition:
    """Down at the table's height, to 5 mm."""
    return Below(Height(Body(cube)), LYING + 0.005)


def lifted(cube: str, height: float = 0.02) -> Latch:
    """1 once the cube has been that far off the table, m, in this episode."""
    return Latch((Above(Height(Body(cube)), LYING + height),))


def near(name: str, point: Point, to: Point, frame: Site | Body) -> Position:
    """The last 5 cm of an offset, written large: grasps take half as long to learn with it."""
    return Position(name=name, point=point, relative_to=to, frame=frame, scale=40.0,
                    clip=(-2.0, 2.0))


def observations(
    cubes: tuple[str, ...], target: bool = False, latches: tuple[tuple[str, Latch], ...] = (),
) -> tuple[Observation, ...]:
    """Arm, gripper, cubes, what the jaws touch of the first one, the target, latches, the time.

    Positions are written in the axes of the link that the shoulder's pan turns, so that what is
    learned in front of the arm holds at its sides.
    """
    shoulder = Fixed((FOOT[0], FOOT[1], 0.7))
    terms: list[Observation] = [
        Field(name="qpos", field="qpos", of=SO101.joints),
        Field(name="qvel", field="qvel", of=SO101.joints, scale=0.2),
        TargetError(name="target_error", scale=10.0),
        Position(name="gripper_pos", point=GRIPPER, relative_to=shoulder, frame=PANNED,
                 scale=5.0),
        AxisDirection(name="gripper_pointing", axis=Axis(GRIPPER, (1.0, 0.0, 0.0)), frame=PANNED),
        AxisDirection(name="gripper_closing", axis=JAWS, frame=PANNED),
    ]
    for cube in cubes:
        body = Body(cube)
        terms += [
            Position(name=f"{cube}_pos", point=body, relative_to=shoulder, frame=PANNED,
                     scale=5.0),
            Position(name=f"{cube}_in_gripper", point=body, relative_to=GRIPPER, frame=GRIPPER,
                     scale=10.0),
            AxisDirection(name=f"{cube}_x", axis=Axis(body, (1.0, 0.0, 0.0)), frame=GRIPPER),
            AxisDirection(name=f"{cube}_z", axis=Axis(body, (0.0, 0.0, 1.0)), frame=GRIPPER),
            Field(name=f"{cube}_qvel", field="qvel", of=(f"{cube}/joint",), clip=(-5.0, 5.0)),
        ]
    fixed, moving = grip(cubes[0])
    terms += [near(f"{cubes[0]}_between", Body(cubes[0]), BETWEEN, GRIPPER),
              SignalValue(name="square", signal=square(cubes[0]), clip=(0.0, 1.0)),
              SignalValue(name="fixed_jaw_grips", signal=fixed, clip=(0.0, 1.0)),
              SignalValue(name="moving_jaw_grips", signal=moving, clip=(0.0, 1.0))]
    if target:
        terms += [
            Position(name="target_pos", point=TARGET, relative_to=shoulder, frame=PANNED,
                     scale=5.0),
            Position(name="to_target", point=TARGET, relative_to=Body(cubes[0]), frame=PANNED,
                     scale=10.0),
            near("near_target", TARGET, Body(cubes[0]), PANNED),
        ]
    if len(cubes) > 1:
        a, b = map(Body, cubes)
        terms += [
            Position(name="a_to_b", point=b, relative_to=a, frame=PANNED, scale=10.0),
            near("a_near_b", b, a, PANNED),
        ]
    terms += [SignalValue(name=name, signal=latch, clip=(0.0, 1.0)) for name, latch in latches]
    return (*terms, TimeFraction(name="time"))


def grasping(cube: str, opening: float = 0.05) -> tuple[Reward, ...]:
    """Potentials of reaching for a cube and closing the jaws on it.

    A closed gripper that sits on the cube is where learning gets stuck: opening it pays until the
    cube is between the jaws, where closing them costs nothing. Jaws that close on two edges of the
    cube lose it: turning them square to its faces pays.
    """
    distance = Distance(BETWEEN, Body(cube))
    fixed, moving = grip(cube)
    return (
        Tanh(name="approach", signal=distance, width=0.1, weight=0.15, progress=True),
        Tanh(name="enclose", signal=distance, width=0.03, weight=0.1, progress=True),
        Ramp(name="open", signal=JointPosition("gripper"), lower=0.0, upper=0.6,
             weight=opening, when=(Above(distance, _CLOSED),), progress=True),
        Indicator(name="between", when=(Below(distance, _CLOSED),), weight=opening,
                  progress=True),
        Ramp(name="square", signal=square(cube), lower=0.7, upper=1.0, weight=0.1,
             progress=True),
        Indicator(name="fixed_jaw", when=(Above(fixed, 0.5),), weight=0.025,
                  progress=True),
        Indicator(name="moving_jaw", when=(Above(moving, 0.5),), weight=0.025,
                  progress=True),
        Indicator(name="grasp", when=grasped(cube), weight=0.15, progress=True),
    )


def carrying(distance: Signal, weight: float, when: tuple[Condition, ...] = ()
             ) -> tuple[Reward, ...]:
    """Potentials of bringing a cube to its target: one for the way, one for the last 5 cm."""
    return (
        Ramp(name="carry", signal=distance, lower=0.5, upper=0.0, weight=0.5 * weight, when=when,
             progress=True),
        Tanh(name="arrive", signal=distance, width=0.05, weight=0.5 * weight, when=when,
             progress=True),
    )


def releasing(cube: str, placed: tuple[Condition, ...], free: Condition) -> tuple[Reward, ...]:
    """Potentials of opening the jaws on a placed cube, of touching it no more and of leaving it.

    Each part of the way of the gripper's target pays: jaws that hold a cube do not move before the
    target has passed them, and no noise gets it there. It pays more than the lost grasp was worth.
    """
    return (
        Indicator(name="placed", when=placed, weight=0.1, progress=True),
        Ramp(name="release", signal=Control("gripper"), lower=-0.17, upper=0.3, weight=0.7,
             when=placed, progress=True),
        Indicator(name="free", when=(*placed, free), weight=0.15, progress=True),
        Ramp(name="retreat", signal=Distance(GRIPPER, Body(cube)), lower=0.0, upper=0.03,
             weight=0.15, when=(*placed, free), progress=True),
    )


def lifting(cube: str, height: float, weight: float, when: tuple[Condition, ...] = ()) -> Ramp:
    """Potential of raising a grasped cube to a height over the table, m.

    It begins below the table, so that the grasp itself is worth a part of it.
    """
    return Ramp(name="lift", signal=Height(Body(cube)), lower=LYING - 0.02,
                upper=LYING + height,
                weight=weight, when=(*grasped(cube), *when), progress=True)
