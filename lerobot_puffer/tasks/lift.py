"""`lift`: a cube that lies anywhere in reach is grasped and raised by 5 cm."""

from __future__ import annotations

from lerobot_puffer.signals import Above, Body, Height
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.tasks.goal import check_goal
from lerobot_puffer.terms import RandomPose, Success, SuccessBonus, Task

CUBES = ("cube",)


def lift(assets: str = "native", goal: dict | None = None, control_rate: int = 25) -> Task:
    """3 s; success: both jaws hold the cube 5 cm over where it lay, for five steps.

    The reward is the change of a potential (approach, open jaws, touch, grasp, height of the
    grasped cube) and 1 on success, which ends the episode.

    Args:
      assets: "native".
      goal: None, the task draws no goal.
      control_rate: 25 or 50 Hz.
    """
    m.check_options("lift", assets, control_rate)
    check_goal(goal, ())
    return Task(
        name="lift",
        scene=m.scene(control_rate, CUBES),
        action=m.action(control_rate),
        observations=m.observations(CUBES),
        rewards=(*m.grasping("cube"), m.lifting("cube", 0.05, weight=0.5), SuccessBonus()),
        resets=(m.START, RandomPose("cube", m.TABLE, yaw=m.YAW, radial=True)),
        substeps=m.SUBSTEPS,
        episode_length=3 * control_rate,
        success=Success((*m.grasped("cube"), Above(Height(Body("cube")), m.LYING + 0.05)), hold=5),
        render_camera="near",
    )
