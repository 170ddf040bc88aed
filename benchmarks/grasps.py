"""Scripted grasps of a cube by the SO-101, and what can go wrong in them.

`grasp.py` tabulates these for many settings, tests/test_grasp.py holds the chosen one to them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from lerobot_puffer.physics import MANIPULATION, SO101_GAINS, Gains, Grip, Physics
from lerobot_puffer.scene import Object, Scene

TOP, HALF = 0.6, 0.0125  # the table's top and half the cube's edge, m
FOOT = np.array([0.0388, 0.0, 0.0])  # the shoulder's axis
CLOSED, OPEN = -0.17453, 0.7  # gripper targets, rad
STEP, LEASH = 0.1, 0.1  # rad: a policy's largest move of a joint target, and of it from the joint
PERIOD = 0.04  # seconds between a policy's actions
GRAVITY = 9.81
GRIP = Grip()


def no_edit(spec: mujoco.MjSpec) -> None:
    """Keep the scene as it is composed."""


@dataclass(frozen=True)
class Setting:
    """Physics of a grasp; `edit` changes the composed scene."""

    name: str
    physics: Physics = MANIPULATION
    gains: Gains = SO101_GAINS
    grip: Grip | None = GRIP
    edit: Callable[[mujoco.MjSpec], None] = no_edit

    def compile(self, cubes: int = 1) -> mujoco.MjModel:
        """Arm, table and cubes."""
        objects = tuple(
            Object(f"cube_{i}", "cube", (0.25, 0.05 * i, TOP + HALF)) for i in range(cubes)
        )
        spec = Scene(
            objects=objects, physics=self.physics, gains=self.gains, grip=self.grip
        ).spec()
        self.edit(spec)
        spec.compiler.discardvisual = True
        return spec.compile()


# ----------------------------------------------------------------- poses


def inverse_kinematics(
    model: mujoco.MjModel, pos: np.ndarray, yaw: float, tilt: float = 0.0
) -> np.ndarray | None:
    """Arm joints, (5,) rad, that put site `grasp` at `pos`; None where none were found.

    The hand points down, leaning outwards by `tilt`, and its jaws close along `yaw` (rad, world).
    Damped least squares from a few bends of the elbow.
    """
    data = mujoco.MjData(model)
    site = model.site("grasp").id
    around = math.atan2(pos[1], pos[0] - FOOT[0])
    outwards = np.array([math.cos(around), math.sin(around), 0.0])
    approach = outwards * math.sin(tilt) - np.array([0.0, 0.0, math.cos(tilt)])
    closing = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    closing -= approach * (closing @ approach)
    closing /= np.linalg.norm(closing)
    want = np.stack([approach, np.cross(closing, approach), closing], axis=1)
    roll = (yaw - around + math.pi) % (2 * math.pi) - math.pi
    low, high = model.jnt_range[:5].T
    jacobian = np.zeros((6, model.nv))
    for lift, elbow in ((-0.3, 0.9), (0.3, 0.4), (-0.8, 1.3), (0.0, 0.2)):
        bend = math.pi / 2 - tilt - lift - elbow
        data.qpos[:5] = np.clip((-around, lift, elbow, bend, roll), low, high)
        for _ in range(80):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            frame = data.site_xmat[site].reshape(3, 3)
            offset = pos - data.site_xpos[site]
            turn = 0.5 * np.cross(frame.T, want.T).sum(axis=0)
            facing = min((frame * want).sum(axis=0))
            if np.linalg.norm(offset) < 5e-4 and np.linalg.norm(turn) < 0.01 and facing > 0.9:
                return data.qpos[:5].copy()
            mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
            rows = jacobian[:, :5] * np.array([[10.0]] * 3 + [[1.0]] * 3)
            error = np.concatenate([10.0 * offset, turn])
            move = rows.T @ np.linalg.solve(rows @ rows.T + 1e-3 * np.eye(6), error)
            data.qpos[:5] = np.clip(data.qpos[:5] + np.clip(move, -0.3, 0.3), low, high)
    return None


def place(data: mujoco.MjData, cube: int, pos: np.ndarray | tuple, quat: tuple | None = None,
          yaw: float = 0.0) -> None:
    """Lay a cube somewhere, at rest."""
    address = 6 + 7 * cube
    data.qpos[address : address + 3] = pos
    turned = quat if quat is not None else (math.cos(yaw / 2), 0, 0, math.sin(yaw / 2))
    data.qpos[address + 3 : address + 7] = turned
    data.qvel[6 + 6 * cube : 12 + 6 * cube] = 0


def arm_at(setting: Setting, pos: tuple, yaw: float, tilt: float, gripper: float,
           cubes: int = 1) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The arm at rest in a pose; raises ValueError where it cannot reach it."""
    model = setting.compile(cubes)
    data = mujoco.MjData(model)
    joints = inverse_kinematics(model, np.array(pos), yaw, tilt)
    if joints is None:
        raise ValueError(f"the arm does not reach {pos} with yaw {yaw} and tilt {tilt}")
    data.qpos[:6] = data.ctrl[:] = (*joints, gripper)
    return model, data


def held(setting: Setting, cubes: int = 1) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """A cube between the jaws, 10 cm above the table, 0.5 s after gravity came."""
    model, data = arm_at(setting, (0.22, 0.0, TOP + 0.1), 0.3, 0.3, 0.45, cubes)
    mujoco.mj_kinematics(model, data)
    site = model.site("grasp").id
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, data.site_xmat[site])
    place(data, 0, data.site_xpos[site], tuple(quat))
    data.ctrl[5] = CLOSED
    model.opt.gravity[:] = 0
    run(model, data, 0.6)
    model.opt.gravity[:] = (0, 0, -GRAVITY)
    run(model, data, 0.5)
    return model, data


def run(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    """Step with the controls as they are."""
    mujoco.mj_step(model, data, round(seconds / model.opt.timestep))


def steps(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> Iterator[None]:
    """Step, stopping after each step."""
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)
        yield


def depth(data: mujoco.MjData) -> float:
    """Deepest penetration, m."""
    return max(0.0, -data.contact.dist.min()) if data.ncon else 0.0


def in_hand(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Position of cube 0 in the frame of the hand, m."""
    mujoco.mj_kinematics(model, data)
    hand = data.body("gripper")
    return hand.xmat.reshape(3, 3).T @ (data.body("cube_0").xpos - hand.xpos)


# ----------------------------------------------------------------- measurements, m and s


def hold(setting: Setting, swing: bool = False, seed: int = 0, seconds: float = 5.0
         ) -> tuple[float, float]:
    """How far a held cube slips in the hand, and the deepest penetration.

    With `swing` all joints run to and fro as fast as a policy with 0.1 rad a step can, over
    0.6 rad and at random; the table is taken away.
    """
    model, data = held(setting)
    if swing:
        model.geom("table").contype[0] = model.geom("table").conaffinity[0] = 0
    start, home, target = in_hand(model, data), data.qpos[:5].copy(), data.ctrl[:5].copy()
    rng = np.random.default_rng(seed)
    sign = rng.choice((-1.0, 1.0), 5)
    deepest = 0.0
    for _ in range(round(seconds / PERIOD)):
        if swing:
            sign = np.where(rng.random(5) < 0.08, -sign, sign)
            sign = np.where(np.abs(target - home) > 0.3, np.sign(home - target), sign)
            joints = data.qpos[:5]
            target = np.clip(target + STEP * sign, joints - LEASH, joints + LEASH)
            data.ctrl[:5] = target
        for _ in steps(model, data, PERIOD):
            deepest = max(deepest, depth(data))
    return float(np.linalg.norm(in_hand(model, data) - start)), deepest


def rest(setting: Setting, stacked: bool, seconds: float = 10.0) -> float:
    """How far two cubes creep on the table, or one on the other, 1 s after they were laid down."""
    model, data = arm_at(setting, (0.2, -0.15, TOP + 0.1), 0.3, 0.3, 0.45, cubes=2)
    place(data, 0, (0.25, 0.0, TOP + HALF), yaw=0.3)
    other = (0.253, 0.003, TOP + 3 * HALF + 0.002) if stacked else (0.2, 0.1, TOP + HALF)
    place(data, 1, other, yaw=0.6)
    run(model, data, 1.0)
    start = data.qpos[6:].copy()
    run(model, data, seconds)
    if abs(data.qpos[15] - other[2]) > 0.005:
        return math.inf
    return float(np.abs(data.qpos[6:] - start).max())


def energy(model: mujoco.MjModel, data: mujoco.MjData, cube: int = 0) -> float:
    """Kinetic energy of a cube and its potential energy over the table, J."""
    body, first = model.body(f"cube_{cube}").id, 6 + 6 * cube
    linear, angular = data.qvel[first : first + 3], data.qvel[first + 3 : first + 6]
    mass, inertia = model.body_mass[body], model.body_inertia[body]
    height = data.qpos[8 + 7 * cube] - TOP
    return 0.5 * mass * linear @ linear + 0.5 * inertia @ angular**2 + mass * GRAVITY * height


def drop(setting: Setting, seed: int, height: float = 0.3) -> tuple[float, float, float]:
    """Drop a tumbling cube: how high it bounces, its largest energy over that at the start (a
    share), and how far from its height at rest it ends."""
    rng = np.random.default_rng(seed)
    model, data = arm_at(setting, (0.2, -0.15, TOP + 0.1), 0.3, 0.3, 0.45)
    quat = rng.normal(size=4)
    place(data, 0, (0.22, 0.1, TOP + HALF + height), tuple(quat / np.linalg.norm(quat)))
    data.qvel[6:9], data.qvel[9:12] = 0.3 * rng.normal(size=3), 10 * rng.normal(size=3)
    start = energy(model, data)
    bounce, most, landed = 0.0, 0.0, False
    for _ in steps(model, data, 2.0):
        landed |= data.ncon > 0
        most = max(most, energy(model, data) / start)
        if landed and data.qvel[8] > 0:
            bounce = max(bounce, data.qpos[8] - TOP - HALF)
    return bounce, most, abs(data.qpos[8] - TOP - HALF)


def press(setting: Setting, seed: int) -> tuple[float, float]:
    """The closed hand driven at full speed into a cube on the table: deepest penetration, and the
    lowest that the cube's centre gets over the table."""
    rng = np.random.default_rng(seed)
    x = 0.19 + 0.01 * seed
    model, data = arm_at(setting, (x, 0.0, TOP + 0.06), 0.3, 0.15, CLOSED)
    low = inverse_kinematics(model, np.array([x, 0.0, TOP]), 0.3, 0.15)
    if low is None:
        raise ValueError(f"the arm does not reach the table at x = {x}")
    move = (low - data.qpos[:5]) / np.abs(low - data.qpos[:5]).max()
    offset = 0.004 * rng.normal(size=2)
    place(data, 0, (x + offset[0], offset[1], TOP + HALF), yaw=rng.uniform(0, 1.5))
    deepest, lowest = 0.0, math.inf
    for _ in range(round(2.0 / PERIOD)):
        joints = data.qpos[:5]
        data.ctrl[:5] = np.clip(data.ctrl[:5] + STEP * move, joints - LEASH, joints + LEASH)
        for _ in steps(model, data, PERIOD):
            deepest, lowest = max(deepest, depth(data)), min(lowest, data.qpos[8] - TOP)
    return deepest, lowest


def release(setting: Setting) -> float:
    """Energy that an opening gripper gives a held cube, as a height, m; falling gives none."""
    model, data = held(setting)
    start, most = energy(model, data), -math.inf
    data.ctrl[5] = OPEN
    for _ in steps(model, data, 0.5):
        most = max(most, energy(model, data) - start)
    return most / (model.body("cube_0").mass[0] * GRAVITY)


def pick(setting: Setting, radius: float, angle: float, yaw: float) -> float | None:
    """Lift a cube with scripted steps as a policy makes them: its rise, m; None out of reach."""
    model = setting.compile()
    x, y = FOOT[0] + radius * math.cos(angle), radius * math.sin(angle)
    near = angle + (yaw - angle + math.pi / 4) % (math.pi / 2) - math.pi / 4
    for tilt in (0.0, 0.15, 0.3, 0.45):
        for face in (0, 1, -1):
            along = near + face * math.pi / 2
            around, above = (
                inverse_kinematics(model, np.array([x, y, TOP + z]), along, tilt)
                for z in (0.0165, 0.1)
            )
            if above is None or around is None or np.abs(above - around).max() > 1.5:
                continue
            data = mujoco.MjData(model)
            data.qpos[:6] = data.ctrl[:] = (*around, OPEN)
            place(data, 0, (0, 0, 2))
            mujoco.mj_forward(model, data)
            if data.ncon:
                continue
            data.qpos[:6] = data.ctrl[:] = (*above, OPEN)
            place(data, 0, (x, y, TOP + HALF), yaw=yaw)
            step = np.array([STEP] * 5 + [0.3])
            for joints, gripper, actions in (
                (around, OPEN, 25), (around, CLOSED, 15), (above, CLOSED, 30)
            ):
                for _ in range(actions):
                    move = (*joints, gripper) - data.ctrl
                    target = data.ctrl + move / max(1.0, *np.abs(move / step))
                    data.ctrl[:] = np.clip(target, data.qpos[:6] - step, data.qpos[:6] + step)
                    run(model, data, PERIOD)
            return float(data.qpos[8] - TOP - HALF)
    return None
