"""Scenes of the bimanual ALOHA station: hand over a cube, insert a peg.

Names equal those of the reference scenes (gym-aloha 0.1.5) except these:

    ours                                        the reference's
    vx300s_left/base                            vx300s_left
    vx300s_left/left_{pad,web,root,edge_a,b}    vx300s_left/10_left_gripper_finger
    vx300s_left/grasp (site)                    cali_left_site1, 2, 3
    vx300s_left/waist ... (actuators)           have no names
    box/box, box/joint                          red_box, red_box_joint
    peg/box, peg/joint                          red_peg, red_peg_joint
    socket/wall_{bottom,top,left,right}         socket-1, -2, -3, -4
    socket/pin, socket/joint                    pin, blue_socket_joint

and so for the right arm and finger. ``scene.py`` says how a scene is built, ``tasks/`` what to do
in one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import mujoco

from lerobot_puffer.robots import ALOHA, Robot
from lerobot_puffer.scene import Object, Physics, Reference, Scene, Vec3

Side = Literal["left", "right"]

_SIDES: tuple[Side, Side] = ("left", "right")

# joint: viscous damping (N m s/rad or N s/m) and armature (kg m^2 or kg) of damped scenes. The arm
# settles about as fast as with the reference's friction; the fingers' armature is large because the
# contact solver does not know of the implicit damping, and rattles where damping x timestep is not
# well below the inertia.
_DAMPED = {
    "waist": (25.0, 0.01), "shoulder": (40.0, 0.01), "elbow": (15.0, 0.01),
    "forearm_roll": (0.5, 0.01), "wrist_angle": (2.5, 0.01), "wrist_rotate": (0.5, 0.01),
    "left_finger": (30.0, 0.3), "right_finger": (30.0, 0.3),
}
_OBJECT_DAMPING = 0.001  # N s/m, N m s/rad


@dataclass(frozen=True)
class AlohaScene(Scene):
    """Two ViperX arms at a table; the arms meet objects, the table and each other.

    ``qpos`` holds eight joints of the left arm, eight of the right one, then the objects.

    Attributes:
        mocap: replace the arms' twelve joint actuators by the mocap bodies ``mocap_left`` and
            ``mocap_right``, each welded to its ``gripper_link``. A mocap body at the pose of its
            ``gripper_link`` (the right one turned back by 3.1416 rad about its z) does not pull.
            They start where ``ALOHA.home`` has the hands. Actuators left over: the four fingers.
        damped: replace the friction of the joints, which costs most of a step, by viscous damping
            and armature, and leave out the contacts' torsional friction.
    """

    robot: Robot | None = ALOHA
    arena: str = "aloha_table"
    physics: Physics = field(default_factory=lambda: Physics(cone="pyramidal"))
    robot_pos: Vec3 = (0.0, 0.0, 0.0)
    mocap: bool = False
    damped: bool = False

    def spec(self) -> mujoco.MjSpec:
        """Compose the editable model; raises SceneError as ``Scene.spec``."""
        spec = super().spec()
        for side, own, other in zip(_SIDES, (2, 4), (4, 2), strict=True):
            # attaching puts the arm's prefix before all its names
            spec.camera(f"vx300s_{side}/wrist").name = f"{side}_wrist"
            for geom in spec.geoms:
                if geom.name.startswith(f"vx300s_{side}/") and geom.conaffinity & 16:
                    geom.contype, geom.conaffinity = own, geom.conaffinity | other
        if self.mocap:
            _weld_hands(spec)
        if self.damped:
            _damp(spec)
        return spec


def finger_geoms(arm: Side, finger: Side) -> tuple[str, ...]:
    """Names of the geoms that make up a finger; a contact with any is one with the finger."""
    parts = ("pad", "web", "root", "edge_a", "edge_b")
    return tuple(f"vx300s_{arm}/{finger}_{part}" for part in parts)


def fast(scene: AlohaScene) -> AlohaScene:
    """The scene for learning: damped, with steps of 5 ms.

    The pyramidal cone and condim 3 are a tenth faster than the elliptic cone and condim 4; a held
    cube slides by 0.1 mm in 5 s with either.
    """
    physics = Physics(timestep=0.005, integrator="implicitfast", cone="pyramidal")
    return replace(scene, physics=physics, damped=True)


def _damp(spec: mujoco.MjSpec) -> None:
    for joint in spec.joints:
        *_, name = joint.name.split("/")
        joint.frictionloss = 0
        joint.damping[0], joint.armature = _DAMPED.get(name, (_OBJECT_DAMPING, 0.0))
    for geom in spec.geoms:
        geom.condim = min(geom.condim, 3)


def _weld_hands(spec: mujoco.MjSpec) -> None:
    for name in ALOHA.actuators:
        if name not in ALOHA.grippers:
            spec.delete(spec.actuator(name))
    # hands at ALOHA.home, where they point 0.1 rad upwards; the right arm's base is turned about z
    tilt, turn = (0.9987502603949663, 0.04997916927067833), (-3.673205103e-06, 1.0)
    for side, x, y, relative in zip(
        _SIDES, (-1, 1), (0.5, 0.49999888), ((1.0, 0.0), turn), strict=True
    ):
        body = spec.worldbody.add_body(
            name=f"mocap_{side}", mocap=True, pos=(0.31718881 * x, y, 0.29525084),
            quat=(tilt[0], 0.0, tilt[1] * x, 0.0),
        )
        weld = spec.add_equality(
            name=f"hand_{side}", type=mujoco.mjtEq.mjEQ_WELD, objtype=mujoco.mjtObj.mjOBJ_BODY,
            name1=body.name, name2=f"vx300s_{side}/gripper_link",
            solref=[0.01, 1.0], solimp=[0.25, 0.25, 0.001, 0.5, 2.0],
        )
        weld.data[:] = (0, 0, 0, 0, 0, 0, relative[0], 0, 0, relative[1], 1, 0)


ALOHA_TRANSFER_CUBE = AlohaScene(objects=(Object("box", "aloha_cube", (0.2, 0.5, 0.05)),))

ALOHA_INSERTION = AlohaScene(
    objects=(
        Object("peg", "peg", (0.2, 0.5, 0.05)),
        Object("socket", "socket", (-0.2, 0.5, 0.05)),
    ),
)

ALOHA_TRANSFER_CUBE_EE = replace(ALOHA_TRANSFER_CUBE, mocap=True)

ALOHA_INSERTION_EE = replace(ALOHA_INSERTION, mocap=True)

ALOHA_TRANSFER_CUBE_REFERENCE = Reference(
    "gym-aloha", "0.1.5", "bimanual_viperx_transfer_cube.xml"
)

ALOHA_INSERTION_REFERENCE = Reference("gym-aloha", "0.1.5", "bimanual_viperx_insertion.xml")

ALOHA_TRANSFER_CUBE_EE_REFERENCE = Reference(
    "gym-aloha", "0.1.5", "bimanual_viperx_end_effector_transfer_cube.xml"
)

ALOHA_INSERTION_EE_REFERENCE = Reference(
    "gym-aloha", "0.1.5", "bimanual_viperx_end_effector_insertion.xml"
)
