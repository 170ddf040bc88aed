"""`aloha_transfer_cube`: AlohaTransferCube-v0 of gym-aloha 0.1.5 with its state as observation.

The right arm lifts a cube and hands it to the left one.
"""

from __future__ import annotations

from lerobot_puffer.aloha import ALOHA_TRANSFER_CUBE, ALOHA_TRANSFER_CUBE_REFERENCE
from lerobot_puffer.tasks import aloha
from lerobot_puffer.tasks.goal import check_goal
from lerobot_puffer.terms import Stages, Success, Task


def aloha_transfer_cube(
    assets: str = "native", goal: dict | None = None, mode: aloha.Mode = "absolute",
    physics: aloha.PhysicsName = "reference", arm_noise: float = 0.0, object_yaw: float = 0.0,
) -> Task:
    """50 Hz, 300 steps; the reward is the level 0..4 that contacts show, success is level 4.

    Levels: 1 the right gripper touches the cube, 2 off the table, 3 the left gripper touches it,
    4 off the table. As in the reference one finger an arm counts, and a later level needs no
    earlier one.

    Args:
      assets: "native" or "reference".
      goal: none: there is nothing to fix.
      mode: what the 14 numbers are. "absolute": joint angles (rad) and grippers (0..1), as in the
        reference; "normalized": -1..1 spans every range; "delta": moves the targets.
      physics: "reference", or "fast" for learning: 4 substeps of 5 ms.
      arm_noise: half width of the uniform start of the twelve arm joints, 0 .. 0.3 rad.
      object_yaw: half width of the uniform start of an object's yaw, 0 .. 3.1416 rad.
    """
    check_goal(goal, ())
    reference = assets == "reference"
    touch = aloha.Touch(reference)
    cube, joint = (("red_box",), "red_box_joint") if reference else (("box/box",), "box/joint")
    right, left = touch.finger(cube, "right"), touch.finger(cube, "left")
    table = touch.geoms(cube, ("table",))
    done = (aloha.on(left), aloha.off(table))
    return Task(
        name="aloha_transfer_cube",
        scene=aloha.scene(ALOHA_TRANSFER_CUBE, ALOHA_TRANSFER_CUBE_REFERENCE, assets, physics),
        action=aloha.action(mode),
        observations=aloha.observations((joint,)),
        rewards=(Stages(name="stage", levels=(
            (1.0, (aloha.on(right),)),
            (2.0, (aloha.on(right), aloha.off(table))),
            (3.0, (aloha.on(left),)),
            (4.0, done),
        )),),
        resets=aloha.start((("box", (0.0, 0.4, 0.05), (0.2, 0.6, 0.05)),), arm_noise, object_yaw),
        substeps=aloha.substeps(physics),
        episode_length=aloha.EPISODE_LENGTH,
        success=Success(done),
        render_camera="top",
        description="Pass the cube from the right arm to the left one.",
    )
