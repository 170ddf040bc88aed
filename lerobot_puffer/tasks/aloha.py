"""What the ALOHA tasks share: actions, observations, names, and the start of the arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lerobot_puffer.aloha import AlohaScene, Side, fast, finger_geoms
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.scene import Reference, Vec3
from lerobot_puffer.signals import Above, Below, Condition, Contact
from lerobot_puffer.terms import (
    Absolute,
    Action,
    Box,
    Coupled,
    Delta,
    Field,
    Joined,
    Normalized,
    Observation,
    RandomJoints,
    RandomPose,
    Reset,
)

Mode = Literal["absolute", "normalized", "delta"]
PhysicsName = Literal["reference", "fast"]

# a finger's slide at gripper 0 and 1, m (gym_aloha constants PUPPET_GRIPPER_POSITION_CLOSE, OPEN)
CLOSED, OPEN = 0.01844, 0.05800
SIDES: tuple[Side, Side] = ("left", "right")
GRIPPERS = tuple(
    Coupled(
        joints=(f"vx300s_{side}/left_finger", f"vx300s_{side}/right_finger"),
        low=(CLOSED, -CLOSED), high=(OPEN, -OPEN),
    )
    for side in SIDES
)
EPISODE_LENGTH = 300
# up to here no arm met anything in 3,000 random starts, rad
_MOST_NOISE = 0.3


def action(mode: str) -> Action:
    """14 numbers: six joints and a gripper an arm, the left arm first."""
    if mode == "absolute":
        return Absolute(coupled=GRIPPERS)
    if mode == "normalized":
        return Normalized(coupled=GRIPPERS)
    if mode == "delta":
        return Delta(step=0.1, leash=0.2, coupled=GRIPPERS)
    raise ValueError(f"mode must be 'absolute', 'normalized' or 'delta', got {mode!r}")


def scene(native: AlohaScene, published: Reference, assets: str, physics: str
          ) -> AlohaScene | Reference:
    """The scene of a task's options."""
    if physics not in ("reference", "fast"):
        raise ValueError(f"physics must be 'reference' or 'fast', got {physics!r}")
    if assets == "reference":
        if physics == "fast":
            raise ValueError("physics='fast' is of our own scenes; leave out assets='reference'")
        return published
    return fast(native) if physics == "fast" else native


def substeps(physics: str) -> int:
    """`mj_step` calls of 20 ms."""
    return 4 if physics == "fast" else 10


def start(objects: tuple[tuple[str, Vec3, Vec3], ...], arm_noise: float, object_yaw: float
          ) -> tuple[Reset, ...]:
    """The arms at home and each object in its box, turned about z.

    Args:
      objects: body and the corners of its box.
      arm_noise: half width of the arms' joint angles about home, 0 .. 0.3 rad.
      object_yaw: half width of the objects' yaw, 0 .. 3.1416 rad.
    """
    for name, value, most in (("arm_noise", arm_noise, _MOST_NOISE),
                              ("object_yaw", object_yaw, 3.1416)):
        if not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise ValueError(f"{name} must be 0 .. {most} rad, got {value!r}")
    joints = dict(zip(ALOHA.joints, ALOHA.home, strict=True))
    fingers = {name: joints.pop(name) for name in ALOHA.grippers}
    return (
        RandomJoints(tuple(joints), tuple(joints.values()), arm_noise),
        RandomJoints(tuple(fingers), tuple(fingers.values())),
        *(RandomPose(body, Box(low, high), yaw=(-object_yaw, object_yaw))
          for body, low, high in objects),
    )


def observations(objects: tuple[str, ...]) -> tuple[Observation, ...]:
    """qpos (14) and qvel (14) of the arms, grippers in 0..1, and the objects' poses (7 each).

    Args:
      objects: free joints of the objects.
    """
    width = OPEN - CLOSED

    def arms(field: Literal["qpos", "qvel"], offset: float) -> Joined:
        parts: list[Field] = []
        for side in SIDES:
            joints = tuple(j for j in ALOHA.joints if j.startswith(f"vx300s_{side}/"))
            parts.append(Field(name=f"{side}_arm", field=field, of=joints[:6]))
            parts.append(Field(name=f"{side}_gripper", field=field, of=joints[6:7],
                               scale=1 / width, offset=offset))
        return Joined(field, tuple(parts))

    return (
        arms("qpos", -CLOSED / width),
        arms("qvel", 0.0),
        Field(name="env_state", field="qpos", of=objects),
    )


@dataclass(frozen=True)
class Touch:
    """Contacts between an object and the fingers that count.

    Attributes:
      reference: the reference's names, of which only pairs listed object first count.
    """

    reference: bool

    def finger(self, geoms: tuple[str, ...], arm: Side) -> Contact:
        """The finger on the arm's own side: its right one for the right arm, left for left."""
        if self.reference:
            return Contact(geoms, (f"vx300s_{arm}/10_{arm}_gripper_finger",), ordered=True)
        return Contact(geoms, finger_geoms(arm, arm))

    def geoms(self, a: tuple[str, ...], b: tuple[str, ...]) -> Contact:
        """Contacts between other geoms."""
        return Contact(a, b, ordered=self.reference)


def on(contact: Contact) -> Condition:
    """True while there is such a contact."""
    return Above(contact, 0.5)


def off(contact: Contact) -> Condition:
    """True while there is none."""
    return Below(contact, 0.5)
