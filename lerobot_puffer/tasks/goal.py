"""The `goal` option that fixes what a task draws."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lerobot_puffer.names import close
from lerobot_puffer.signals import Vec3
from lerobot_puffer.terms import Box


def check_goal(goal: dict | None, allowed: Iterable[str]) -> dict:
    """The goal as a dict; raises ValueError where it has other keys than `allowed`."""
    if goal is None:
        return {}
    if not isinstance(goal, dict):
        raise ValueError(f"goal must be a dict, got {type(goal).__name__}")
    for key in goal:
        if key not in allowed:
            raise ValueError(f"goal has no {key!r}{close(key, allowed)}")
    return goal


def at(position: Vec3) -> Box:
    """The region of one position, m, world frame; raises ValueError unless it is three numbers."""
    try:
        numbers = tuple(float(x) for x in position)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"target_pos must be three finite numbers, got {position!r}")
    return Box(low=(0.0, 0.0, 0.0), high=(0.0, 0.0, 0.0), origin=numbers)
