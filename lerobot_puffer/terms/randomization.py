"""Randomisation terms: what differs from the nominal task; kernels in csrc/randomize.pxd.

A task has none by default. `compile/randomization.py` says which numbers of the model a quantity
is, docs/randomization.md lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lerobot_puffer.names import close

Quantity = Literal[
    "mass", "size", "friction", "damping", "armature", "frictionloss", "joint_offset", "kp", "kv",
    "force_limit", "gravity", "camera_position", "camera_rotation", "camera_fovy",
    "light_position", "light_brightness", "color",
]


@dataclass(frozen=True, kw_only=True)
class RandomField:
    """A quantity of the model, drawn at every reset: multiplied by a factor, or added to.

    Attributes:
      quantity: what is drawn.
      of: bodies (mass, size), joints (damping, armature, frictionloss, joint_offset), actuators
        (kp, kv, force_limit), geoms (friction, color), cameras or lights; None: all that have it,
        but of joint_offset only hinges.
      scale: lowest and highest factor, above 0.
      add: lowest and highest number added, in the quantity's unit.
      log: the factor's logarithm is uniform, not the factor.
      together: one draw for all of `of`, instead of one each.
      optional: a model without the quantity is no error, where `of` is None.
    """

    quantity: Quantity
    of: tuple[str, ...] | None = None
    scale: tuple[float, float] | None = None
    add: tuple[float, float] | None = None
    log: bool = False
    together: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Delay:
    """Actions take effect some control steps late, a whole number that is drawn at every reset.

    Until the first one does, the controls stay as the reset has them.

    Attributes:
      steps: fewest and most.
    """

    steps: tuple[int, int]


@dataclass(frozen=True)
class Push:
    """A force on a body, at its centre of mass, for the length of one control step.

    Its direction is uniform on the sphere.

    Attributes:
      body: what is pushed.
      probability: of a push in a step.
      force: least and most, N.
    """

    body: str
    probability: float
    force: tuple[float, float]


@dataclass(frozen=True)
class ObservationNoise:
    """Gaussian noise on an observation term, in place of the term's own `noise`.

    Attributes:
      name: key of the term in the layout.
      std: standard deviation in the term's unit, before its scale.
      optional: a task without the term is no error.
    """

    name: str
    std: float
    optional: bool = False


Randomization = RandomField | Delay | Push | ObservationNoise

# for any task: what a model does not have is left out
PRESETS: dict[str, tuple[Randomization, ...]] = {
    "mild": (
        RandomField(quantity="mass", scale=(0.9, 1.1), optional=True),
        RandomField(quantity="friction", scale=(0.8, 1.2), together=True, optional=True),
        RandomField(quantity="damping", scale=(0.8, 1.25), log=True, optional=True),
        RandomField(quantity="frictionloss", scale=(0.8, 1.25), log=True, optional=True),
        RandomField(quantity="kp", scale=(0.9, 1.1), optional=True),
        RandomField(quantity="kv", scale=(0.9, 1.1), optional=True),
        RandomField(quantity="force_limit", scale=(0.9, 1.0), optional=True),
        RandomField(quantity="joint_offset", add=(-0.01, 0.01), optional=True),
        Delay((0, 1)),
        ObservationNoise("qpos", 0.002, optional=True),
    ),
    "strong": (
        RandomField(quantity="mass", scale=(0.7, 1.4), log=True, optional=True),
        RandomField(quantity="friction", scale=(0.5, 1.5), together=True, optional=True),
        RandomField(quantity="damping", scale=(0.5, 2.0), log=True, optional=True),
        RandomField(quantity="armature", scale=(0.8, 1.25), log=True, optional=True),
        RandomField(quantity="frictionloss", scale=(0.5, 2.0), log=True, optional=True),
        RandomField(quantity="kp", scale=(0.75, 1.3), log=True, optional=True),
        RandomField(quantity="kv", scale=(0.75, 1.3), log=True, optional=True),
        RandomField(quantity="force_limit", scale=(0.75, 1.0), optional=True),
        RandomField(quantity="joint_offset", add=(-0.03, 0.03), optional=True),
        RandomField(quantity="gravity", add=(-0.1, 0.1)),
        Delay((0, 2)),
        ObservationNoise("qpos", 0.005, optional=True),
        ObservationNoise("qvel", 0.05, optional=True),
    ),
}


def randomizations(value: object) -> tuple[Randomization, ...]:
    """The terms that `randomize` stands for.

    Args:
      value: terms; the name of a preset; True for "mild"; False for none.

    Raises:
      ValueError: it is none of these.
    """
    if isinstance(value, bool):
        return PRESETS["mild"] if value else ()
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"randomize must be True, False, a preset or a tuple of terms, got "
                             f"{value!r}{close(value, PRESETS)}")
        return PRESETS[value]
    terms = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for term in terms:
        if not isinstance(term, Randomization):
            raise ValueError("randomize must hold RandomField, Delay, Push or ObservationNoise, "
                             f"got {term!r}")
    return terms
