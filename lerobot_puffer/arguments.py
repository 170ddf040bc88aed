"""Arguments that every environment takes: their checks and defaults."""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
from typing import Any

import numpy as np


def thread_count(num_threads: int | None) -> int:
    """Threads that step: 0 is every usable CPU, and so is None, but one in a worker process.

    Raises:
      ValueError: it is no whole number of at least 0.
    """
    if num_threads is None:
        return 1 if multiprocessing.parent_process() is not None else usable_cpus()
    return check_count("num_threads", num_threads, 0) or usable_cpus()


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


def task_options(text: str) -> dict[str, Any]:
    """Options of a task from a command line, as in "mode=delta,control_rate=25".

    Raises:
      argparse.ArgumentTypeError: a part is not NAME=VALUE.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise argparse.ArgumentTypeError(
                f"options of a task look like mode=delta,physics=fast, got {part!r}")
        try:
            options[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name.strip()] = value.strip()
    return options
