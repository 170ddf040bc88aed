"""`LeRobotPuffer`: a task as a native PufferLib environment.

The step is `Core.step` (csrc/core.pyx, csrc/step.pxd); this file gives it PufferLib's buffers,
spaces and log. `gym.py` is the other way in.
"""

from __future__ import annotations

import copy
import os
import secrets
import warnings
from collections.abc import Mapping
from typing import Any


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
from lerobot_puffer.arguments import check_count, default_threads, usable_cpus
from lerobot_puffer.compile import compile_task
from lerobot_puffer.log import means
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

    Attributes:
      observations (num_envs, n) float32, rewards (num_envs,) float32, terminals, truncations,
        masks (num_envs,) bool, actions (num_envs, nu) float32: written in place.
      final_observations: (num_envs, n) float32; row i is the last observation of the episode
        that ended when terminals[i] or truncations[i] was last set. `observations` then holds
        the first one of the next episode.
      model: the mujoco.MjModel. substeps: mj_step calls a step.
      layout: names, slices, units and ranges of the observation's parts.
      randomized: what differs from the nominal task, with ranges, units and where the numbers drawn
        lie in `core.memory`.

    Raises:
      ValueError: a number is out of range, a name is unknown, a buffer does not fit.
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
    ) -> None:
        compiled = compile_task(make_task(task, assets, goal, options, randomize))
        num_envs = check_count("num_envs", num_envs, 1)
        if num_threads is None:
            num_threads = default_threads()
        else:
            num_threads = check_count("num_threads", num_threads, 0) or usable_cpus()
        self.compiled = compiled
        self.model: mujoco.MjModel = compiled.model
        self.substeps = compiled.task.substeps
        self.layout = compiled.layout
        self.randomized = compiled.randomized
        self.log_interval = check_count("log_interval", log_interval, 1)
        low, high = compiled.bounds()
        self.single_observation_space = gymnasium.spaces.Box(
            low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Box(
            -1.0, 1.0, (compiled.tables.naction,), np.float32)
        self.num_agents = num_envs
        super().__init__(buf)
        self.masks[:] = True
        self.final_observations = np.zeros_like(self.observations)
        self.core = Core(compiled, num_envs, num_threads, persistent=persistent,
                         truncation_as_terminal=truncation_as_terminal)
        self.core.bind(self.actions, self.observations, self.final_observations, self.rewards,
                       self.terminals, self.truncations)
        self._steps = 0
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
        self._first = False
        self.core.reset()
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
        self.core.step()
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
        self.core.set_state(state, ids)

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
        """Free the simulations."""
        self.core.close()
