"""`aloha_transfer_cube_ee`, `aloha_insertion_ee`: the ALOHA tasks, moved by the poses of the hands.

A mocap body a hand is welded to its `gripper_link`. The tasks themselves are in
aloha_transfer_cube.py and aloha_insertion.py.
"""

from __future__ import annotations

from dataclasses import replace

from lerobot_puffer.aloha import (
    ALOHA_INSERTION_EE,
    ALOHA_INSERTION_EE_REFERENCE,
    ALOHA_TRANSFER_CUBE_EE,
    ALOHA_TRANSFER_CUBE_EE_REFERENCE,
)
from lerobot_puffer.tasks import aloha
from lerobot_puffer.tasks.aloha_insertion import aloha_insertion
from lerobot_puffer.tasks.aloha_transfer_cube import aloha_transfer_cube
from lerobot_puffer.terms import Field, Hand, Joined, Pose, RestingMocap, SceneLike, Task

# where a hand can be meant to go: over the table and as high as an arm reaches, m
_LOW, _HIGH = (-0.6, 0.2, 0.0), (0.6, 1.0, 0.6)
# at 50 Hz, 5 m/s: far above what an arm does, and random poses then tear no arm apart
_STEP = 0.1


def aloha_transfer_cube_ee(
    assets: str = "native", goal: dict | None = None, physics: aloha.PhysicsName = "reference",
    arm_noise: float = 0.0, object_yaw: float = 0.0,
) -> Task:
    """`aloha_transfer_cube` with 16 actions: position, quaternion and gripper a hand.

    Positions (m) and quaternions (wxyz) are of the hand's `gripper_link` in the world frame; with
    `assets="reference"`, as there, of a point 0.135 m in front of it. The right hand's frame is
    turned back by 3.1416 rad about its z. A position is kept within x -0.6 .. 0.6, y 0.2 .. 1,
    z 0 .. 0.6 m and moves by at most 0.1 m a step. At the start of an episode the mocap bodies
    are where their welds do not pull: the observed mocap poses, sent as actions, hold the arms.
    """
    task = aloha_transfer_cube(assets, goal, "absolute", physics, arm_noise, object_yaw)
    return _by_hands(task, aloha.scene(
        ALOHA_TRANSFER_CUBE_EE, ALOHA_TRANSFER_CUBE_EE_REFERENCE, assets, physics))


def aloha_insertion_ee(
    assets: str = "native", goal: dict | None = None, physics: aloha.PhysicsName = "reference",
    arm_noise: float = 0.0, object_yaw: float = 0.0,
) -> Task:
    """`aloha_insertion` with the actions of `aloha_transfer_cube_ee`."""
    task = aloha_insertion(assets, goal, "absolute", physics, arm_noise, object_yaw)
    return _by_hands(task, aloha.scene(
        ALOHA_INSERTION_EE, ALOHA_INSERTION_EE_REFERENCE, assets, physics))


def _by_hands(task: Task, scene: SceneLike) -> Task:
    hands = tuple(
        Hand(f"mocap_{side}", gripper, _LOW, _HIGH, _STEP)
        for side, gripper in zip(aloha.SIDES, aloha.GRIPPERS, strict=True))
    poses = tuple(
        Joined(f"mocap_pose_{side}", (
            Field(name="pos", field="mocap_pos", of=(f"mocap_{side}",)),
            Field(name="quat", field="mocap_quat", of=(f"mocap_{side}",)),
        )) for side in aloha.SIDES)
    return replace(
        task,
        name=f"{task.name}_ee",
        scene=scene,
        action=Pose(hands),
        observations=(*task.observations, *poses, Field(name="gripper_ctrl", field="ctrl")),
        resets=(*task.resets, *(RestingMocap(hand.body) for hand in hands)),
    )
