"""`push`: a cube is moved along the table to a target."""

from __future__ import annotations

from lerobot_puffer.signals import Above, Below, Body, Distance, Height, Latch
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.terms import (
    Indicator,
    Ramp,
    RandomGoal,
    RandomPose,
    Success,
    SuccessBonus,
    Tanh,
    Task,
)

CUBES = ("cube",)


def push(assets: str = "native", goal: dict | None = None, control_rate: int = 25) -> Task:
    """4 s; success: the cube lies still within 2 cm of the target in the plane, for five steps.

    Success asks for no grasp. The reward does: it is the change of a potential (as in `lift`, then
    cube to target) and 1 on success, which ends the episode, and the way to the target counts once
    the jaws have raised the cube by 5 mm. Where it counts for any cube, the grasp stays unsafe.

    Args:
      assets: "native".
      goal: `{"target_pos": (x, y, z)}`, m, fixes the target; z is 0.6125, the cube's centre.
      control_rate: 25 or 50 Hz.
    """
    m.check_options("push", assets, control_rate)
    up = Latch((*m.grasped("cube"), Above(Height(Body("cube")), m.LYING + 0.005)))
    raised = (Above(up, 0.5),)
    offset, distance = (Distance(Body("cube"), m.TARGET, axes) for axes in ("xy", "xyz"))
    return Task(
        name="push",
        scene=m.scene(control_rate, CUBES, target=True),
        action=m.action(control_rate),
        observations=m.observations(CUBES, target=True, latches=(("raised", up),)),
        rewards=(
            *m.grasping("cube", opening=0.1),
            m.lifting("cube", 0.005, weight=0.2, when=(Below(up, 0.5),)),
            Indicator(name="raised", when=raised, weight=0.2, progress=True),
            *m.carrying(distance, weight=2.0, when=raised),
            Tanh(name="settle", signal=distance, width=0.02, weight=0.25, when=raised,
                 progress=True),
            Ramp(name="lower", signal=Height(Body("cube")), lower=m.LYING + 0.02, upper=m.LYING,
                 weight=0.2, when=(*raised, Below(offset, 0.02)), progress=True),
            SuccessBonus(),
        ),
        resets=(
            m.START,
            RandomGoal("target_pos", m.target(goal), marker="goal_marker"),
            RandomPose("cube", m.TABLE, yaw=m.YAW, radial=True, separation=0.06),
        ),
        substeps=m.SUBSTEPS,
        episode_length=4 * control_rate,
        success=Success((Below(offset, 0.02), m.lying("cube"), *m.still("cube")), hold=5),
        render_camera="near",
    )
