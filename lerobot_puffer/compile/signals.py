"""Points, signals and conditions compiled; `compile/__init__.py` does the terms that read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import mujoco
import numpy as np

from lerobot_puffer import signals as s
from lerobot_puffer._core import KINDS, SIGNALS_MAX
from lerobot_puffer.names import close, find, find_free, find_joint

_AXES = {"x": 1, "y": 2, "z": 4}
_SETS_MAX = 64


class SignalCompiler:
    """Collects what signals and conditions need: rows, ids, sets of geoms, memory.

    Its methods raise ValueError where a name is unknown or a number out of range.

    Attributes:
      goals: name -> offset of a goal (3 numbers) in a simulation's memory.
      choices: name -> (offset in a simulation's memory, count).
      nmemory: numbers in a simulation's memory so far.
      index: signal -> row. conditions: rows of that table.
      ids: bodies of `Chosen` points, dofs of `JointSpeed`.
      geom_sets: (ngeom,) bits of the sets each geom is in.
      refresh: bits of the derived fields to refresh after a step.
      seen: kind -> 1 + highest id of the bodies, geoms and sites that are read.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.goals: dict[str, int] = {}
        self.choices: dict[str, tuple[int, int]] = {}
        self.nmemory = 0
        self.index: dict[s.Signal, int] = {}
        self.conditions: list[dict] = []
        self.ids: list[int] = []
        self.geom_sets = np.zeros(model.ngeom, np.uint64)
        self.refresh = 0
        self.seen = {"body": 0, "geom": 0, "site": 0}
        self._sets: dict[frozenset[str], int] = {}

    def collect(self, signals: Iterable[s.Signal]) -> list[dict]:
        """Rows of all signals of a task, each once, in the order in which the core reads them."""
        found = (inner for signal in signals for inner in _nested(signal))
        ordered = sorted(dict.fromkeys(found), key=_order)
        if len(ordered) > SIGNALS_MAX:
            raise ValueError(f"a task has at most {SIGNALS_MAX} signals, got {len(ordered)}")
        self.index = {signal: row for row, signal in enumerate(ordered)}
        return [self.signal(signal) for signal in ordered]

    def count(self, kind: type) -> int:
        """How many signals are of a kind."""
        return sum(isinstance(signal, kind) for signal in self.index)

    def remember(self, count: int) -> int:
        """Offset of `count` new numbers in a simulation's memory."""
        self.nmemory += count
        return self.nmemory - count

    def goal(self, name: str) -> int:
        """Offset of a goal in memory."""
        if name not in self.goals:
            raise ValueError(f"unknown goal {name!r}; a RandomGoal in resets draws it"
                              + close(name, self.goals))
        return self.goals[name]

    def choice(self, name: str) -> tuple[int, int]:
        """Offset of a choice in memory, and the number of its values."""
        if name not in self.choices:
            raise ValueError(f"unknown choice {name!r}; a RandomChoice in resets draws it"
                              + close(name, self.choices))
        return self.choices[name]

    def needs(self, *fields: str) -> None:
        """Have derived fields refreshed after a step."""
        for name in fields:
            self.refresh |= KINDS["refresh"][name]

    def point(self, point: s.Point) -> dict:
        """The Point struct of a point."""
        kind = KINDS["point"][type(point).__name__.lower()]
        if isinstance(point, s.Fixed):
            return {"kind": kind, "position": point.position}
        if isinstance(point, s.Goal):
            return {"kind": kind, "id": self.goal(point.name)}
        self.needs("kinematics")
        if isinstance(point, s.Chosen):
            offset, count = self.choice(point.by)
            if len(point.bodies) != count:
                raise ValueError(f"choice {point.by!r} is of {count}, got bodies {point.bodies}")
            self.ids += [self.see("body", name) for name in point.bodies]
            return {"kind": kind, "id": len(self.ids) - count, "choice": offset}
        if isinstance(point, s.Midpoint):
            return {"kind": kind, "id": self.see("site", point.a),
                    "other": self.see("site", point.b)}
        return {"kind": kind, "id": self.see(type(point).__name__.lower(), point.name)}

    def highest(self) -> tuple[int, int, int]:
        """Bodies, geoms and sites that `mj_kinematics` has to place for the terms."""
        if self.refresh & (KINDS["refresh"]["contacts"] | KINDS["refresh"]["velocities"]):
            return self.model.nbody, self.model.ngeom, self.model.nsite
        return self.seen["body"], self.seen["geom"], self.seen["site"]

    def see(self, kind: str, name: str) -> int:
        """The id of a body, geom or site whose frame is read; parents have lower ids."""
        found = find(self.model, kind, name)
        body = found
        if kind != "body":
            self.seen[kind] = max(self.seen[kind], found + 1)
            body = getattr(self.model, f"{kind}_bodyid")[found]
        self.seen["body"] = max(self.seen["body"], int(body) + 1)
        return found

    def frame(self, axis: s.Axis) -> tuple[int, bool, np.ndarray]:
        """Id of the frame (-1: world), whether it is a site, the unit vector."""
        length = float(np.linalg.norm(axis.direction))
        if length == 0:
            raise ValueError(f"an axis needs a direction, got {axis.direction}")
        unit = np.array(axis.direction) / length
        if axis.frame is None:
            return -1, False, unit
        self.needs("kinematics")
        kind = type(axis.frame).__name__.lower()
        return self.see(kind, axis.frame.name), kind == "site", unit

    def geom_set(self, geoms: tuple[str, ...]) -> int:
        """The bit of a set of geoms."""
        names = frozenset(geoms)
        if not names:
            raise ValueError("a set of geoms must not be empty")
        if names not in self._sets:
            if len(self._sets) == _SETS_MAX:
                raise ValueError(f"a task has at most {_SETS_MAX} sets of geoms")
            self._sets[names] = 1 << len(self._sets)
            for name in names:
                self.geom_sets[find(self.model, "geom", name)] |= np.uint64(self._sets[names])
        return self._sets[names]

    def signal(self, signal: s.Signal) -> dict:
        """The row of a signal."""
        row: dict = {"kind": KINDS["signal"][snake(type(signal).__name__)]}
        if isinstance(signal, s.Distance):
            if not signal.axes or set(signal.axes) - set(_AXES):
                raise ValueError(f"axes must be some of 'xyz', got {signal.axes!r}")
            row |= {"a": self.point(signal.a), "b": self.point(signal.b),
                    "axes": sum(_AXES[axis] for axis in set(signal.axes))}
        elif isinstance(signal, s.Height):
            row |= {"a": self.point(signal.point),
                    "b": self.point(signal.over or s.Fixed((0.0, 0.0, 0.0)))}
        elif isinstance(signal, s.Speed | s.AngularSpeed):
            row["a"] = self.point(signal.point)
            free = -1
            if isinstance(signal.point, s.Body):
                free = find_free(self.model, signal.point.name)
            row["dof"] = self.model.jnt_dofadr[free] if free >= 0 else -1
            if free < 0:
                self.needs("velocities")
        elif isinstance(signal, s.JointPosition):
            row["address"] = self.model.jnt_qposadr[find_joint(self.model, signal.joint)]
        elif isinstance(signal, s.Control):
            row["address"] = find(self.model, "actuator", signal.actuator)
        elif isinstance(signal, s.JointSpeed):
            if not signal.joints:
                raise ValueError("JointSpeed needs at least one joint")
            row |= {"first": len(self.ids), "count": len(signal.joints)}
            self.ids += [int(self.model.jnt_dofadr[find_joint(self.model, joint)])
                         for joint in signal.joints]
        elif isinstance(signal, s.Latch):
            if not signal.conditions:
                raise ValueError("a Latch needs at least one condition")
            row["address"] = self.remember(1)
            row["first"], row["count"] = self.conjunction(signal.conditions)
        elif isinstance(signal, s.Alignment):
            row["frame_a"], row["site_a"], row["axis_a"] = self.frame(signal.a)
            row["frame_b"], row["site_b"], row["axis_b"] = self.frame(signal.b)
        elif isinstance(signal, s.FaceAlignment):
            row["frame_a"], row["site_a"], row["axis_a"] = self.frame(signal.axis)
            box = s.Axis(signal.box, (1.0, 0.0, 0.0))
            row["frame_b"], row["site_b"], _ = self.frame(box)
        else:
            row |= {"set_a": self.geom_set(signal.a), "set_b": self.geom_set(signal.b),
                    "ordered": signal.ordered}
            if isinstance(signal, s.Contact):
                self.needs("kinematics", "contacts")
                row["cosine"] = -1.0
                if signal.along is not None:
                    if not 0 <= signal.cosine < 1:
                        raise ValueError("cosine must be at least 0 and below 1, "
                                         f"got {signal.cosine}")
                    row["cosine"] = signal.cosine
                    row["frame_a"], row["site_a"], row["axis_a"] = self.frame(signal.along)
        return row

    def conjunction(self, conditions: tuple[s.Condition, ...]) -> tuple[int, int]:
        """First row and number of the rows of a conjunction."""
        first = len(self.conditions)
        self.conditions += [
            {"signal": self.index[c.signal], "above": isinstance(c, s.Above),
             "threshold": c.threshold} for c in conditions]
        return first, len(conditions)


def snake(name: str) -> str:
    """ContactForce -> contact_force: a dataclass and its kernel."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def _nested(signal: s.Signal) -> Iterator[s.Signal]:
    """A signal and those that it reads."""
    if isinstance(signal, s.Latch):
        for condition in signal.conditions:
            yield from _nested(condition.signal)
    yield signal


def _order(signal: s.Signal) -> int:
    """The core reads contact forces first, contacts second, a latch after what it reads."""
    if isinstance(signal, s.Latch):
        return 3 + max((_order(c.signal) for c in signal.conditions), default=0)
    return 0 if isinstance(signal, s.ContactForce) else 1 if isinstance(signal, s.Contact) else 2
