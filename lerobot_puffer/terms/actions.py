"""Action terms: what an action does to actuators and mocap bodies; kernels in csrc/action.pxd."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lerobot_puffer.signals import Vec3


@dataclass(frozen=True)
class Coupled:
    """Several actuators that one element of the action drives, as the fingers of a gripper.

    Attributes:
      joints: the joints that they drive.
      low, high: the control of each at 0 and at 1 (`Absolute`), or at -1 and at 1 (`Normalized`).
      step: the share of high - low that `Delta` moves at most in a step.
    """

    joints: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    step: float = 0.25


@dataclass(frozen=True)
class Absolute:
    """The action is the actuators' control itself (rad), clipped to their ctrlrange."""

    coupled: tuple[Coupled, ...] = ()


@dataclass(frozen=True)
class Normalized:
    """-1..1 spans each actuator's ctrlrange."""

    coupled: tuple[Coupled, ...] = ()


@dataclass(frozen=True)
class Delta:
    """The action moves the target of each position actuator.

    Attributes:
      step: largest move a step, rad.
      leash: largest distance of the target from the joint, rad; keeps it from winding up against
        an obstacle.
      overrides: (joint, step, leash) of joints that differ, as a gripper's.
      coupled: as in the other modes.
    """

    step: float
    leash: float = math.inf
    overrides: tuple[tuple[str, float, float], ...] = ()
    coupled: tuple[Coupled, ...] = ()


@dataclass(frozen=True)
class Hand:
    """A mocap body and the gripper of the arm that is welded to it.

    Attributes:
      body: the mocap body.
      gripper: the gripper's actuators.
      low, high: the position is clipped to this box, m, world frame.
      step: the position moves by at most this in a step, m; a body that jumps far tears at its weld
        until the simulation diverges.
    """

    body: str
    gripper: Coupled
    low: Vec3
    high: Vec3
    step: float = math.inf


@dataclass(frozen=True)
class Pose:
    """Eight elements a hand: position (m), quaternion (wxyz), both world frame, and its gripper.

    The quaternion is normalised; where all four are zero the orientation stays. The gripper is as
    in `Absolute`.
    """

    hands: tuple[Hand, ...]


Action = Absolute | Normalized | Delta | Pose
