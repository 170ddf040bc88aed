"""`reach`: the gripper to a random target over the table, as a policy for the real arm would."""

from __future__ import annotations

from dataclasses import replace

from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import SO101_EMPTY, Camera, Gains, Physics
from lerobot_puffer.signals import Below, Distance, Fixed, Goal, Site
from lerobot_puffer.tasks.goal import at, check_goal
from lerobot_puffer.terms import (
    Delta,
    Field,
    Position,
    RandomGoal,
    RandomJoints,
    Sector,
    Success,
    SuccessBonus,
    Tanh,
    TargetError,
    Task,
    TimeFraction,
)

GRIPPER = Site(SO101.end_effector)
TARGET = Goal("target_pos")
# on the shoulder's axis at the table's height, m; the robot stands at z = 0.6
FOOT = (0.0388, 0.0, 0.6)
# inverse kinematics found a pose without contact for each of 300 random targets in it
WORKSPACE = Sector(radius=(0.15, 0.32), angle=(-1.2, 1.2), height=(0.05, 0.25), origin=FOOT)


def reach(assets: str = "native", goal: dict | None = None) -> Task:
    """50 Hz, joint targets moved by at most 0.05 rad a step, 3 s; success: 2 cm for five steps.

    0.05 rad a step is 2.5 rad/s, about half of what the arm's servos can do; the noise of a
    learning policy then moves the gripper by less than the 2 cm that it has to keep.

    The reward is the change of a potential, 1 - tanh(d / 0.3 m) to find the way and
    1 - tanh(d / 0.05 m) to end it, and 1 on success, which ends the episode.
    """
    if assets != "native":
        raise ValueError("reach has native assets only; the reference's task is lerobot_reach")
    target = check_goal(goal, ("target_pos",)).get("target_pos")
    distance = Distance(GRIPPER, TARGET)
    shoulder = Fixed((FOOT[0], FOOT[1], FOOT[2] + 0.1))
    return Task(
        name="reach",
        scene=replace(
            SO101_EMPTY,
            physics=Physics(timestep=0.005, integrator="implicitfast", iterations=20),
            gains=Gains(kp=50.0, kv=2.0, force=3.35, gripper_force=1.0),
            cameras=(Camera("near", pos=(0.75, -0.62, 1.05), lookat=(0.14, -0.02, 0.72),
                            fovy=38.0),),
        ),
        action=Delta(step=0.05, leash=0.1, overrides=(("gripper", 0.1, 0.2),)),
        observations=(
            Field(name="qpos", field="qpos"),
            Field(name="qvel", field="qvel", scale=0.2),
            TargetError(name="target_error", scale=10.0),
            Position(name="gripper_pos", point=GRIPPER, relative_to=shoulder, scale=5.0),
            Position(name="target_pos", point=TARGET, relative_to=shoulder, scale=5.0),
            Position(name="to_target", point=TARGET, relative_to=GRIPPER, scale=10.0),
            # the last 5 cm, written large
            Position(name="near_target", point=TARGET, relative_to=GRIPPER, scale=40.0,
                     clip=(-2.0, 2.0)),
            TimeFraction(name="time"),
        ),
        rewards=(
            Tanh(name="approach", signal=distance, width=0.3, progress=True),
            Tanh(name="settle", signal=distance, width=0.05, progress=True),
            SuccessBonus(),
        ),
        resets=(
            RandomJoints(SO101.joints, SO101.home, noise=0.1),
            RandomGoal("target_pos", at(target) if target is not None else WORKSPACE,
                       marker="goal_marker"),
        ),
        substeps=4,
        episode_length=150,
        success=Success((Below(distance, 0.02),), hold=5),
        render_camera="near",
        description="Move the gripper to the target.",
    )
