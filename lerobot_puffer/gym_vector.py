"""`LeRobotVectorEnv`: many simulations of a task as one Gymnasium vector environment.

The same core as `gym.py` runs with threads; environment i of a vector that was reset with seed s
is, bit for bit, a `LeRobotEnv` that was reset with seed s + i.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from lerobot_puffer.arguments import check_count, thread_count
from lerobot_puffer.gym_batch import Autoreset, Batch, Observation
from lerobot_puffer.gym_pixels import ObsType, View
from lerobot_puffer.names import close
from lerobot_puffer.rendering import Camera
from lerobot_puffer.tasks import Randomize
from lerobot_puffer.terms import Task

# gymnasium before 1.0: its vector environments are environments and name the last observation so
_OLD = issubclass(VectorEnv, gymnasium.Env)
_MODES: dict[Autoreset, str] = {
    "same_step": "SameStep", "next_step": "NextStep", "disabled": "Disabled"}


class LeRobotVectorEnv(VectorEnv):
    """`num_envs` simulations of one task, stepped by threads.

    With same-step autoreset `infos` carries the ended episodes as Gymnasium has it: `final_obs`,
    an object array of observations, `final_info`, and the masks `_final_obs` and `_final_info`
    (Gymnasium 0.29.1 calls the first `final_observation`; there both names are set, and
    `final_info` is an object array of dicts). `infos` holds `is_success` (and `success`, the
    same) where the task has a success.

    Args:
      num_envs: simulations, at least 1.
      task: name of a registered task, or a `Task`.
      num_threads: threads that step, including the caller's; 0: every usable CPU. By default
        every usable CPU, but one in a worker process.
      autoreset_mode: "same_step", "next_step" or "disabled", or Gymnasium's `AutoresetMode`.
      assets: "native", or "reference" for the scene of the reference package.
      goal: fixes what the task draws, as `{"target_pos": (x, y, z), "object_index": k}`.
      options: of the registered task, as `{"mode": "delta"}`; an unknown one lists them.
      obs_type, cameras, observation_width, observation_height: as of `LeRobotEnv`; pictures are
        (num_envs, height, width, 3), drawn one after the other.
      randomize: terms that differ from the nominal task, or a preset, as `make_task` takes them.
      max_episode_steps: time limit in place of the task's own; None keeps that.
      copy: whether what `reset` and `step` return is the caller's to keep. Otherwise it is views
        of the buffers, which the next call overwrites; pictures are always the caller's.
      render_mode: "rgb_array" or None.
      width, height: size of the pictures that `render` returns, pixels.
      camera: the one that `render` draws from: name or id, -1 for the free one; None for the
        task's own.

    Attributes:
      model: the mujoco.MjModel that is stepped, which may lack what is there to be looked at.
      substeps: mj_step calls a step.
      layout: names, slices, units and ranges of the observation's parts.
      randomized: what differs from the nominal task, with ranges and units.

    Raises:
      ValueError: a name is unknown or a number is out of range.
    """

    # gymnasium declares it as an attribute of the instance too
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        task: str | Task,
        *,
        num_threads: int | None = None,
        autoreset_mode: str | Any = "same_step",
        assets: str = "native",
        goal: dict[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        obs_type: ObsType = "state",
        cameras: Sequence[str] | None = None,
        observation_width: int = 640,
        observation_height: int = 480,
        randomize: Randomize = None,
        max_episode_steps: int | None = None,
        copy: bool = True,
        render_mode: str | None = None,
        width: int = 640,
        height: int = 480,
        camera: str | int | None = None,
    ) -> None:
        self.closed = True  # until there is something to close
        num_envs = check_count("num_envs", num_envs, 1)
        if max_episode_steps is not None:
            max_episode_steps = check_count("max_episode_steps", max_episode_steps, 1)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}")
        self._mode = _autoreset(autoreset_mode)
        view = View(obs_type, cameras, observation_width, observation_height)
        # a last picture needs the last state, so the core may not reset it away
        self._resets = self._mode == "same_step" and view.obs_type != "state"
        self._batch = batch = Batch(
            task, assets, goal, options, randomize, view, num_envs,
            thread_count(num_threads), "disabled" if self._resets else self._mode,
            max_episode_steps)
        self.model: mujoco.MjModel = batch.compiled.model
        self._camera = Camera(batch.compiled, width, height, camera)
        if _OLD:
            super().__init__(num_envs, batch.observation_space, batch.action_space)
        self.num_envs = num_envs
        self.single_observation_space = batch.observation_space
        self.single_action_space = batch.action_space
        self.observation_space = _batched(batch.observation_space, num_envs)
        self.action_space = batch_space(batch.action_space, num_envs)
        modes = getattr(gymnasium.vector, "AutoresetMode", str)
        self.metadata = {**self.metadata, "render_fps": batch.render_fps,
                         "autoreset_mode": modes(_MODES[self._mode])}
        self.render_mode = render_mode
        self.substeps = batch.compiled.task.substeps
        self.layout = batch.compiled.layout
        self.randomized = batch.compiled.randomized
        self._copy = copy
        self._started = False
        self._pending: np.ndarray | None = None
        self.closed = False

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new episodes.

        Args:
          seed: a number s starts generator i at s + i, a list starts each at its own; None goes
            on with them, and starts them with random entropy the first time.
          options: `{"reset_mask": (num_envs,) bool}` resets only these environments.

        Returns:
          (observations, infos)
        """
        ids = np.flatnonzero(self._mask(options))
        seeds = self._seeds(seed)
        if not self._started:
            if len(ids) < self.num_envs:
                raise ResetNeeded("reset all environments before some of them")
            seeds = [int(self.np_random.integers(2**63)) if s is None else s for s in seeds]
        chosen = [i for i in ids if seeds[i] is not None]
        self._batch.seed([seeds[i] for i in chosen], chosen)
        self._batch.core.reset(ids)
        self._started = True
        return self._observations(), self._infos()

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray:
        options = options or {}
        for name in options:
            if name != "reset_mask":
                raise ValueError(f"reset has no option {name!r}{close(name, ['reset_mask'])}")
        mask = options.get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or (
                mask.shape != (self.num_envs,)):
            raise ValueError(f"reset_mask must be a bool array ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("reset_mask must be True for at least one environment")
        return mask

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, (int, np.integer)):
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(int(seed))
            return range(int(seed), int(seed) + self.num_envs)
        if len(seed) != self.num_envs:
            raise ValueError(f"seed must be a number or {self.num_envs} of them, got {len(seed)}")
        return seed

    def step(  # type: ignore[override]
        self, actions: np.ndarray,
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every simulation.

        Args:
          actions: (num_envs, nu) numbers; with next-step autoreset, those of environments whose
            episode has just ended are ignored.

        Returns:
          (observations, rewards, terminations, truncations, infos): float64 and bool arrays.

        Raises:
          ValueError: the shape is wrong or an action is not finite; nothing was stepped then.
          ResetNeeded: there was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before step()")
        batch = self._batch
        batch.take(actions, batch.actions.shape)
        wins = batch.episode["sum_success"].copy()
        batch.core.step()
        done = batch.terminals | batch.truncations
        rewards, terminations, truncations = batch.rewards, batch.terminals, batch.truncations
        if self._copy or self._resets:
            rewards, terminations, truncations = (
                rewards.copy(), terminations.copy(), truncations.copy())
        ended = np.flatnonzero(done & (self._mode == "same_step"))
        rows = batch.final_observations[ended]
        last = [batch.observe(row, int(i)) for i, row in zip(ended, rows, strict=True)]
        if self._resets:
            batch.core.reset(ended)
        infos = self._infos()
        if last:
            self._add_final(infos, last, done, batch.episode["sum_success"] > wins)
        return self._observations(), rewards, terminations, truncations, infos

    def _observations(self) -> Observation:
        rows = self._batch.observations
        return self._batch.observe(rows.copy() if self._copy else rows, slice(None))

    def _infos(self) -> dict[str, Any]:
        if not self._batch.has_success:
            return {}
        everywhere = np.ones(self.num_envs, bool)
        return _successes(self._batch.episode["succeeded"] != 0, everywhere)

    def _add_final(self, infos: dict[str, Any], last: list[Observation], done: np.ndarray,
                   won: np.ndarray) -> None:
        """Add the last observation and info of the episodes that ended."""
        observations = np.full(self.num_envs, None, dtype=object)
        for i, observation in zip(np.flatnonzero(done), last, strict=True):
            observations[i] = observation
        final = _successes(won & done, done) if self._batch.has_success else {}
        infos["final_obs"], infos["_final_obs"] = observations, done
        infos["final_info"], infos["_final_info"] = final, done.copy()
        if _OLD:
            infos["final_observation"], infos["_final_observation"] = observations, done.copy()
            infos["final_info"] = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(done):
                infos["final_info"][i] = {
                    name: bool(values[i]) for name, values in final.items() if name[0] != "_"}

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions of the next `step_wait`, as wrappers of Gymnasium 0.29.1 do."""
        self._pending = actions

    def step_wait(
        self, **kwargs: Any,
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step with the actions of the last `step_async`."""
        if self._pending is None:
            raise ValueError("call step_async() before step_wait()")
        actions, self._pending = self._pending, None
        return self.step(actions)

    def reset_wait(
        self,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset, as wrappers of Gymnasium 0.29.1 do."""
        return self.reset(seed=seed, options=options)

    def render(self) -> tuple[np.ndarray, ...] | None:  # type: ignore[override]
        """A picture (height, width, 3) uint8 of every environment; None without a render_mode.

        Raises:
          RenderError: this machine cannot draw; the message says what to install.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing without render_mode='rgb_array'")
            return None
        if not self._started:
            raise ResetNeeded("call reset() before render()")
        core = self._batch.core
        return tuple(self._camera.render(*rows)
                     for rows in zip(core.state, core.memory, strict=True))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the simulations and the pictures; `close` calls it once."""
        self._camera.close()
        self._batch.close()


def _batched(space: gymnasium.spaces.Dict, num_envs: int) -> gymnasium.spaces.Dict:
    """The space of `num_envs` elements of a space, its parts in their order."""
    return gymnasium.spaces.Dict(OrderedDict(
        (name, _batched(part, num_envs) if isinstance(part, gymnasium.spaces.Dict)
         else batch_space(part, num_envs))
        for name, part in space.spaces.items()))


def _autoreset(mode: str | Any) -> Autoreset:
    """The core's name of an autoreset mode."""
    name = getattr(mode, "value", mode)
    for ours, theirs in _MODES.items():
        if name in (ours, theirs):
            return ours
    raise ValueError(f"autoreset_mode must be one of {list(_MODES)}, got {mode!r}")


def _successes(success: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    return {"is_success": success, "_is_success": mask, "success": success, "_success": mask}
