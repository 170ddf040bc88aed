"""The registered tasks: one file each, and the registry.

`make_task` builds a registered task; a user's own `Task` needs no registration: every entry point
takes a `Task` as well as a name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

from lerobot_puffer import ALOHA_IDS, GYM_IDS
from lerobot_puffer.names import close
from lerobot_puffer.tasks.aloha_ee import aloha_insertion_ee, aloha_transfer_cube_ee
from lerobot_puffer.tasks.aloha_insertion import aloha_insertion
from lerobot_puffer.tasks.aloha_transfer_cube import aloha_transfer_cube
from lerobot_puffer.tasks.lerobot_goal_place import lerobot_goal_place
from lerobot_puffer.tasks.lerobot_reach import lerobot_reach
from lerobot_puffer.tasks.lift import lift
from lerobot_puffer.tasks.pick_place import pick_place
from lerobot_puffer.tasks.push import push
from lerobot_puffer.tasks.reach import reach
from lerobot_puffer.tasks.stack import stack
from lerobot_puffer.terms import Randomization, Task, randomizations

REGISTRY: dict[str, Callable[..., Task]] = {
    "lerobot_reach": lerobot_reach,
    "lerobot_goal_place": lerobot_goal_place,
    "reach": reach,
    "lift": lift,
    "push": push,
    "pick_place": pick_place,
    "stack": stack,
    "aloha_transfer_cube": aloha_transfer_cube,
    "aloha_insertion": aloha_insertion,
    "aloha_transfer_cube_ee": aloha_transfer_cube_ee,
    "aloha_insertion_ee": aloha_insertion_ee,
}

Randomize = bool | str | tuple[Randomization, ...] | None

# arguments that every task has
_COMMON = ("assets", "goal")


def option_defaults(task: str) -> dict[str, Any]:
    """The options of a registered task and their defaults."""
    return {name: parameter.default for name, parameter in
            signature(REGISTRY[task]).parameters.items() if name not in _COMMON}


def make_task(
    task: str | Task, assets: str = "native", goal: dict | None = None,
    options: Mapping[str, Any] | None = None, randomize: Randomize = None,
) -> Task:
    """Build a registered task, or pass a Task through.

    Args:
      task: name in `REGISTRY`, or a Task.
      assets: "native", or "reference" for the scene of the reference package where there is one.
      goal: fixes what the task draws, e.g. `{"target_pos": (x, y, z), "object_index": k}`.
      options: further arguments of the task's function, e.g. `{"mode": "delta"}`.
      randomize: terms, the name of a preset, True for "mild", False for none, which take the place
        of the task's own `randomize`; None keeps that.

    Raises:
      ValueError: the name is unknown, or the task has no such option.
    """
    made = _make(task, assets, goal, options)
    return made if randomize is None else replace(made, randomize=randomizations(randomize))


def _make(task: str | Task, assets: str, goal: dict | None,
          options: Mapping[str, Any] | None) -> Task:
    if isinstance(task, Task):
        if assets != "native" or goal is not None or options:
            raise ValueError("assets, goal and options are of registered tasks; change the Task "
                             "itself with dataclasses.replace")
        return task
    if not isinstance(task, str):
        raise ValueError(f"task must be a name or a Task, got {task!r}")
    if task not in REGISTRY:
        named = (GYM_IDS | ALOHA_IDS).get(task.removeprefix("lerobot_puffer/"))
        raise ValueError(f"unknown task {task!r}" + (
            f"; as a Gymnasium id it is the task {named!r}" if named else close(task, REGISTRY)))
    if assets not in ("native", "reference"):
        raise ValueError(f"assets must be 'native' or 'reference', got {assets!r}")
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise ValueError(f"options must be a dict, as {{'mode': 'delta'}}, got {options!r}")
    known = option_defaults(task)
    for name in options:
        if name not in known:
            raise ValueError(f"task {task!r} has no option {name!r}; "
                             + (f"it has {', '.join(known)}" if known else "it has none"))
    return REGISTRY[task](assets=assets, goal=goal, **options)
