"""Randomisation terms compiled: the numbers drawn; `quantities.py` has what they change.

The same quantities are looked up in two models: in the one that is stepped, and for pictures in the
one that is drawn, which has other geoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import mujoco
import numpy as np

from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.quantities import (
    QUANTITIES,
    Quantity,
    changes,
    colors,
    field_values,
    find_range,
    friction_pairs,
    lift,
    part_count,
    part_name,
    scalable,
    two_numbers,
    unsuited,
)
from lerobot_puffer.compile.signals import SignalCompiler
from lerobot_puffer.names import close, find, find_joint
from lerobot_puffer.tables import Entry, Randomized, Writes, rows


class RandomizationCompiler:
    """Compiles randomisation terms; its methods raise ValueError where one does not fit.

    Attributes:
      randomized: what the terms draw. draws, lifts, pushes: rows of these tables.
      delay: memory offset, fewest steps and length of the ring of actions.
    """

    def __init__(self, model: mujoco.MjModel, scene: t.SceneLike, signals: SignalCompiler) -> None:
        self.model = model
        self.scene = scene
        self.signals = signals
        self.randomized: list[Randomized] = []
        self.draws: list[dict] = []
        self.lifts: list[dict] = []
        self.pushes: list[dict] = []
        self.delay = (-1, 0, 0)
        self.derive = False
        self._neutral: list[tuple[int, float]] = []
        self._writers: list[Callable[[mujoco.MjModel, bool], Iterator[dict]]] = []

    def rows(self, term: t.Randomization, naction: int) -> list[dict]:
        """Take a term in; returns the rows of its draws."""
        if isinstance(term, t.RandomField):
            return self._field(term)
        if isinstance(term, t.Delay):
            self._delay(term, naction)
        elif isinstance(term, t.Push):
            self._push(term)
        return []

    def noisy(self, terms: tuple[t.Observation, ...], noises: list[t.ObservationNoise],
              ) -> tuple[t.Observation, ...]:
        """The observation terms with the noise that the task's `ObservationNoise` give them."""
        for noise in noises:
            if not (math.isfinite(noise.std) and noise.std >= 0):
                raise ValueError(f"std must be 0 or more, got {noise.std}")
            known = [term.name for term in terms]
            if noise.name not in known and not noise.optional:
                raise ValueError(f"unknown observation {noise.name!r}{close(noise.name, known)}")
            terms = tuple(_with_noise(term, noise.std) if term.name == noise.name else term
                          for term in terms)
        return terms

    def noted(self, noises: list[t.ObservationNoise], layout: list[Entry]) -> list[Randomized]:
        """The entries of all terms, with those of observation noise."""
        units = {entry.name: entry.unit for entry in layout}
        return [*self.randomized, *(
            Randomized("noise", (noise.name,), "standard deviation", noise.std, noise.std,
                       units[noise.name]) for noise in noises if noise.name in units)]

    def writes(self, model: mujoco.MjModel, drawing: bool = False) -> Writes:
        """What the draws change in the model that is stepped, or in the one to draw."""
        found = [change for writer in self._writers for change in writer(model, drawing)]
        values = {field: field_values(model, field).flatten()
                  for field in dict.fromkeys(change["field"] for change in found)}
        if drawing and "geom_rgba" in values:
            values["geom_rgba"] = colors(model).flatten()
        # a zero stays one under a factor; each field of simulations' own is copied in every step
        added = {change["field"] for change in found if change["kind"] != KINDS["write"]["scale"]}
        found = [change for change in found
                 if change["field"] in added or values[change["field"]][change["element"]] != 0]
        fields = tuple(dict.fromkeys(change["field"] for change in found))
        nominal = [values[field] for field in fields]
        singles = [array.dtype == np.float32 for array in nominal]
        for change in found:
            change["field"] = fields.index(change["field"])
            change["single"] = singles[change["field"]]
        return Writes(rows("write", found), fields, tuple(nominal))

    def neutral(self) -> tuple[np.ndarray, np.ndarray]:
        """Memory offsets of the numbers drawn, and what leaves the model as it is."""
        offsets, values = zip(*self._neutral, strict=True) if self._neutral else ((), ())
        return np.array(offsets, np.intp), np.array(values)

    # -------------------------------------------------------------------- kinds of term

    def _field(self, term: t.RandomField) -> list[dict]:
        if term.quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {term.quantity!r}"
                             + close(term.quantity, QUANTITIES))
        quantity = QUANTITIES[term.quantity]
        way, low, high = find_range(term, quantity)
        # only colours are of geoms that the stepped model may lack
        model = self.scene.compile() if term.quantity == "color" else self.model
        parts = self._parts(term, quantity, model)
        if not parts:
            if term.optional and term.of is None:
                return []
            raise ValueError(f"the model has nothing with a {term.quantity} that could be drawn; "
                             "leave the term out")
        width = quantity.width[way == "add"]
        groups = 1 if term.together else len(parts)
        size = groups * width
        start = self.signals.remember(size)
        low_high = [math.log(x) if term.log else x for x in (low, high)]
        draws = [{"value": start + i, "log": term.log, "low": low_high[0], "high": low_high[1]}
                 for i in range(size)]
        offsets = [start if term.together else start + i * width for i in range(len(parts))]

        def writer(model: mujoco.MjModel, drawing: bool) -> Iterator[dict]:
            for part, value in zip(parts, offsets, strict=True):
                for field, element, kind, power, number in changes(
                        term.quantity, way, model, part, drawing):
                    yield {"field": field, "element": element, "kind": KINDS["write"][kind],
                           "power": power, "value": value + number}
            if term.quantity == "friction" and not drawing:
                for part, element in friction_pairs(model, parts, way):
                    yield {"field": "pair_friction", "element": element,
                           "kind": KINDS["write"][way], "power": 1,
                           "value": offsets[parts.index(part)]}

        self._writers.append(writer)
        self.draws += draws
        self._neutral += [(start + i, float(way == "scale")) for i in range(size)]
        self.derive = self.derive or quantity.derive
        if term.quantity == "size":
            self.lifts += [row for part, value in zip(parts, offsets, strict=True)
                           for row in lift(self.model, part, value)]
        self.randomized.append(Randomized(
            term.quantity, tuple(part_name(model, quantity.part, part) for part in parts),
            f"log {way}" if term.log else way, low, high,
            quantity.unit if way == "add" else "factor", start, size))
        return draws

    def _delay(self, term: t.Delay, naction: int) -> None:
        low, high = two_numbers("steps", term.steps)
        if isinstance(low, float) or isinstance(high, float) or not 0 <= low <= high:
            raise ValueError("steps must be whole numbers (fewest, most), 0 or more, got "
                             f"{term.steps}")
        if self.delay[0] >= 0:
            raise ValueError("a task has one Delay, got two; give one the whole range")
        start = self.signals.remember(2 + (high + 1) * naction)
        self.delay = (start, low, high + 1)
        self.randomized.append(Randomized("delay", ("action",), "steps", low, high,
                                          "control steps", start, 1))

    def _push(self, term: t.Push) -> None:
        body = find(self.model, "body", term.body)
        low, high = two_numbers("force", term.force)
        if not 0 <= term.probability <= 1:
            raise ValueError(f"probability must be 0 .. 1, got {term.probability}")
        if not (0 <= low <= high < math.inf):
            raise ValueError(f"force must be (least, most) in N, 0 or more, got {term.force}")
        if not self.model.body_dofnum[self.model.body_weldid[body]]:
            raise ValueError(f"body {term.body!r} must be able to move, and has no joint")
        if any(row["body"] == body for row in self.pushes):
            raise ValueError(f"body {term.body!r} has one Push, got two")
        self.pushes.append({"body": body, "probability": term.probability, "low": low,
                            "high": high})
        self.randomized.append(Randomized("push", (term.body,), "force", low, high, "N"))

    def _parts(self, term: t.RandomField, quantity: Quantity, model: mujoco.MjModel) -> list[int]:
        """Ids of the parts that a term draws for; [0] where the quantity is the model's own."""
        if quantity.part == "":
            if term.of is not None:
                raise ValueError(f"{term.quantity} is the model's; leave `of` out, got {term.of}")
            return [0]
        if term.of is None:
            return [i for i in range(part_count(model, quantity.part))
                    if unsuited(model, term.quantity, i) is None
                    and scalable(model, term.quantity, i)]
        if isinstance(term.of, str):
            raise ValueError(f"`of` must be a tuple of names, as ({term.of!r},), got {term.of!r}")
        if len(set(term.of)) != len(term.of):
            raise ValueError(f"names in `of` must differ, got {term.of}")
        parts = [find_joint(model, name) if term.quantity == "joint_offset"
                 else find(model, quantity.part, name) for name in term.of]
        for name, part in zip(term.of, parts, strict=True):
            reason = unsuited(model, term.quantity, part)
            if reason is None and term.scale is not None and not scalable(
                    model, term.quantity, part):
                reason = f"needs a {term.quantity} other than 0 to be scaled"
            if reason is not None:
                raise ValueError(f"{quantity.part} {name!r} {reason}; leave it out of `of`")
        return parts


def _with_noise(term: t.Observation, std: float) -> t.Observation:
    if isinstance(term, t.Joined):
        return replace(term, terms=tuple(
            replace(part, noise=std * abs(part.scale)) for part in term.terms))
    return replace(term, noise=std * abs(term.scale))
