"""`lerobot_goal_place`: LeRobotGoalConditioned-v0 of lerobothackathonenv 0.2.0.

One of three objects has to come to a goal over the table.
"""

from __future__ import annotations

from lerobot_puffer.scene import SO101_REFERENCE, SO101_TABLE
from lerobot_puffer.signals import Chosen, Distance, Goal
from lerobot_puffer.tasks.goal import at, check_goal
from lerobot_puffer.tasks.lerobot_reach import JOINTS, STATE
from lerobot_puffer.terms import (
    Absolute,
    Box,
    GoalPosition,
    Negative,
    OneHot,
    RandomChoice,
    RandomGoal,
    Task,
)

OBJECTS = ("milk_0", "bread_1", "cereal_2")


def lerobot_goal_place(assets: str = "native", goal: dict | None = None) -> Task:
    """As `lerobot_reach`, with a goal and an object drawn at every reset.

    The reward is minus the distance (m) of the object's body from the goal. The reference draws
    once at import and never moves the marker; its declared space of `target_pos` is +-0.4 though
    the goal's z is 0.65.
    """
    fixed = check_goal(goal, ("target_pos", "object_index"))
    region = at(fixed["target_pos"]) if "target_pos" in fixed else Box(
        low=(-0.4, -0.4, 0.65), high=(0.4, 0.4, 0.65))
    force, gripper, qpos, qvel = STATE
    return Task(
        name="lerobot_goal_place",
        scene=SO101_REFERENCE if assets == "reference" else SO101_TABLE,
        action=Absolute(),
        observations=(
            force, gripper, OneHot(name="object_index", choice="object_index"), qpos, qvel,
            GoalPosition(name="target_pos", goal="target_pos", clip=(-1.5, 1.5)),
        ),
        rewards=(Negative(
            name="distance",
            signal=Distance(Chosen(OBJECTS, by="object_index"), Goal("target_pos"))),),
        resets=(
            RandomGoal("target_pos", region, marker="goal_marker"),
            RandomChoice("object_index", len(OBJECTS), fixed=fixed.get("object_index")),
        ),
        render_camera="front",
        agent_pos=JOINTS,
        description="Move the object to the goal.",
    )
