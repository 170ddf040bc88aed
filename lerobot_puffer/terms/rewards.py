"""Reward terms, summed at every step; kernels in csrc/reward.pxd."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot_puffer.signals import Condition, Signal


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What the shaped reward terms share.

    Attributes:
      name: the term's key in the log.
      signal: what is shaped.
      weight: factor.
      when: the term is zero unless all these conditions hold.
      progress: the reward is the term's change since the last step (a potential's difference).
    """

    name: str
    signal: Signal
    weight: float = 1.0
    when: tuple[Condition, ...] = ()
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class Negative(Shaping):
    """-x."""


@dataclass(frozen=True, kw_only=True)
class Gaussian(Shaping):
    """exp(-x^2 / (2 variance)); the variance in the signal's unit squared."""

    variance: float


@dataclass(frozen=True, kw_only=True)
class Tanh(Shaping):
    """1 - tanh(x / width); the width in the signal's unit."""

    width: float


@dataclass(frozen=True, kw_only=True)
class Tolerance(Shaping):
    """1 within [lower, upper], falling as a Gaussian to `value_at_margin` at distance `margin`.

    As dm_control's `rewards.tolerance` with its Gaussian sigmoid (Tassa et al., 2018).
    """

    lower: float = 0.0
    upper: float = 0.0
    margin: float = 0.0
    value_at_margin: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Ramp(Shaping):
    """0 at `lower` and beyond, 1 at `upper` and beyond, linear between; either may be larger."""

    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """1 where all conditions of `when` hold, else 0."""

    name: str
    when: tuple[Condition, ...]
    weight: float = 1.0
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The value of the last (value, conditions) level whose conditions all hold; 0 if none does."""

    name: str
    levels: tuple[tuple[float, tuple[Condition, ...]], ...]
    weight: float = 1.0
    progress: bool = False


@dataclass(frozen=True, kw_only=True)
class SuccessBonus:
    """1 in every step in which the task's success holds; its kernel is the success flag."""

    name: str = "success_bonus"
    weight: float = 1.0


Reward = Negative | Gaussian | Tanh | Tolerance | Ramp | Indicator | Stages | SuccessBonus
