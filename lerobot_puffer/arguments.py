"""Arguments that every environment takes: their checks and defaults."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np


def default_threads() -> int:
    """Threads where none are asked for: every usable CPU, but one in a worker process."""
    if multiprocessing.parent_process() is not None:
        return 1
    return usable_cpus()


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_count(name: str, value: object, lowest: int) -> int:
    """A whole number of at least `lowest`; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, got {value!r}")
    return int(value)
