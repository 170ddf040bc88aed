"""What a randomised quantity is: its numbers in a model, the parts that have it, its unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from lerobot_puffer import terms as t
from lerobot_puffer.names import BALL, FREE

_PRIMITIVES = {int(kind) for kind in (
    mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX)}
# the colour that a geom with a material has where its own is not given
_UNSET = np.array([0.5, 0.5, 0.5, 1.0], np.float32)


@dataclass(frozen=True)
class Quantity:
    """What a quantity is.

    Attributes:
      part: kind of what has it, "" for the model itself.
      unit: of what is added.
      ways: what may be drawn.
      width: numbers drawn a part: (scale, add).
      drawn: it only shows in pictures.
      derive: it changes what mj_setConst computes.
    """

    part: str
    unit: str
    ways: tuple[str, ...]
    width: tuple[int, int] = (1, 1)
    drawn: bool = False
    derive: bool = False


_BOTH = ("scale", "add")
QUANTITIES: dict[t.Quantity, Quantity] = {
    "mass": Quantity("body", "kg", ("scale",), derive=True),
    "size": Quantity("body", "m", ("scale",), derive=True),
    "friction": Quantity("geom", "1", _BOTH),
    "damping": Quantity("joint", "N m s/rad or N s/m", _BOTH),
    "armature": Quantity("joint", "kg m2 or kg", _BOTH, derive=True),
    "frictionloss": Quantity("joint", "N m or N", _BOTH),
    "joint_offset": Quantity("joint", "rad or m", ("add",), derive=True),
    "kp": Quantity("actuator", "N m/rad or N/m", ("scale",)),
    "kv": Quantity("actuator", "N m s/rad or N s/m", ("scale",)),
    "force_limit": Quantity("actuator", "N m or N", ("scale",)),
    "gravity": Quantity("", "m/s2", _BOTH, width=(1, 3)),
    "camera_position": Quantity("camera", "m", ("add",), width=(1, 3), drawn=True),
    "camera_rotation": Quantity("camera", "rad", ("add",), width=(1, 3), drawn=True),
    "camera_fovy": Quantity("camera", "degrees", _BOTH, drawn=True),
    "light_position": Quantity("light", "m", ("add",), width=(1, 3), drawn=True),
    "light_brightness": Quantity("light", "1", ("scale",), drawn=True),
    "color": Quantity("geom", "1", _BOTH, width=(3, 3), drawn=True),
}

# (field, element, write kind, power, which of the part's numbers)
Change = tuple[str, int, str, int, int]


def find_range(term: t.RandomField, quantity: Quantity) -> tuple[str, float, float]:
    """How the quantity is drawn, and from what range."""
    given = [way for way in _BOTH if getattr(term, way) is not None]
    if len(given) != 1:
        raise ValueError(f"give one of scale and add, got {' and '.join(given) or 'neither'}")
    way = given[0]
    if way not in quantity.ways:
        raise ValueError(f"{term.quantity} takes {quantity.ways[0]}, got {way}")
    low, high = two_numbers(way, getattr(term, way))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{way} must be (lowest, highest), finite, got {(low, high)}")
    if way == "scale" and not low > 0:
        raise ValueError(f"scale must be above 0, got {(low, high)}")
    if term.log and way != "scale":
        raise ValueError("log is of scale; a sum has no logarithm")
    return way, low, high


def two_numbers(name: str, value: object) -> tuple[float, float]:
    """Two numbers; raises ValueError for anything else."""
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not all(
            isinstance(x, (int, float)) for x in value):
        raise ValueError(f"{name} must be two numbers, (least, most), got {value!r}")
    return value[0], value[1]


def part_count(model: mujoco.MjModel, part: str) -> int:
    """How many bodies, geoms, ... a model has."""
    return {"body": model.nbody, "geom": model.ngeom, "joint": model.njnt, "actuator": model.nu,
            "camera": model.ncam, "light": model.nlight}[part]


def part_name(model: mujoco.MjModel, part: str, index: int) -> str:
    """Name of a part, or its kind and id where it has none."""
    if part == "":
        return "model"
    kind = getattr(mujoco.mjtObj, f"mjOBJ_{part.upper()}")
    return mujoco.mj_id2name(model, kind, index) or f"{part} {index}"


def field_values(model: mujoco.MjModel, field: str) -> np.ndarray:
    """A field of mjModel, named as MuJoCo's batch names it."""
    if field == "opt.gravity":
        return model.opt.gravity
    return getattr(model, field)


def unsuited(model: mujoco.MjModel, quantity: str, i: int) -> str | None:
    """Why a part cannot have its quantity drawn; None where it can."""
    if quantity == "size":
        first, count = model.body_geomadr[i], model.body_geomnum[i]
        kinds = set(model.geom_type[first:first + count].tolist())
        if not kinds or not kinds <= _PRIMITIVES:
            return "must have geoms, all of them boxes, spheres, capsules, cylinders or ellipsoids"
        if i == 0 or (model.body_parentid[1:] == i).any():
            return "must have no bodies on it"
    if quantity == "joint_offset" and model.jnt_type[i] in (FREE, BALL):
        return "must be a hinge or a slide"
    if quantity == "joint_offset" and not (
            (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT)
            & (model.actuator_trnid[:, 0] == i)).any():
        # nothing reads the angle of a joint without a motor
        return "must have an actuator"
    if quantity in ("kp", "kv") and model.actuator_biastype[i] != mujoco.mjtBias.mjBIAS_AFFINE:
        return "must be a position actuator"
    if quantity == "force_limit" and not model.actuator_forcelimited[i]:
        return "must have a forcerange"
    return None


def scalable(model: mujoco.MjModel, quantity: str, i: int) -> bool:
    """Whether a draw for all parts is for this one too: a factor of zero would change nothing."""
    if quantity == "joint_offset":
        # metres are another matter than radians
        return bool(model.jnt_type[i] == mujoco.mjtJoint.mjJNT_HINGE)
    if quantity in ("damping", "armature", "frictionloss"):
        return any(getattr(model, f"dof_{quantity}")[dof] != 0 for dof in _dofs(model, i))
    if quantity == "mass":
        return bool(model.body_mass[i] > 0 and model.body_dofnum[model.body_weldid[i]])
    column = {"kp": 1, "kv": 2}.get(quantity)
    return column is None or bool(model.actuator_biasprm[i, column] != 0)


def _dofs(model: mujoco.MjModel, joint: int) -> range:
    first = int(model.jnt_dofadr[joint])
    return range(first, first + {FREE: 6, BALL: 3}.get(int(model.jnt_type[joint]), 1))


def colors(model: mujoco.MjModel) -> np.ndarray:
    """The colours that geoms are drawn in, (ngeom, 4): a material's where a geom has no own."""
    shown = model.geom_rgba.copy()
    inherits = (model.geom_matid >= 0) & (shown == _UNSET).all(axis=1)
    shown[inherits] = model.mat_rgba[model.geom_matid[inherits]]
    return shown


def changes(quantity: str, way: str, model: mujoco.MjModel, i: int, drawing: bool,
            ) -> Iterator[Change]:
    """What a draw for part `i` changes in a model."""
    def scaled(field: str, first: int, count: int, power: int = 1) -> Iterator[Change]:
        yield from ((field, first + k, "scale", power, 0) for k in range(count))

    def apart(field: str, first: int, count: int) -> Iterator[Change]:
        yield from ((field, first + k, way, 1, k) for k in range(count))

    if quantity == "size":
        yield from _resized(model, i, drawing, scaled)
    elif quantity == "joint_offset":
        yield ("qpos0", int(model.jnt_qposadr[i]), "add", 1, 0)
        if not drawing:
            yield ("qpos_spring", int(model.jnt_qposadr[i]), "add", 1, 0)
            yield ("jnt_range", 2 * i, "add", 1, 0)
            yield ("jnt_range", 2 * i + 1, "add", 1, 0)
    elif drawing != QUANTITIES[quantity].drawn:  # type: ignore[index]
        return
    elif quantity == "mass":
        yield from scaled("body_mass", i, 1)
        yield from scaled("body_inertia", 3 * i, 3)
    elif quantity == "friction":
        # of sliding; a factor is of all three coefficients
        yield from ((("geom_friction", 3 * i, "add", 1, 0),) if way == "add"
                    else scaled("geom_friction", 3 * i, 3))
    elif quantity in ("damping", "armature", "frictionloss"):
        yield from ((f"dof_{quantity}", dof, way, 1, 0) for dof in _dofs(model, i))
    elif quantity == "kp":
        yield from scaled("actuator_gainprm", model.actuator_gainprm.shape[1] * i, 1)
        yield from scaled("actuator_biasprm", model.actuator_biasprm.shape[1] * i + 1, 1)
    elif quantity == "kv":
        yield from scaled("actuator_biasprm", model.actuator_biasprm.shape[1] * i + 2, 1)
    elif quantity == "force_limit":
        yield from scaled("actuator_forcerange", 2 * i, 2)
    elif quantity == "gravity":
        yield from (apart if way == "add" else scaled)("opt.gravity", 0, 3)
    elif quantity == "camera_position":
        yield from apart("cam_pos", 3 * i, 3)
    elif quantity == "camera_rotation":
        yield ("cam_quat", 4 * i, "rotate", 1, 0)
    elif quantity == "camera_fovy":
        yield ("cam_fovy", i, way, 1, 0)
    elif quantity == "light_position":
        yield from apart("light_pos", 3 * i, 3)
    elif quantity == "light_brightness":
        yield from scaled("light_diffuse", 3 * i, 3)
        yield from scaled("light_ambient", 3 * i, 3)
    else:
        yield from apart("geom_rgba", 4 * i, 3)


def friction_pairs(model: mujoco.MjModel, parts: list[int], way: str) -> Iterator[tuple[int, int]]:
    """Geom and element of `pair_friction`, for the explicit pairs that a geom of `parts` is in.

    These have friction of their own, which follows that of the pair's second geom, an object's in
    the scenes here, or of the first one where only that is drawn.
    """
    width = model.pair_friction.shape[1]
    for k in range(model.npair):
        drawn = [int(geom) for geom in (model.pair_geom2[k], model.pair_geom1[k]) if geom in parts]
        if drawn:
            # of sliding, which a pair has in two directions; a factor is of all coefficients
            yield from ((drawn[0], width * k + i) for i in range(2 if way == "add" else width))


def _resized(model: mujoco.MjModel, i: int, drawing: bool,
             scaled: Callable[..., Iterator[Change]]) -> Iterator[Change]:
    """A body and all that is on it, about its origin; its mass stays."""
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] == i:
            yield from scaled("geom_size", 3 * geom, 3)
            yield from scaled("geom_pos", 3 * geom, 3)
            if not drawing:
                # mj_setConst does these too, but after the first observation's contacts
                yield from scaled("geom_rbound", geom, 1)
                yield from scaled("geom_aabb", 6 * geom, 6)
    for site in range(model.nsite):
        if model.site_bodyid[site] == i:
            yield from scaled("site_pos", 3 * site, 3)
    if not drawing:
        yield from scaled("body_ipos", 3 * i, 3)
        yield from scaled("body_inertia", 3 * i, 3, 2)
        first = int(model.body_bvhadr[i])
        yield from scaled("bvh_aabb", 6 * first, 6 * int(model.body_bvhnum[i]))


def lift(model: mujoco.MjModel, body: int, value: int) -> Iterator[dict]:
    """How a free body's origin rises with its size, upright as it is in qpos0."""
    joint = int(model.body_jntadr[body])
    if joint < 0 or model.jnt_type[joint] != FREE:
        return
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    lowest = math.inf
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] == body:
            down = data.geom_xmat[geom].reshape(3, 3)[2]
            centre, half = model.geom_aabb[geom].reshape(2, 3)
            z = data.geom_xpos[geom, 2] - data.xpos[body, 2]
            lowest = min(lowest, z + down @ centre - np.abs(down) @ half)
    yield {"address": model.jnt_qposadr[joint], "value": value, "height": -lowest}
