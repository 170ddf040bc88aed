"""Reset terms compiled: what is drawn at the start of an episode."""

from __future__ import annotations

import mujoco
import numpy as np

from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.signals import SignalCompiler
from lerobot_puffer.names import find, find_free, find_joint, find_mocap

_INF = float("inf")
_SAMPLES = 256
_WELD = int(mujoco.mjtEq.mjEQ_WELD)
_BODY = int(mujoco.mjtObj.mjOBJ_BODY)


class ResetCompiler:
    """Compiles reset terms in their order; goals and choices become known to `signals`.

    Its methods raise ValueError where a term does not fit the model.
    """

    def __init__(self, model: mujoco.MjModel, signals: SignalCompiler) -> None:
        self.model = model
        self.signals = signals
        self.drawn: list[t.Region] = []

    def rows(self, term: t.Reset) -> list[dict]:
        """Rows of a term."""
        model = self.model
        if isinstance(term, t.RandomJoints):
            if len(term.joints) != len(term.positions):
                raise ValueError(f"positions must be one a joint, got {len(term.positions)} "
                                  f"for {len(term.joints)} joints")
            joints = []
            for name, centre in zip(term.joints, term.positions, strict=True):
                joint = find_joint(self.model, name)
                low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-_INF, _INF)
                if not low <= centre <= high:
                    raise ValueError(f"joint {name!r} has range {low:g} .. {high:g}, "
                                      f"got position {centre:g}")
                joints.append({"kind": KINDS["reset"]["joints"],
                             "address": model.jnt_qposadr[joint],
                             "low": max(low, centre - term.noise),
                             "high": min(high, centre + term.noise)})
            return joints
        if isinstance(term, t.RandomPose):
            joint = find_free(self.model, term.body)
            if joint < 0:
                raise ValueError(f"body {term.body!r} must have a free joint")
            return [{"kind": KINDS["reset"]["pose"], "address": model.jnt_qposadr[joint],
                     "low": term.yaw[0], "high": term.yaw[1], "radial": term.radial,
                     **self._place(term)}]
        if isinstance(term, t.RandomGoal):
            mocap = -1 if term.marker is None else find_mocap(model, term.marker)
            self.signals.goals[term.name] = self.signals.remember(3)
            return [{"kind": KINDS["reset"]["goal"], "address": self.signals.goals[term.name],
                     "mocap": mocap, **self._place(term)}]
        if isinstance(term, t.RestingMocap):
            body = find(model, "body", term.body)
            welds = np.flatnonzero((model.eq_type == _WELD) & (model.eq_objtype == _BODY)
                                   & (model.eq_obj1id == body))
            if len(welds) != 1:
                raise ValueError(f"body {term.body!r} must be the first of one weld between "
                                 f"bodies, got {len(welds)}")
            return [{"kind": KINDS["reset"]["mocap"], "address": welds[0],
                     "mocap": find_mocap(model, term.body)}]
        fixed = term.fixed
        if term.count < 1 or (fixed is not None and not 0 <= fixed < term.count):
            raise ValueError(f"choice {term.name!r} of {term.count} must be 0 .. "
                              f"{term.count - 1}, got {fixed}")
        self.signals.choices[term.name] = (self.signals.remember(1), term.count)
        return [{"kind": KINDS["reset"]["choice"], "address": self.signals.choices[term.name][0],
                 "low": fixed or 0, "count": term.count if fixed is None else 1}]

    def _place(self, term: t.RandomPose | t.RandomGoal) -> dict:
        """Where a position is drawn, after a check that its separation leaves room."""
        rng = np.random.default_rng(0)
        places = [_sample(region, rng) for region in (*self.drawn, term.region)]
        free = np.ones((_SAMPLES, _SAMPLES), bool)  # whether b may be drawn after others at a
        for place in places[:-1]:
            steps = place[:, None] - places[-1]
            free &= np.linalg.norm(steps, axis=2) >= term.separation
        left = free.mean(axis=1).min()
        if not term.separation >= 0 or left < 0.1:
            raise ValueError(
                f"separation must leave at least a tenth of the region, got {term.separation} m, "
                f"which can leave {left:.0%}; make it smaller or the region larger")
        self.drawn.append(term.region)
        return {"region": _region(term.region), "separation": term.separation}


def _sample(region: t.Region, rng: np.random.Generator) -> np.ndarray:
    """Horizontal positions in a region, (_SAMPLES, 2), m."""
    row = _region(region)
    x = rng.uniform(row["low"], row["high"], (_SAMPLES, 3))
    if isinstance(region, t.Sector):
        x[:, :2] = x[:, :1] * np.column_stack([np.cos(x[:, 1]), np.sin(x[:, 1])])
    return x[:, :2] + row["origin"][:2]


def _region(region: t.Region) -> dict:
    if isinstance(region, t.Box):
        return {"low": region.low, "high": region.high, "origin": region.origin}
    low, high = zip(region.radius, region.angle, region.height, strict=True)
    return {"sector": True, "low": low, "high": high, "origin": region.origin}
