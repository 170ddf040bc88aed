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
        jaws: the geoms of each jaw that close on an object.
    """

    name: str
    file: str
    joints: tuple[str, ...]
    actuators: tuple[str, ...]
    grippers: tuple[str, ...]
    home: tuple[float, ...]
    end_effector: str
    jaws: tuple[tuple[str, ...], ...] = ()


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
    jaws=(("fixed_jaw", "fixed_jaw_pad"), ("moving_jaw", "moving_jaw_pad")),
)

_VX300S_JOINTS = (
    "waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate",
    "left_finger", "right_finger",
)
_ALOHA_JOINTS = tuple(
    f"vx300s_{arm}/{joint}" for arm in ("left", "right") for joint in _VX300S_JOINTS
)

ALOHA = Robot(
    name="ALOHA",
    file="aloha/aloha.xml",
    joints=_ALOHA_JOINTS,
    actuators=_ALOHA_JOINTS,
    grippers=tuple(joint for joint in _ALOHA_JOINTS if joint.endswith("_finger")),
    # the closed fingers' joints are slides, m; 0.02239 leaves no gap and no overlap between them
    home=(0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.02239, -0.02239) * 2,
    end_effector="vx300s_right/grasp",
)
