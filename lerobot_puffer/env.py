"""`LeRobotPuffer`: a task as a native PufferLib environment.

The step is `Core.step` (csrc/core.pyx, csrc/step.pxd); this file gives it PufferLib's buffers,
spaces and log, and draws the pictures of `obs_type="pixels"`. `gym.py` is the other way in.
"""

from __future__ import annotations

import copy
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal


def _import_pufferlib() -> None:
    """Import pufferlib without the symlink `resources` and the warning filter that this leaves."""
    symlink = os.symlink
    os.symlink = lambda *args, **kwargs: None
    try:
        with warnings.catch_warnings():
            import pufferlib  # noqa: F401
    finally:
        os.symlink = symlink


# before gymnasium: it imports gymnasium where the notice of the old gym is not printed
_import_pufferlib()

import gymnasium
import mujoco
import numpy as np
import pufferlib

from lerobot_puffer._core import Core
from lerobot_puffer.arguments import check_count, thread_count
from lerobot_puffer.compile import compile_task
from lerobot_puffer.log import means
from lerobot_puffer.names import close
from lerobot_puffer.rendering import Pictures
from lerobot_puffer.tables import CompiledTask
from lerobot_puffer.tasks import Randomize, make_task
from lerobot_puffer.terms import Task


class LeRobotPuffer(pufferlib.PufferEnv):
    """`num_envs` simulations of one task, stepped by threads into shared buffers.

    Args:
      task: name of a registered task, or a `Task`.
      num_envs: simulations, at least 1.
      num_threads: threads that step, including the caller's; 0: every usable CPU. By default
        every usable CPU, but one in a worker process.
      seed: the seed of the first reset, None for one from the system; `reset(seed)` replaces it.
      buf: PufferLib's shared buffers, or None to make them.
      assets: "native", or "reference" for the scene of the reference package.
      goal: fixes what the task draws, as `{"target_pos": (x, y, z), "object_index": k}`.
      options: of the registered task, as `{"mode": "delta"}`; an unknown one lists them.
      randomize: terms that differ from the nominal task, or a preset, as `make_task` takes them.
      log_interval: steps between two infos.
      truncation_as_terminal: a time limit sets `terminals` too. PuffeRL 3.0 looks at `terminals`
        only, so its training configurations set it.
      persistent: MuJoCo keeps one mjData a simulation; the trajectories are the same.
      stagger: a reset of all simulations begins their episodes at random steps, so that a batch of
        a trainer does not see all of them at the same age. Their time limits come earlier.
      obs_type: "state" for the task's row of numbers, "pixels" for pictures.
      cameras: what draws the pictures, names or ids, -1 for the free camera; None for the task's
        `render_camera`. No other camera is drawn.
      width, height: size of a picture, pixels.

    Attributes:
      observations: (num_envs, n) float32, or (num_envs, cameras, height, width, 3) uint8 RGB, the
        top row first. rewards (num_envs,) float32, terminals, truncations, masks (num_envs,)
        bool, actions (num_envs, nu) float32. All are written in place.
      final_observations: as observations; row i is the last observation of the episode that
        ended when terminals[i] or truncations[i] was last set. `observations` then holds the
        first one of the next episode.
      states, final_states: (num_envs, n) float32, the rows of numbers of both, whatever
        `obs_type`; with "state" they are the observations themselves.
      model: the mujoco.MjModel. substeps: mj_step calls a step.
      layout: names, slices, units and ranges of the observation's parts.
      randomized: what differs from the nominal task, with ranges, units and where the numbers drawn
        lie in `core.memory`.

    Raises:
      ValueError: a number is out of range, a name is unknown, a buffer does not fit.
      RenderError: of `reset` and `step`, where pictures are asked for and cannot be drawn.
    """

    def __init__(
        self,
        task: str | Task = "reach",
        num_envs: int = 1,
        num_threads: int | None = None,
        seed: int | None = 0,
        buf: dict[str, np.ndarray] | None = None,
        *,
        assets: str = "native",
        goal: dict[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        randomize: Randomize = None,
        log_interval: int = 128,
        truncation_as_terminal: bool = False,
        persistent: bool = False,
        stagger: bool = False,
        obs_type: Literal["state", "pixels"] = "state",
        cameras: Sequence[str | int] | None = None,
        width: int = 84,
        height: int = 84,
    ) -> None:
        compiled = compile_task(make_task(task, assets, goal, options, randomize))
        num_envs = check_count("num_envs", num_envs, 1)
        self.compiled = compiled
        self.model: mujoco.MjModel = compiled.model
        self.substeps = compiled.task.substeps
        self.layout = compiled.layout
        self.randomized = compiled.randomized
        self.log_interval = check_count("log_interval", log_interval, 1)
        self._pictures = _pictures(compiled, obs_type, cameras, width, height)
        if self._pictures is None:
            low, high = compiled.bounds()
            self.single_observation_space = gymnasium.spaces.Box(
                low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        else:
            self.single_observation_space = gymnasium.spaces.Box(
                0, 255, self._pictures.shape, np.uint8)
        self.single_action_space = gymnasium.spaces.Box(
            -1.0, 1.0, (compiled.tables.naction,), np.float32)
        self.num_agents = num_envs
        super().__init__(buf)
        self.masks[:] = True
        self.final_observations = np.zeros_like(self.observations)
        self.states, self.final_states = self.observations, self.final_observations
        if self._pictures is not None:
            self.states, self.final_states = np.zeros(
                (2, num_envs, compiled.tables.nobs), np.float32)
            self._last = np.zeros((num_envs, len(compiled.tables.init)))
        self.core = Core(compiled, num_envs, thread_count(num_threads), persistent=persistent,
                         truncation_as_terminal=truncation_as_terminal)
        self.core.bind(self.actions, self.states, self.final_states, self.rewards, self.terminals,
                       self.truncations, None if self._pictures is None else self._last)
        self._steps = 0
        self._stagger = compiled.task.episode_length if stagger else 0
        self._seed = seed
        self._first = True
        self._streams = np.arange(num_envs, dtype=np.uint32)

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, list[dict]]:
        """Start new episodes in all simulations.

        Args:
          seed: the generator of simulation i starts again at (seed, i); None goes on with the
            generators as they are.

        Returns:
          (observations, []).
        """
        if seed is None and self._first:
            seed = secrets.randbits(64) if self._seed is None else self._seed
        if seed is not None:
            seed = check_count("seed", seed, 0)
            self.core.seed(np.full(self.num_agents, seed, np.uint64), self._streams)
            self._ages = np.random.default_rng(seed)
        self._first = False
        self.core.reset()
        if self._stagger:
            self.core.episode["steps"] = self._ages.integers(self._stagger, size=self.num_agents)
            self.core.evaluate(None)  # the observations show the age
        if self._pictures is not None:
            self._pictures.draw(self.core.state, self.observations, None, self.core.memory)
        self._steps = 0
        return self.observations, []

    def step(self, actions: np.ndarray) -> tuple[
            np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """One step of every simulation; ended episodes start anew in the same step.

        Args:
          actions: (num_envs, nu) float32, or anything that casts to it.

        Returns:
          (observations, rewards, terminals, truncations, infos): the buffers themselves, and one
          dict of means every `log_interval` steps.

        Raises:
          ValueError: the shape is wrong, or an action is not finite; nothing was stepped then.
        """
        if actions is not self.actions:
            actions = np.asarray(actions)
            if actions.shape != self.actions.shape:
                raise ValueError(f"actions must be float32 {self.actions.shape}, got "
                                 f"{actions.dtype} {actions.shape}")
            self.actions[:] = actions
        if self._first:
            self.reset()
        if self._pictures is None:
            self.core.step()
        else:
            # the look of the episodes that end, which a reset draws anew
            drawn = self.core.memory.copy() if self.randomized else None
            self.core.step()
            ended = np.flatnonzero(self.terminals | self.truncations).astype(np.int32)
            if ended.size:
                self._pictures.draw(self._last, self.final_observations, ended, drawn)
            self._pictures.draw(self.core.state, self.observations, None, self.core.memory)
        self._steps += 1
        infos: list[dict] = []
        if self._steps % self.log_interval == 0:
            log = means(self.core.log(), self.compiled)
            if log:
                infos.append(log)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def get_state(self, ids: np.ndarray | None = None) -> np.ndarray:
        """Everything that the future of simulations `ids` (None: all) depends on.

        Returns:
          (n, k) float64: MuJoCo's state, generator, counters, goal, sums and observation.
        """
        return self.core.get_state(ids)

    def set_state(self, state: np.ndarray, ids: np.ndarray | None = None) -> None:
        """Restore what `get_state` returned; the simulations go on from there bit for bit."""
        if self._first:
            self.reset()  # `step` would do it otherwise, after this
        self.core.set_state(state, ids)
        if self._pictures is not None:
            rows = None if ids is None else np.asarray(ids, np.int32)
            self._pictures.draw(self.core.state, self.observations, rows, self.core.memory)

    def data(self, index: int = 0) -> mujoco.MjData:
        """A copy of one simulation's MuJoCo state, with its derived fields, e.g. to render it."""
        model = self.model
        if self.randomized:
            model = copy.copy(model)
            self.core.write_model(index, model)
        data = mujoco.MjData(model)
        self.core.data(index, data)
        mujoco.mj_forward(model, data)
        return data

    def close(self) -> None:
        """Free the simulations and what draws them."""
        self.core.close()
        if self._pictures is not None:
            self._pictures.close()


def _pictures(
    compiled: CompiledTask, obs_type: str, cameras: Sequence[str | int] | None, width: int,
    height: int,
) -> Pictures | None:
    """What draws the observations; None where they are numbers."""
    kinds = ("state", "pixels")
    if obs_type not in kinds:
        raise ValueError(f"obs_type must be one of {', '.join(kinds)}; got {obs_type!r}"
                         + close(obs_type, kinds))
    if obs_type == "state":
        if cameras is not None:
            raise ValueError(f"cameras {cameras!r} are for obs_type='pixels', got 'state'")
        return None
    if cameras is None:
        camera = compiled.task.render_camera
        cameras = (-1 if camera is None else camera,)
    if isinstance(cameras, str) or not cameras:
        raise ValueError("cameras must be a tuple of at least one name or id, as (\"top\",), got "
                         f"{cameras!r}")
    return Pictures(compiled, cameras, width, height)
