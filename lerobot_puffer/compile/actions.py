"""Action terms compiled: a row an actuator, and one a mocap body."""

from __future__ import annotations

import mujoco
import numpy as np

from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.signals import snake
from lerobot_puffer.names import find_joint, find_mocap

_INF = float("inf")
_ON_JOINT = int(mujoco.mjtTrn.mjTRN_JOINT)


class ActionCompiler:
    """Compiles one action term; its methods raise ValueError where it does not fit the model."""

    def __init__(self, model: mujoco.MjModel, action: t.Action) -> None:
        self.model = model
        self.action = action

    def rows(self) -> list[dict]:
        """A row for every actuator; coupled ones share an element of the action."""
        model, action = self.model, self.action
        if model.nu == 0:
            raise ValueError("the model has no actuators")
        if isinstance(action, t.Pose):
            return self._pose_rows(action.hands)
        coupled = self._coupled(action.coupled)
        elements: dict[object, int] = {}
        steps = {}
        if isinstance(action, t.Delta):
            steps = {self._actuator(joint): rest for joint, *rest in action.overrides}
        rows = []
        for i in range(model.nu):
            low, high = self._ctrlrange(i)
            couple, start, end = coupled.get(i, (i, low, high))
            row: dict = {"kind": KINDS["action"][snake(type(action).__name__)], "actuator": i,
                         "source": elements.setdefault(couple, len(elements)),
                         "joint": self._position(i)}
            if isinstance(action, t.Absolute):
                row |= {"offset": start, "scale": end - start} if i in coupled else {"scale": 1.0}
            elif isinstance(action, t.Normalized):
                if not np.isfinite([start, end]).all():
                    raise ValueError(f"actuator {self._name(i)!r} needs a ctrlrange for "
                                     "Normalized actions")
                row |= {"offset": 0.5 * (start + end), "scale": 0.5 * (end - start)}
            else:
                if row["joint"] < 0:
                    raise ValueError(f"actuator {self._name(i)!r} must be a position actuator on a "
                                      "joint for Delta actions; use Normalized or Absolute")
                joint = model.actuator_trnid[i, 0]
                if model.jnt_limited[joint]:
                    low = max(low, model.jnt_range[joint, 0])
                    high = min(high, model.jnt_range[joint, 1])
                row["scale"], row["leash"] = steps.get(i, (action.step, action.leash))
                if isinstance(couple, t.Coupled):
                    row["scale"], row["leash"] = couple.step * (end - start), _INF
            rows.append(row | {"low": low, "high": high})
        return rows

    def _pose_rows(self, hands: tuple[t.Hand, ...]) -> list[dict]:
        """Eight elements a hand, in their order."""
        model = self.model
        if not hands:
            raise ValueError("Pose needs at least one hand")
        rows: list[dict] = []
        for k, hand in enumerate(hands):
            if not (np.array(hand.low) < hand.high).all():
                raise ValueError(f"a hand's box needs low < high, got {hand.low}, {hand.high}")
            if not hand.step > 0:
                raise ValueError(f"a hand's step must be above 0 m, got {hand.step}")
            rows.append({"kind": KINDS["action"]["pose"], "source": 8 * k, "joint": -1,
                         "actuator": find_mocap(model, hand.body), "scale": hand.step,
                         "lower": hand.low, "upper": hand.high})
        coupled = self._coupled(tuple(hand.gripper for hand in hands))
        grippers = [hand.gripper for hand in hands]
        for i in range(model.nu):
            if i not in coupled:
                raise ValueError(f"Pose must drive every actuator, {self._name(i)!r} is in no "
                                 "gripper")
            couple, start, end = coupled[i]
            low, high = self._ctrlrange(i)
            rows.append({"kind": KINDS["action"]["absolute"], "actuator": i,
                         "source": 8 * grippers.index(couple) + 7, "joint": self._position(i),
                         "offset": start, "scale": end - start, "low": low, "high": high})
        return rows

    def _ctrlrange(self, i: int) -> tuple[float, float]:
        if not self.model.actuator_ctrllimited[i]:
            return -_INF, _INF
        low, high = self.model.actuator_ctrlrange[i]
        return low, high

    def _name(self, i: int) -> str | int:
        return mujoco.mj_id2name(self.model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) or i

    def _position(self, i: int) -> int:
        """qpos address of the joint that a position actuator holds, -1 of other actuators."""
        model = self.model
        if model.actuator_trntype[i] == _ON_JOINT and model.actuator_biasprm[i, 1] < 0:
            return int(model.jnt_qposadr[model.actuator_trnid[i, 0]])
        return -1

    def _coupled(self, couples: tuple[t.Coupled, ...]
                 ) -> dict[int, tuple[t.Coupled, float, float]]:
        """Actuator id -> its couple and the controls at both ends."""
        found: dict[int, tuple[t.Coupled, float, float]] = {}
        for couple in couples:
            if not len(couple.joints) == len(couple.low) == len(couple.high) > 0:
                raise ValueError(f"low and high must be one a joint, got {couple}")
            for joint, low, high in zip(couple.joints, couple.low, couple.high, strict=True):
                actuator = self._actuator(joint)
                if actuator in found:
                    raise ValueError(f"joint {joint!r} is coupled twice")
                found[actuator] = (couple, low, high)
        return found

    def _actuator(self, joint: str) -> int:
        """Id of the actuator on a joint: published models do not always name theirs."""
        model = self.model
        drives = (model.actuator_trntype == _ON_JOINT) & (
            model.actuator_trnid[:, 0] == find_joint(model, joint))
        if drives.sum() != 1:
            raise ValueError(f"joint {joint!r} must have one actuator, got {drives.sum()}")
        return int(drives.argmax())
