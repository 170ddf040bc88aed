"""Action terms compiled: a row an actuator."""

from __future__ import annotations

import mujoco
import numpy as np

from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.signals import snake
from lerobot_puffer.names import find_joint

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
        coupled = self._coupled()
        elements: dict[object, int] = {}
        steps = {}
        if isinstance(action, t.Delta):
            steps = {self._actuator(joint): rest for joint, *rest in action.overrides}
        rows = []
        for i in range(model.nu):
            low, high = (model.actuator_ctrlrange[i] if model.actuator_ctrllimited[i]
                         else (-_INF, _INF))
            couple, start, end = coupled.get(i, (i, low, high))
            row: dict = {"kind": KINDS["action"][snake(type(action).__name__)], "actuator": i,
                         "source": elements.setdefault(couple, len(elements)), "joint": -1}
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) or i
            if model.actuator_trntype[i] == _ON_JOINT and model.actuator_biasprm[i, 1] < 0:
                row["joint"] = model.jnt_qposadr[model.actuator_trnid[i, 0]]
            if isinstance(action, t.Absolute):
                row |= {"offset": start, "scale": end - start} if i in coupled else {"scale": 1.0}
            elif isinstance(action, t.Normalized):
                if not np.isfinite([start, end]).all():
                    raise ValueError(f"actuator {name!r} needs a ctrlrange for Normalized actions")
                row |= {"offset": 0.5 * (start + end), "scale": 0.5 * (end - start)}
            else:
                if row["joint"] < 0:
                    raise ValueError(f"actuator {name!r} must be a position actuator on a joint "
                                      "for Delta actions; use Normalized or Absolute")
                joint = model.actuator_trnid[i, 0]
                if model.jnt_limited[joint]:
                    low = max(low, model.jnt_range[joint, 0])
                    high = min(high, model.jnt_range[joint, 1])
                row["scale"], row["leash"] = steps.get(i, (action.step, action.leash))
                if isinstance(couple, t.Coupled):
                    row["scale"], row["leash"] = couple.step * (end - start), _INF
            rows.append(row | {"low": low, "high": high})
        return rows

    def _coupled(self) -> dict[int, tuple[t.Coupled, float, float]]:
        """Actuator id -> its couple and the controls at both ends."""
        found: dict[int, tuple[t.Coupled, float, float]] = {}
        for couple in self.action.coupled:
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
