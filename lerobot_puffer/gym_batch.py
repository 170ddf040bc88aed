"""What the single and the vector Gymnasium environment share: a float64 core and its spaces.

`gym.py` has the single environment, `gym_vector.py` the vector one, `gym_pixels.py` the pictures.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np

from lerobot_puffer._core import Core
from lerobot_puffer.compile import compile_task
from lerobot_puffer.gym_pixels import NamedPictures, View
from lerobot_puffer.tasks import Randomize, make_task
from lerobot_puffer.terms import Task

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
MAX_FPS = 50
_SEEDS = 2**64

Observation = dict[str, np.ndarray | dict[str, np.ndarray]]
Autoreset = Literal["same_step", "next_step", "disabled"]


class Batch:
    """A `Core` with float64 buffers, and what Gymnasium wants to know of its task.

    Args:
      task: name of a registered task, or a `Task`.
      assets, goal, options, randomize: as `make_task` takes them.
      view: what an observation shows.
      num_envs, num_threads, autoreset: as `Core` takes them.
      episode_length: steps to the time limit in place of the task's own, None to keep that.

    Attributes:
      observation_space: for obs_type "state" a Dict of float64 Boxes, in the order of the layout,
        so that flattening gives the row that PufferLib sees; for "pixels" a Dict of pictures by
        camera, for "pixels_agent_pos" of `agent_pos` (a float64 Box) and `pixels`, such a Dict.
      pictures: what draws them; None for "state".
      action_space: Box(-1, 1, (nu,), float64).
      actions, observations, final_observations, rewards, terminals, truncations: the core's
        buffers, one row an environment.
    """

    def __init__(
        self, task: str | Task, assets: str, goal: dict[str, Any] | None,
        options: Mapping[str, Any] | None, randomize: Randomize, view: View, num_envs: int,
        num_threads: int, autoreset: Autoreset, episode_length: int | None = None,
    ) -> None:
        task = view.extend(make_task(task, assets, goal, options, randomize))
        if episode_length is not None:
            task = replace(task, episode_length=episode_length)
        self.compiled = compile_task(task)
        self.has_success = task.success is not None
        self._slices = [(entry.name, entry.slice) for entry in self.compiled.layout]
        n, nobs, nu = num_envs, self.compiled.tables.nobs, self.compiled.tables.naction
        parts: OrderedDict[str, gymnasium.Space] = OrderedDict(
            (entry.name, gymnasium.spaces.Box(entry.low, entry.high, (entry.size,), np.float64))
            for entry in self.compiled.layout)
        self.pictures: NamedPictures | None = None
        self.agent_pos: str | None = None
        if view.obs_type == "state":
            self.observation_space = gymnasium.spaces.Dict(parts)
        else:
            self.pictures = NamedPictures(self.compiled, view)
            self.observation_space = self.pictures.space
        if view.obs_type == "pixels_agent_pos":
            self.agent_pos = str(task.agent_pos)
            self.observation_space = gymnasium.spaces.Dict(OrderedDict(
                agent_pos=parts[self.agent_pos], pixels=self.observation_space))
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (nu,), np.float64)
        self.actions = np.zeros((n, nu))
        self.observations = np.zeros((n, nobs))
        self.final_observations = np.zeros((n, nobs))
        self.rewards = np.zeros(n)
        self.terminals = np.zeros(n, bool)
        self.truncations = np.zeros(n, bool)
        self.core = Core(self.compiled, n, num_threads, autoreset=autoreset, double_precision=True)
        self.core.bind(self.actions, self.observations, self.final_observations, self.rewards,
                       self.terminals, self.truncations)
        self.episode = self.core.episode

    @property
    def render_fps(self) -> int:
        """Frames a second of a video with one frame a step: real time, slowed down to 50."""
        return max(1, min(MAX_FPS, round(1 / self.compiled.control_timestep)))

    def observe(self, rows: np.ndarray, of: int | slice) -> Observation:
        """Observations, of which parts of the rows are views and pictures new arrays.

        Args:
          rows: (..., nobs) float64.
          of: the environment or environments they belong to, whose present states are drawn.
        """
        parts = {name: rows[..., part] for name, part in self._slices}
        if self.pictures is None:
            return dict(parts)
        pictures = self.pictures.draw(self.core.state[of], self.core.memory[of])
        if self.agent_pos is None:
            return dict(pictures)
        return {"agent_pos": parts[self.agent_pos], "pixels": pictures}

    def close(self) -> None:
        """Free the simulations and what draws them."""
        if self.pictures is not None:
            self.pictures.close()
        self.core.close()

    def take(self, actions: np.ndarray | Sequence, shape: tuple[int, ...]) -> None:
        """Copy actions into the core's buffer.

        Raises:
          ValueError: they are not numbers of this shape.
        """
        try:
            array = np.asarray(actions)
        except ValueError as error:  # a ragged list
            raise ValueError(f"an action must be numbers {shape}, got {actions!r}") from error
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise ValueError(f"an action must be numbers {shape}, got {array.dtype} {array.shape}")
        self.actions[:] = array

    def seed(self, seeds: Sequence[int], ids: Sequence[int]) -> None:
        """Start the generators of environments `ids` at (seed, 0).

        Raises:
          ValueError: a seed is not a whole number of 0 .. 2**64 - 1.
        """
        for seed in seeds:
            if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not (
                    0 <= seed < _SEEDS):
                raise ValueError(f"a seed must be a whole number of 0 .. 2**64 - 1, got {seed!r}")
        self.core.seed(np.array(seeds, np.uint64), np.zeros(len(seeds), np.uint32),
                       np.asarray(ids, np.int32))
