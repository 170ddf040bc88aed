"""`lerobot_reach`: LeRobot-v0 of lerobothackathonenv 0.2.0, the gripper towards a fixed point."""

from __future__ import annotations

from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import SO101_REFERENCE, SO101_TABLE
from lerobot_puffer.signals import Distance, Goal, Site
from lerobot_puffer.tasks.goal import at, check_goal
from lerobot_puffer.terms import (
    Absolute,
    Field,
    Gaussian,
    Observation,
    Position,
    RandomGoal,
    Task,
)

GRIPPER = Site("gripperframe")

# the reference's four observations, in the order in which Gymnasium flattens a Dict
STATE: tuple[Observation, ...] = (
    Field(name="actuator_force", field="actuator_force", clip=(-3.35, 3.35)),
    Position(name="gripper_pos", point=GRIPPER, clip=(-1.5, 1.5)),
    Field(name="qpos", field="qpos", clip=(-3.0, 3.0)),
    Field(name="qvel", field="qvel", clip=(-10.0, 10.0)),
)
# qpos holds the objects too
JOINTS = Field(name="agent_pos", field="qpos", of=SO101.joints)


def lerobot_reach(assets: str = "native", goal: dict | None = None) -> Task:
    """One 2 ms substep a step, absolute joint angles, no end.

    The reward is exp(-d^2 / 0.2) with d the distance (m) of the gripper from `target_pos`,
    by default (0, 0, 1.1), which is above the arm's reach.
    """
    target = check_goal(goal, ("target_pos",)).get("target_pos", (0.0, 0.0, 1.1))
    return Task(
        name="lerobot_reach",
        scene=SO101_REFERENCE if assets == "reference" else SO101_TABLE,
        action=Absolute(),
        observations=STATE,
        rewards=(Gaussian(name="reach", signal=Distance(GRIPPER, Goal("target_pos")),
                          variance=0.1),),
        resets=(RandomGoal("target_pos", at(target), marker="goal_marker"),),
        render_camera="front",
        agent_pos=JOINTS,
        description="Move the gripper to the target.",
    )
