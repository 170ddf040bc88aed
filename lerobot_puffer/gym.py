"""`LeRobotEnv`: a task as a Gymnasium environment, one simulation in float64.

The step is `Core.step` (csrc/core.pyx); `gym_batch.py` makes observations of it, `gym_vector.py`
has the vector environment, `env.py` the PufferLib one, `rendering.py` the drawing.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded

from lerobot_puffer._core import KINDS
from lerobot_puffer.gym_batch import STATE, Batch, Observation
from lerobot_puffer.gym_pixels import ObsType, View
from lerobot_puffer.gym_vector import LeRobotVectorEnv
from lerobot_puffer.names import close
from lerobot_puffer.rendering import Camera
from lerobot_puffer.tasks import Randomize
from lerobot_puffer.terms import Delta, Task
from lerobot_puffer.window import Window

__all__ = ["LeRobotEnv", "LeRobotVectorEnv", "MujocoState"]

# with it LeRobot's evaluation tells its own wrapper that a rollout begins
_IGNORED_OPTIONS = ("lerobot_new_rollout",)


@dataclass(frozen=True, eq=False)
class MujocoState:
    """A recorded state: copies, which later steps do not change. World frame, float64.

    Attributes:
      time: simulated seconds.
      qpos (nq,), qvel (nv,): m, rad, m/s, rad/s.
      xpos (nbody, 3), xquat (nbody, 4): poses of the bodies, m and wxyz; they follow from qpos.
      mocap_pos (nmocap, 3), mocap_quat (nmocap, 4): m and wxyz.
      sim_metadata: what the episode drew: positions (3,) as `target_pos`, m, and whole numbers
        as `object_index`; `latches` (n,) of 0 or 1, such as whether a cube was lifted.
    """

    time: float
    qpos: np.ndarray
    qvel: np.ndarray
    xpos: np.ndarray
    xquat: np.ndarray
    mocap_pos: np.ndarray
    mocap_quat: np.ndarray
    sim_metadata: dict[str, Any] = field(default_factory=dict)


class LeRobotEnv(gymnasium.Env[Observation, np.ndarray]):
    """One simulation of a task.

    Observations are new arrays at every step. An action outside of -1..1 is not refused: the
    task's action clips it, `Absolute` to the actuators' ctrlrange. The environment does not
    reset by itself and may be stepped past the end of an episode. `info` holds `is_success`
    (and `success`, the same) where the task has a success: whether this episode has reached it.

    Args:
      task: name of a registered task, or a `Task`.
      assets: "native", or "reference" for the scene of the reference package.
      goal: fixes what the task draws, as `{"target_pos": (x, y, z), "object_index": k}`.
      options: of the registered task, as `{"mode": "delta"}`; an unknown one lists them.
      obs_type: what an observation is: "state", the task's terms (float64); "pixels", pictures
        by camera, (height, width, 3) uint8; "pixels_agent_pos", those as `pixels` and the
        robot's own state as `agent_pos` (float64), which `Task.agent_pos` chooses.
      cameras: names of those that observations are drawn from, once a step and no other; None
        for the task's own.
      observation_width, observation_height: size of the pictures in observations, pixels.
      randomize: terms that differ from the nominal task, or a preset, as `make_task` takes them.
      render_mode: "rgb_array", "human" (the viewer, in real time) or None.
      width, height: size of the picture that `render` returns, pixels.
      camera: the one that `render` draws from: name or id, -1 for the free one; None for the
        task's own.

    Attributes:
      task: name of the task.
      task_description: what to do, in a sentence; empty where the task does not say.
      model: the mujoco.MjModel that is stepped, which may lack what is there to be looked at.
      substeps: mj_step calls a step.
      layout: names, slices, units and ranges of the observation's parts.
      randomized: what differs from the nominal task, with ranges and units.

    Raises:
      ValueError: a name is unknown or a number is out of range.
    """

    # gymnasium declares it as an attribute of the instance too
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(
        self,
        task: str | Task = "reach",
        *,
        assets: str = "native",
        goal: dict[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        obs_type: ObsType = "state",
        cameras: Sequence[str] | None = None,
        observation_width: int = 640,
        observation_height: int = 480,
        randomize: Randomize = None,
        render_mode: str | None = None,
        width: int = 640,
        height: int = 480,
        camera: str | int | None = None,
    ) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode must be one of {modes} or None, got {render_mode!r}")
        view = View(obs_type, cameras, observation_width, observation_height)
        self._batch = batch = Batch(task, assets, goal, options, randomize, view, 1, 1,
                                    "disabled")
        self.task, self.task_description = batch.compiled.task.name, batch.compiled.task.description
        self._core = batch.core
        self.observation_space, self.action_space = batch.observation_space, batch.action_space
        self.model: mujoco.MjModel = batch.compiled.model
        self.substeps = batch.compiled.task.substeps
        self.layout = batch.compiled.layout
        self.randomized = batch.compiled.randomized
        self.metadata = {**self.metadata, "render_fps": batch.render_fps}
        self.render_mode = render_mode
        self._camera = Camera(batch.compiled, width, height, camera)
        # the observed camera whose picture render() would draw again, if there is one
        self._shown = batch.compiled.task.render_camera if camera is None else camera
        if batch.pictures is None or (view.width, view.height) != (width, height) or (
                self._shown not in batch.pictures.space.spaces):
            self._shown = None
        self._window: Window | None = None
        self._frame_steps = max(1, round(1 / (batch.compiled.control_timestep * batch.render_fps)))
        self._steps = 0
        self._next_frame = 0.0
        self._started = False
        # a scratch mjData: the core's own belong to whichever simulation ran last
        self._data = mujoco.MjData(self.model)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
          seed: the generator starts at this seed; None goes on with it, and starts it with
            random entropy the first time.
          options: none are known, but LeRobot's `lerobot_new_rollout` is let pass.

        Returns:
          (observation, info)
        """
        if set(options or ()) - {*_IGNORED_OPTIONS}:
            raise ValueError(f"reset has no options, got {options!r}; `goal` is an argument of "
                             "the environment")
        if seed is not None:
            self._batch.seed([seed], [0])
            super().reset(seed=int(seed))
        elif not self._started:
            self._batch.seed([int(self.np_random.integers(2**63))], [0])
        self._core.reset()
        self._started = True
        self._steps = 0
        self._next_frame = 0.0
        if self.render_mode == "human":
            self._show()
        return self._observation(), self._info()

    def step(
        self, action: np.ndarray | Sequence[float],
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One step.

        Args:
          action: (nu,) numbers, an array of any real type or a list. The reference spreads a
            single number over all actuators; here it is refused.

        Returns:
          (observation, reward, terminated, truncated, info)

        Raises:
          ValueError: the action has another shape or is not finite; nothing was stepped then.
          ResetNeeded: there was no reset yet.
        """
        self._need_reset("step")
        batch = self._batch
        batch.take(action, (batch.compiled.tables.naction,))
        self._core.step()
        self._steps += 1
        if self.render_mode == "human" and self._steps % self._frame_steps == 0:
            self._show()
        return (self._observation(), float(batch.rewards[0]), bool(batch.terminals[0]),
                bool(batch.truncations[0]), self._info())

    def _observation(self) -> Observation:
        return self._batch.observe(self._batch.observations[0].copy(), 0)

    def _info(self) -> dict[str, Any]:
        if not self._batch.has_success:
            return {}
        success = bool(self._batch.episode["succeeded"][0])
        return {"is_success": success, "success": success}

    def _need_reset(self, method: str) -> None:
        if not self._started:
            raise ResetNeeded(f"call reset() before {method}()")

    # ----------------------------------------------------------------------- states

    @property
    def sim_state(self) -> MujocoState:
        """The current state, with the poses that follow from it."""
        self._need_reset("sim_state")
        data, model = self._current(), self.model
        if self.randomized:
            model = copy.copy(model)
            self._core.write_model(0, model)
        mujoco.mj_kinematics(model, data)
        compiled, memory = self._batch.compiled, self._core.memory[0]
        drawn: dict[str, Any] = {
            name: memory[at:at + 3].copy() for name, at in compiled.goals.items()}
        drawn |= {name: int(memory[at]) for name, (at, _) in compiled.choices.items()}
        if len(compiled.latches):
            drawn["latches"] = memory[compiled.latches].astype(int)
        return MujocoState(
            data.time, data.qpos.copy(), data.qvel.copy(), data.xpos.copy(), data.xquat.copy(),
            data.mocap_pos.copy(), data.mocap_quat.copy(), drawn)

    def evaluate_state(
        self, qpos: np.ndarray, qvel: np.ndarray | None = None, ctrl: np.ndarray | None = None,
    ) -> tuple[Observation, float, bool]:
        """Start an episode from a state, after one mj_forward; the goal stays.

        Everything else is as mj_resetData leaves it: time, latches and warm start are zero.

        Args:
          qpos: (nq,). qvel: (nv,), None for zero.
          ctrl: (nu,), None for zero, or where actions are `Delta` for the joints' positions, as
            a reset has them.

        Returns:
          (observation, reward, terminated) of this state.

        Raises:
          ValueError: an array has another shape or is not finite; nothing has changed then.
        """
        qpos = self._numbers("qpos", qpos, (self.model.nq,))
        qvel = None if qvel is None else self._numbers("qvel", qvel, (self.model.nv,))
        ctrl = None if ctrl is None else self._numbers("ctrl", ctrl, (self.model.nu,))
        if not self._started:
            self.reset()
        data = self._blank(qpos, qvel)
        if ctrl is not None:
            data.ctrl[:] = ctrl
        memory = self._core.memory[0]
        memory[self._batch.compiled.latches] = 0
        for row in self._batch.compiled.tables.reset:
            if row["kind"] == KINDS["reset"]["goal"] and row["mocap"] >= 0:
                data.mocap_pos[row["mocap"]] = memory[row["address"]:row["address"] + 3]
        return self._evaluate(data, 0)

    def set_sim_state(self, state: MujocoState) -> tuple[Observation, float, bool]:
        """Go on from a recorded `sim_state`: time, positions, velocities, mocap, goal, latches.

        Controls and warm start are no part of a `sim_state` and are as `evaluate_state` has
        them by default; what `sim_metadata` does not name stays.

        Returns:
          (observation, reward, terminated) of this state.

        Raises:
          ValueError: the state is of another model or task; nothing has changed then.
        """
        try:
            values = {
                name: self._numbers(name, getattr(state, name), np.shape(getattr(self._data, name)))
                for name in ("time", "qpos", "qvel", "mocap_pos", "mocap_quat")}
            drawn = self._drawn(state.sim_metadata)
        except AttributeError as error:
            raise ValueError(f"state must be a MujocoState, got {type(state).__name__}") from error
        if not self._started:
            self.reset()
        data = self._blank(values["qpos"], values["qvel"])
        data.time = float(values["time"])
        data.mocap_pos[:] = values["mocap_pos"]
        data.mocap_quat[:] = values["mocap_quat"]
        for at, numbers in drawn:
            self._core.memory[0, at] = numbers
        return self._evaluate(data, round(data.time / self._batch.compiled.control_timestep))

    def _drawn(self, metadata: Mapping[str, Any]) -> list[tuple[slice | np.ndarray, np.ndarray]]:
        """Where in the core's memory the parts of `sim_metadata` go, and their numbers."""
        compiled = self._batch.compiled
        goals, choices, latches = compiled.goals, compiled.choices, compiled.latches
        drawn: list[tuple[slice | np.ndarray, np.ndarray]] = []
        for name, value in metadata.items():
            if name in goals:
                drawn.append((slice(goals[name], goals[name] + 3),
                              self._numbers(name, value, (3,))))
            elif name in choices:
                at, count = choices[name]
                if value not in range(count):
                    raise ValueError(f"{name} must be 0 .. {count - 1}, got {value!r}")
                drawn.append((slice(at, at + 1), np.array([value])))
            elif name == "latches" and len(latches):
                numbers = self._numbers(name, value, latches.shape)
                if not np.isin(numbers, (0, 1)).all():
                    raise ValueError(f"latches must be 0 or 1, got {value!r}")
                drawn.append((latches, numbers))
            else:
                raise ValueError(f"the task draws no {name!r}{close(name, [*goals, *choices])}")
        return drawn

    @staticmethod
    def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(value)
        if array.shape != shape or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite numbers {shape}, got {array.dtype} "
                             f"{array.shape}")
        return array.astype(np.float64)

    def _current(self) -> mujoco.MjData:
        """The scratch data with the simulation's state."""
        mujoco.mj_setState(self.model, self._data, self._core.state[0], STATE)
        return self._data

    def _blank(self, qpos: np.ndarray, qvel: np.ndarray | None) -> mujoco.MjData:
        """The scratch data as a reset leaves it, with these positions and velocities."""
        model, data, compiled = self.model, self._data, self._batch.compiled
        mujoco.mj_setState(model, data, compiled.tables.init, STATE)
        data.qpos[:] = qpos
        if qvel is not None:
            data.qvel[:] = qvel
        if isinstance(compiled.task.action, Delta):
            data.ctrl[:] = qpos[model.jnt_qposadr[model.actuator_trnid[:, 0]]]
        return data

    def _evaluate(self, data: mujoco.MjData, steps: int) -> tuple[Observation, float, bool]:
        mujoco.mj_getState(self.model, data, self._core.state[0], STATE)
        self._batch.episode["steps"][0] = steps
        self._core.evaluate([0])
        return (self._observation(), float(self._batch.rewards[0]),
                bool(self._batch.terminals[0]))

    # -------------------------------------------------------------------- rendering

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """A picture (height, width, 3) uint8 for "rgb_array"; for "human" the viewer, and None.

        Raises:
          RenderError: this machine cannot draw; the message says what to install.
        """
        self._need_reset("render")
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without a render_mode; make the "
                                  "environment with render_mode='rgb_array' or 'human'")
            return None
        if self.render_mode == "human":
            self.render_to_window()
            return None
        if self._batch.pictures is not None and self._shown is not None:
            return self._batch.pictures.latest[str(self._shown)].copy()
        return self._camera.render(self._core.state[0], self._core.memory[0])

    def render_to_window(self) -> bool:
        """Open MuJoCo's viewer, or show the current state in the one that is open.

        Returns:
          whether the window is still open: False after its user has closed it.

        Raises:
          RenderError: there is no display.
        """
        self._need_reset("render_to_window")
        state = self._core.state[0]
        if self._window is None:
            self._window = Window(self._batch.compiled.visual_model)
        return self._window.show(state)

    def _show(self) -> None:
        """A frame of the viewer, no sooner than real time has it."""
        now = time.monotonic()
        if now < self._next_frame:
            time.sleep(self._next_frame - now)
        self._next_frame = max(now, self._next_frame) + (
            self._frame_steps * self._batch.compiled.control_timestep)
        self.render_to_window()

    def close(self) -> None:
        """Close the window, free the pictures and the simulation."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._camera.close()
        self._batch.close()
