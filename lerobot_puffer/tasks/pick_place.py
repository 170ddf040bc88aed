"""`pick_place`: a cube is picked up, carried to a target on the table and let go."""

from __future__ import annotations

from lerobot_puffer.signals import Above, Below, Body, Distance
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.terms import (
    Indicator,
    RandomGoal,
    RandomPose,
    Success,
    SuccessBonus,
    Task,
)

CUBES = ("cube",)


def pick_place(assets: str = "native", goal: dict | None = None, control_rate: int = 25) -> Task:
    """6 s; success: the cube lies still and let go within 2.5 cm of the target, for five steps.

    It counts only if the cube was 2 cm off the table on the way. The reward is the change of a
    potential and 1 on success, which ends the episode. What the grasp is worth is given up for
    more when the cube is let go at the target.

    Args:
      assets: "native".
      goal: `{"target_pos": (x, y, z)}`, m, fixes the target; z is 0.6125, the cube's centre.
      control_rate: 25 or 50 Hz.
    """
    m.check_options("pick_place", assets, control_rate)
    offset, distance = (Distance(Body("cube"), m.TARGET, axes) for axes in ("xy", "xyz"))
    up = m.lifted("cube")
    carried = (Above(up, 0.5),)
    placed = (*carried, Below(offset, 0.025), m.lying("cube"))
    return Task(
        name="pick_place",
        scene=m.scene(control_rate, CUBES, target=True),
        action=m.action(control_rate),
        observations=m.observations(CUBES, target=True, latches=(("lifted", up),)),
        rewards=(
            *m.grasping("cube"),
            m.lifting("cube", 0.02, weight=0.2, when=(Below(up, 0.5),)),
            Indicator(name="lifted", when=carried, weight=0.2, progress=True),
            *m.carrying(distance, weight=0.4, when=carried),
            *m.releasing("cube", placed, m.untouched("cube")),
            SuccessBonus(),
        ),
        resets=(
            m.START,
            RandomGoal("target_pos", m.target(goal), marker="goal_marker"),
            RandomPose("cube", m.TABLE, yaw=m.YAW, radial=True, separation=0.06),
        ),
        substeps=m.SUBSTEPS,
        episode_length=6 * control_rate,
        success=Success((*placed, *m.still("cube"), *m.let_go("cube")), hold=5),
        render_camera="near",
    )
