"""`stack`: cube A is put on cube B and let go."""

from __future__ import annotations

import math

from lerobot_puffer.robots import SO101
from lerobot_puffer.signals import Above, Below, Body, Distance, Height, JointSpeed, Site
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.tasks.goal import check_goal
from lerobot_puffer.terms import Indicator, Ramp, RandomPose, Success, SuccessBonus, Tanh, Task

CUBES = ("cube_a", "cube_b")
A, B = map(Body, CUBES)


def stack(assets: str = "native", goal: dict | None = None, control_rate: int = 25) -> Task:
    """8 s; success: A stands on B, both still, let go, the arm at rest, for five steps.

    On B: within sqrt(2) half edges and 5 mm of its centre in the plane, and one edge higher to
    5 mm. At rest: no joint of the arm faster than 0.2 rad/s. The reward is the change of a
    potential, as in `pick_place`, and 1 on success, which ends the episode.

    Args:
      assets: "native".
      goal: None, the task draws no goal.
      control_rate: 25 or 50 Hz.
    """
    m.check_options("stack", assets, control_rate)
    check_goal(goal, ())
    offset, height = Distance(A, B, axes="xy"), Height(A, over=B)
    up = m.lifted("cube_a", 2 * m.HALF)
    carried, free = (Above(up, 0.5),), m.untouched(*CUBES)
    level = (Above(height, 2 * m.HALF - 0.005), Below(height, 2 * m.HALF + 0.005))
    on = (Below(offset, math.sqrt(2) * m.HALF + 0.005), *level)
    # let go further out than half an edge, it falls
    centred = (Below(offset, 0.01), *level)
    speed = JointSpeed(SO101.joints[:-1])
    return Task(
        name="stack",
        scene=m.scene(control_rate, CUBES),
        action=m.action(control_rate),
        observations=m.observations(CUBES, latches=(("lifted", up),)),
        rewards=(
            *m.grasping("cube_a"),
            m.lifting("cube_a", 2 * m.HALF, weight=0.2, when=(Below(up, 0.5),)),
            Indicator(name="lifted", when=carried, weight=0.2, progress=True),
            *m.carrying(Distance(A, Site("cube_b/above")), weight=0.4, when=carried),
            Tanh(name="centre", signal=offset, width=0.015, weight=0.3, when=carried,
                 progress=True),
            *m.releasing("cube_a", (*carried, *centred), free),
            Ramp(name="rest", signal=speed, lower=2.0, upper=0.0, weight=0.2,
                 when=(*carried, *centred, free), progress=True),
            SuccessBonus(),
        ),
        resets=(
            m.START,
            RandomPose("cube_a", m.TABLE, yaw=m.YAW, radial=True),
            RandomPose("cube_b", m.TABLE, yaw=m.YAW, radial=True, separation=0.06),
        ),
        substeps=m.SUBSTEPS,
        episode_length=8 * control_rate,
        success=Success((*on, *m.still("cube_a"), *m.still("cube_b"), free,
                         *m.let_go("cube_a"), Below(speed, 0.2)), hold=5),
        render_camera="near",
    )
