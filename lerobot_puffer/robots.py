"""Robots: what a scene and a task have to know about an arm beside its MJCF file.

``scene.py`` puts a robot into an arena.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Robot:
    """An arm and the names in its MJCF file.

    Attributes:
        name: what messages call it.
        file: MJCF file, relative to ``lerobot_puffer.models`` or absolute.
        joints: actuated joints in the order of ``qpos``.
        actuators: their position actuators, in the same order.
        grippers: the actuators among them that close a gripper.
        home: rest position of ``joints`` in rad, also the start of an episode.
        end_effector: site that reach tasks move and that grasps close around.
    """

    name: str
    file: str
    joints: tuple[str, ...]
    actuators: tuple[str, ...]
    grippers: tuple[str, ...]
    home: tuple[float, ...]
    end_effector: str


_SO101_JOINTS = (
    "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper",
)

SO101 = Robot(
    name="SO-101",
    file="so101/so101.xml",
    joints=_SO101_JOINTS,
    actuators=_SO101_JOINTS,
    grippers=("gripper",),
    home=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    end_effector="gripperframe",
)
