"""Scripted experts for the ALOHA tasks: waypoints in Cartesian space, followed by mink.

A script says where each hand has to be when, relative to the objects that the first observation
shows; one differential inverse kinematics solve a step turns that into absolute joint actions.
`lerobot-puffer eval --policy expert` plays them. Needs the extra `expert`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from math import atan2, pi, radians

import numpy as np
from mink import SE3, SO3, Configuration, ConfigurationLimit, DampingTask, FrameTask, solve_ik

from lerobot_puffer.aloha import AlohaScene
from lerobot_puffer.compile import compile_task
from lerobot_puffer.names import close
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.scene import Vec3
from lerobot_puffer.tasks import make_task
from lerobot_puffer.tasks.aloha import SIDES
from lerobot_puffer.terms import Absolute, Task

OPEN, CLOSED = 1.0, 0.0
# rad that the fingers point below the horizontal; steep enough that wrist_angle stays off 0,
# where forearm_roll and wrist_rotate turn about one axis
DOWN = radians(75)
# direction that a hand looks along the table, rad about z
_HEADINGS = {"left": 0.0, "right": pi}
# columns of a qpos with 16 joints, and of 14 actions, for the joints and grippers of both arms
_JOINTS, _COLUMNS, _GRIPPERS = [*range(6), *range(8, 14)], [*range(6), *range(7, 13)], [6, 13]


@dataclass(frozen=True)
class Waypoint:
    """Where a hand's grasp site is at a time; it gets there by a straight, smooth line.

    Attributes:
      time: s since the episode's start.
      position: m; in the world frame, or from the object's place on the table, x along its yaw.
      gripper: 0 closed .. 1 open, commanded from the waypoint before on.
      of: the object in `env_state`; None for the world frame.
      pitch: rad that the fingers point below the horizontal.
      roll: rad about the fingers' direction.
    """

    time: float
    position: Vec3
    gripper: float
    of: int | None = None
    pitch: float = DOWN
    roll: float = 0.0


@dataclass(frozen=True)
class Script:
    """What both hands do; each holds its last waypoint.

    Attributes:
      left, right: waypoints in the order of their times.
      symmetry: rad about z after which the objects look the same; a hand turns by half at most.
    """

    left: tuple[Waypoint, ...]
    right: tuple[Waypoint, ...]
    symmetry: float


def _pick(of: int, height: float) -> tuple[Waypoint, ...]:
    """Take an object at a height above the table, m, and lift it."""
    return (
        Waypoint(1.0, (0, 0, 0.11), OPEN, of),
        Waypoint(1.6, (0, 0, height), OPEN, of),
        Waypoint(2.2, (0, 0, height), CLOSED, of),
        Waypoint(2.8, (0, 0, 0.1), CLOSED, of),
    )


# the right hand holds the cube by its sides, so the left one takes it at the top and bottom
_LEVEL, _ROLLED = 0.0, pi / 2

SCRIPTS = {
    "aloha_transfer_cube": Script(
        left=(
            Waypoint(2.4, (-0.12, 0.5, 0.25), OPEN, None, _LEVEL, _ROLLED),
            Waypoint(3.8, (-0.12, 0.5, 0.25), OPEN, None, _LEVEL, _ROLLED),
            Waypoint(4.3, (0, 0.5, 0.25), OPEN, None, _LEVEL, _ROLLED),
            Waypoint(5.4, (0, 0.5, 0.25), CLOSED, None, _LEVEL, _ROLLED),
            Waypoint(6.0, (-0.05, 0.5, 0.25), CLOSED, None, _LEVEL, _ROLLED),
        ),
        right=(
            *_pick(0, 0.013),
            Waypoint(3.7, (0, 0.5, 0.243), CLOSED),
            Waypoint(4.9, (0, 0.5, 0.243), CLOSED),
            Waypoint(5.4, (0, 0.5, 0.243), OPEN),
            Waypoint(6.0, (0.1, 0.5, 0.33), OPEN),
        ),
        symmetry=pi / 2,
    ),
    # the peg touches the pin when the two middles are 10 cm apart; it aims 8 mm further
    "aloha_insertion": Script(
        left=(*_pick(1, 0.018), Waypoint(3.7, (-0.08, 0.5, 0.216), CLOSED)),
        right=(
            *_pick(0, 0.01),
            Waypoint(3.7, (0.09, 0.5, 0.217), CLOSED),
            Waypoint(4.3, (0.05, 0.5, 0.217), CLOSED),
            Waypoint(5.0, (0.012, 0.5, 0.217), CLOSED),
        ),
        symmetry=pi,
    ),
}


class _Path:
    """The way of one hand through an episode.

    Args:
      start: pose of its grasp site at time 0.
      waypoints: what follows.
      heading: of the hand, rad about z.
      symmetry: as in `Script`.
      objects: (k, 7) poses; their z is not read, since they may still be falling.
    """

    def __init__(self, start: SE3, waypoints: Iterable[Waypoint], heading: float, symmetry: float,
                 objects: np.ndarray) -> None:
        self.times, self.grippers = [0.0], [CLOSED]
        self.positions, self.rotations = [start.translation()], [start.rotation()]
        for waypoint in waypoints:
            place = SE3.identity()
            if waypoint.of is not None:
                x, y, _, w, _, _, z = objects[waypoint.of]
                yaw = (2 * atan2(z, w) + symmetry / 2) % symmetry - symmetry / 2
                place = SE3.from_rotation_and_translation(
                    SO3.from_z_radians(yaw), np.array([x, y, 0.0]))
            rotation = SO3.from_rpy_radians(waypoint.roll, waypoint.pitch, heading)
            self.times.append(waypoint.time)
            self.grippers.append(waypoint.gripper)
            self.positions.append(place @ np.array(waypoint.position, float))
            self.rotations.append(place.rotation() @ rotation)

    def at(self, time: float) -> tuple[SE3, float]:
        """Pose of the grasp site and command of the gripper at a time above 0 s."""
        k = min(bisect_left(self.times, time), len(self.times) - 1)
        part = min((time - self.times[k - 1]) / (self.times[k] - self.times[k - 1]), 1.0)
        part *= part * (3 - 2 * part)
        position = (1 - part) * self.positions[k - 1] + part * self.positions[k]
        rotation = self.rotations[k - 1].interpolate(self.rotations[k], part)
        return SE3.from_rotation_and_translation(rotation, position), self.grippers[k]


class Expert:
    """Acts in `num_envs` environments of a task.

    An environment's first observation, and the first one after `forget`, starts its episode. The
    actions follow from that observation alone: the joints' commands are not corrected later. Any
    yaw of the objects will do, and starts of the arms within 0.2 rad of their home.

    Args:
      task: a task that `SCRIPTS` names, in the mode "absolute"; its name or the Task.
      num_envs: rows of the observations.

    Raises:
      ValueError: there is no script for the task, or it takes or shows something else.
    """

    def __init__(self, task: str | Task, num_envs: int) -> None:
        compiled = compile_task(make_task(task))
        name = compiled.task.name
        if name not in SCRIPTS:
            raise ValueError(f"no expert plays task {name!r}{close(name, SCRIPTS)}")
        if not isinstance(compiled.task.action, Absolute):
            raise ValueError(f"experts give absolute joint angles, the action of {name!r} is "
                             f"{type(compiled.task.action).__name__}: build it with "
                             "mode='absolute'")
        parts = {entry.name: entry.slice for entry in compiled.layout}
        for part in ("qpos", "env_state"):
            if part not in parts:
                raise ValueError(f"experts read the observations qpos and env_state; {name!r} "
                                 f"shows {', '.join(parts)}")
        self._qpos, self._env_state = parts["qpos"], parts["env_state"]
        self._script = SCRIPTS[name]
        self._timestep = compiled.control_timestep
        # the arms alone: their kinematics are the same in every scene of the station
        model = AlohaScene().compile(visual=False)
        self._configuration = Configuration(model)
        self._limits = [ConfigurationLimit(model)]
        # a metre of error weighs as much as 3.3 rad
        self._hands = [FrameTask(f"vx300s_{side}/grasp", "site", 1.0, 0.3) for side in SIDES]
        # without it the rolls flip by half a turn where wrist_angle passes 0 on the way down
        self._damping = DampingTask(model, 0.1)
        self._steps = np.zeros(num_envs, int)
        self._commands = np.tile(ALOHA.home, (num_envs, 1))
        self._paths: list[list[_Path]] = [[] for _ in range(num_envs)]

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (num_envs, 14) float32 for observations (num_envs, nobs).

        Six joint angles, rad, and the gripper, 0..1, of the left arm, then of the right one.
        """
        actions = np.empty((len(self._paths), 14), np.float32)
        configuration = self._configuration
        for i, row in enumerate(observations):
            if self._steps[i] == 0:
                self._begin(i, row.astype(float))
            configuration.update(self._commands[i])
            self._steps[i] += 1
            time = self._steps[i] * self._timestep
            for hand, path, gripper in zip(self._hands, self._paths[i], _GRIPPERS, strict=True):
                pose, actions[i, gripper] = path.at(time)
                hand.set_target(pose)
            velocity = solve_ik(configuration, [*self._hands, self._damping], self._timestep,
                                "daqp", limits=self._limits)
            self._commands[i] = configuration.integrate(velocity, self._timestep)
            actions[i, _COLUMNS] = self._commands[i, _JOINTS]
        return actions

    def forget(self, ended: np.ndarray) -> None:
        """Start anew in the environments whose episode ended, (num_envs,) bool."""
        self._steps[ended] = 0

    def _begin(self, i: int, row: np.ndarray) -> None:
        self._commands[i, _JOINTS] = row[self._qpos][_COLUMNS]
        self._configuration.update(self._commands[i])
        objects = row[self._env_state].reshape(-1, 7)
        self._paths[i] = [
            _Path(self._configuration.get_transform_frame_to_world(hand.frame_name, "site"),
                  getattr(self._script, side), _HEADINGS[side], self._script.symmetry, objects)
            for side, hand in zip(SIDES, self._hands, strict=True)
        ]
