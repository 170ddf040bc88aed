"""`aloha_insertion`: AlohaInsertion-v0 of gym-aloha 0.1.5 with its state as observation.

The right arm takes a peg, the left one a socket, and the peg goes into the socket in the air.
"""

from __future__ import annotations

from lerobot_puffer.aloha import ALOHA_INSERTION, ALOHA_INSERTION_REFERENCE
from lerobot_puffer.tasks import aloha
from lerobot_puffer.tasks.goal import check_goal
from lerobot_puffer.terms import Stages, Success, Task

_WALLS = tuple(f"socket/wall_{side}" for side in ("bottom", "top", "left", "right"))


def aloha_insertion(
    assets: str = "native", goal: dict | None = None, mode: aloha.Mode = "absolute",
    physics: aloha.PhysicsName = "reference", arm_noise: float = 0.0, object_yaw: float = 0.0,
) -> Task:
    """50 Hz, 300 steps; the reward is the level 0..4 that contacts show, success is level 4.

    Levels: 1 both grippers touch their parts, 2 with both parts off the table, 3 the peg touches
    a wall of the socket with both off the table, 4 it touches the pin inside. As in the reference
    one finger an arm counts, and a later level needs no earlier one. The options are those of
    `aloha_transfer_cube`.
    """
    check_goal(goal, ())
    reference = assets == "reference"
    touch = aloha.Touch(reference)
    peg = ("red_peg",) if reference else ("peg/box",)
    walls = tuple(f"socket-{k}" for k in (1, 2, 3, 4)) if reference else _WALLS
    pin = ("pin",) if reference else ("socket/pin",)
    right, left = touch.finger(peg, "right"), touch.finger(walls, "left")
    lifted = (aloha.off(touch.geoms(peg, ("table",))), aloha.off(touch.geoms(walls, ("table",))))
    inserted = (aloha.on(touch.geoms(peg, pin)),)
    joints = ("red_peg_joint", "blue_socket_joint") if reference else ("peg/joint", "socket/joint")
    return Task(
        name="aloha_insertion",
        scene=aloha.scene(ALOHA_INSERTION, ALOHA_INSERTION_REFERENCE, assets, physics),
        action=aloha.action(mode),
        observations=aloha.observations(joints),
        rewards=(Stages(name="stage", levels=(
            (1.0, (aloha.on(left), aloha.on(right))),
            (2.0, (aloha.on(left), aloha.on(right), *lifted)),
            (3.0, (aloha.on(touch.geoms(peg, walls)), *lifted)),
            (4.0, inserted),
        )),),
        resets=aloha.start((
            ("peg", (0.1, 0.4, 0.05), (0.2, 0.6, 0.05)),
            ("socket", (-0.2, 0.4, 0.05), (-0.1, 0.6, 0.05)),
        ), arm_noise, object_yaw),
        substeps=aloha.substeps(physics),
        episode_length=aloha.EPISODE_LENGTH,
        success=Success(inserted),
        render_camera="top",
        description="Insert the peg into the socket.",
    )
