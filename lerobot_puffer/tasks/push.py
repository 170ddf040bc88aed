"""`push`: a cube is moved along the table to a target."""

from __future__ import annotations

from lerobot_puffer.signals import Below, Body, Distance
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.terms import RandomGoal, RandomPose, Success, SuccessBonus, Tanh, Task

CUBES = ("cube",)


def push(assets: str = "native", goal: dict | None = None, control_rate: int = 25) -> Task:
    """5 s; success: the cube lies still within 2 cm of the target in the plane, for five steps.

    The reward is the change of a potential (as in `lift`, cube to target) and 1 on success,
    which ends the episode.

    Args:
      assets: "native".
      goal: `{"target_pos": (x, y, z)}`, m, fixes the target; z is 0.6125, the cube's centre.
      control_rate: 25 or 50 Hz.
    """
    m.check_options("push", assets, control_rate)
    offset, distance = (Distance(Body("cube"), m.TARGET, axes) for axes in ("xy", "xyz"))
    return Task(
        name="push",
        scene=m.scene(control_rate, CUBES, target=True),
        action=m.action(control_rate),
        observations=m.observations(CUBES, target=True),
        rewards=(
            *m.grasping("cube"),
            *m.carrying(distance, weight=1.0),
            Tanh(name="settle", signal=distance, width=0.02, weight=0.25, progress=True),
            SuccessBonus(),
        ),
        resets=(
            m.START,
            RandomGoal("target_pos", m.target(goal), marker="goal_marker"),
            RandomPose("cube", m.TABLE, yaw=m.YAW, radial=True, separation=0.06),
        ),
        substeps=m.SUBSTEPS,
        episode_length=5 * control_rate,
        success=Success((Below(offset, 0.02), m.lying("cube"), *m.still("cube")), hold=5),
        render_camera="near",
    )
