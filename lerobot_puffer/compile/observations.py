"""Observation terms compiled: the rows that fill the observation, and its layout."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco

from lerobot_puffer import signals as s
from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.signals import SignalCompiler
from lerobot_puffer.names import BALL, FREE, find, find_mocap
from lerobot_puffer.tables import Entry

_UNITS = {"qpos": "rad or m", "qvel": "rad/s or m/s", "ctrl": "rad", "actuator_force": "N m",
          "sensordata": "of the sensor", "mocap_pos": "m", "mocap_quat": "1"}
_INF = float("inf")
_OBSERVE: dict[type, tuple[str, tuple[float, float], str]] = {
    t.Field: ("field", (-_INF, _INF), ""),
    t.Position: ("position", (-_INF, _INF), "m"),
    t.AxisDirection: ("axis", (-1.0, 1.0), "1"),
    t.GoalPosition: ("goal", (-_INF, _INF), "m"),
    t.OneHot: ("choice", (0.0, 1.0), "1"),
    t.TargetError: ("target_error", (-_INF, _INF), "rad"),
    t.SignalValue: ("signal", (-_INF, _INF), "of the signal"),
    t.TimeFraction: ("time", (0.0, 1.0), "1"),
}


class ObservationCompiler:
    """Compiles observation terms in their order.

    Its methods raise ValueError where a term does not fit the model.

    Attributes:
      layout: an entry a term so far.
    """

    def __init__(self, model: mujoco.MjModel, signals: SignalCompiler, actions: list[dict],
                 episode_length: int) -> None:
        self.model = model
        self.signals = signals
        self.actions = actions
        self.episode_length = episode_length
        self.layout: list[Entry] = []

    @property
    def size(self) -> int:
        """Elements of the row so far."""
        return sum(entry.size for entry in self.layout)

    def rows(self, term: t.Observation) -> list[dict]:
        """Rows of a term; appends its entry to the layout."""
        start = self.size
        terms = term.terms if isinstance(term, t.Joined) else (term,)
        found: list[dict] = []
        units = []
        for part in terms:
            unit, part_rows = self._part(part, start + sum(row["size"] for row in found))
            units.append(unit)
            found += part_rows
        if not found:
            raise ValueError("Joined needs at least one term")
        self.layout.append(Entry(
            term.name, start, sum(row["size"] for row in found),
            ", ".join(dict.fromkeys(units)), min(row["low"] for row in found),
            max(row["high"] for row in found)))
        return found

    def _part(self, term: t.Part, dest: int) -> tuple[str, list[dict]]:
        """Unit and rows of a term that is not joined, from element `dest` of the row."""
        kind, limits, unit = _OBSERVE[type(term)]
        parts: list[tuple[int, dict]] = []  # size and what the kernel reads
        view = {"view": -1}
        if isinstance(term, t.Position | t.AxisDirection) and term.frame is not None:
            frame, site, _ = self.signals.frame(s.Axis(term.frame, (1.0, 0.0, 0.0)))
            view = {"view": frame, "view_site": site}
        if isinstance(term, t.Field):
            unit = _UNITS[term.field]
            parts = [(size, {"source": KINDS["field"][term.field], "first": first})
                     for first, size in self._runs(term)]
        elif isinstance(term, t.Position):
            row: dict = {"a": self.signals.point(term.point)}
            if term.relative_to is not None:
                row |= {"b": self.signals.point(term.relative_to), "relative": True}
            parts = [(3, row)]
        elif isinstance(term, t.AxisDirection):
            frame, site, direction = self.signals.frame(term.axis)
            parts = [(3, {"frame": frame, "site": site, "axis": direction})]
        elif isinstance(term, t.GoalPosition):
            parts = [(3, {"first": self.signals.goal(term.goal)})]
        elif isinstance(term, t.OneHot):
            offset, count = self.signals.choice(term.choice)
            parts = [(count, {"first": offset})]
        elif isinstance(term, t.TargetError):
            if any(row["joint"] < 0 for row in self.actions):
                raise ValueError("TargetError needs position actuators on joints")
            parts = [(self.model.nu, {"first": 0})]
        elif isinstance(term, t.SignalValue):
            parts = [(1, {"first": self.signals.index[term.signal]})]
        else:
            if self.episode_length == 0:
                raise ValueError("TimeFraction needs an episode_length above 0")
            parts = [(1, {})]
        low, high = term.clip if term.clip is not None else limits
        if not low < high:
            raise ValueError(f"clip must be (low, high) with low < high, got {term.clip}")
        part_rows = []
        for size, row in parts:
            part_rows.append(row | view | {
                "kind": KINDS["observe"][kind], "dest": dest, "size": size, "low": low,
                "high": high, "scale": term.scale, "offset": term.offset, "noise": term.noise})
            dest += size
        return unit, part_rows

    def _runs(self, term: t.Field) -> Iterator[tuple[int, int]]:
        """(first, size) of the contiguous parts of a field."""
        model = self.model
        if term.of is None:
            whole = {"qpos": model.nq, "qvel": model.nv, "ctrl": model.nu,
                     "actuator_force": model.nu, "sensordata": model.nsensordata,
                     "mocap_pos": 3 * model.nmocap, "mocap_quat": 4 * model.nmocap}
            yield 0, whole[term.field]
            return
        for name in term.of:
            if term.field in ("qpos", "qvel"):
                joint = find(self.model, "joint", name)
                kind = int(model.jnt_type[joint])
                if term.field == "qpos":
                    yield model.jnt_qposadr[joint], {FREE: 7, BALL: 4}.get(kind, 1)
                else:
                    yield model.jnt_dofadr[joint], {FREE: 6, BALL: 3}.get(kind, 1)
            elif term.field == "sensordata":
                sensor = find(self.model, "sensor", name)
                yield model.sensor_adr[sensor], model.sensor_dim[sensor]
            elif term.field in ("mocap_pos", "mocap_quat"):
                size = 3 if term.field == "mocap_pos" else 4
                yield size * find_mocap(model, name), size
            else:
                yield find(self.model, "actuator", name), 1
