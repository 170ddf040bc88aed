"""Names of a model's parts to ids, with errors that list the close matches."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import mujoco

FREE = int(mujoco.mjtJoint.mjJNT_FREE)
BALL = int(mujoco.mjtJoint.mjJNT_BALL)

_KINDS = {
    "body": (mujoco.mjtObj.mjOBJ_BODY, "nbody"),
    "site": (mujoco.mjtObj.mjOBJ_SITE, "nsite"),
    "geom": (mujoco.mjtObj.mjOBJ_GEOM, "ngeom"),
    "joint": (mujoco.mjtObj.mjOBJ_JOINT, "njnt"),
    "actuator": (mujoco.mjtObj.mjOBJ_ACTUATOR, "nu"),
    "sensor": (mujoco.mjtObj.mjOBJ_SENSOR, "nsensor"),
    "camera": (mujoco.mjtObj.mjOBJ_CAMERA, "ncam"),
    "light": (mujoco.mjtObj.mjOBJ_LIGHT, "nlight"),
}


def close(name: object, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: close matches, or some of what is known."""
    known = list(known)
    matches = difflib.get_close_matches(str(name), known, n=3)
    if matches:
        return f"; did you mean {' or '.join(map(repr, matches))}?"
    return f"; known: {', '.join(map(repr, known[:20]))}" if known else ""


def names_of(model: mujoco.MjModel, kind: str) -> list[str]:
    """Names of all bodies, sites, ... of a model that have one."""
    objtype, count = _KINDS[kind]
    names = (mujoco.mj_id2name(model, objtype, i) for i in range(getattr(model, count)))
    return [name for name in names if name]


def find(model: mujoco.MjModel, kind: str, name: str) -> int:
    """Id of a named part; raises ValueError that lists the close matches."""
    index = mujoco.mj_name2id(model, _KINDS[kind][0], name)
    if index < 0:
        raise ValueError(f"unknown {kind} {name!r}" + close(name, names_of(model, kind)))
    return index


def find_joint(model: mujoco.MjModel, name: str) -> int:
    """Id of a joint with one degree of freedom; raises ValueError for others."""
    joint = find(model, "joint", name)
    if model.jnt_type[joint] in (FREE, BALL):
        raise ValueError(f"joint {name!r} must be a hinge or a slide")
    return joint


def find_free(model: mujoco.MjModel, body: str) -> int:
    """Id of the free joint of a body, -1 if it has none."""
    joint = int(model.body_jntadr[find(model, "body", body)])
    return joint if joint >= 0 and model.jnt_type[joint] == FREE else -1


def find_mocap(model: mujoco.MjModel, body: str) -> int:
    """Index of a mocap body among them; raises ValueError for other bodies."""
    mocap = int(model.body_mocapid[find(model, "body", body)])
    if mocap < 0:
        raise ValueError(f"body {body!r} must be a mocap body")
    return mocap
