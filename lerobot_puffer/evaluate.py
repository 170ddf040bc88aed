"""Judging what acts: a fixed number of fresh episodes; `video.py` films some.

Every environment plays a number of episodes that is fixed beforehand: taking the first to end
would favour the short ones, which are the successful ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lerobot_puffer.arguments import check_count
from lerobot_puffer.compile import compile_task
from lerobot_puffer.env import LeRobotPuffer
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Task

# steps of an episode of a task that never ends
ENDLESS = 500
# so that the fresh episodes are none of those of a training, whose seeds are small numbers
SEED = 1_000_000


class Actor(Protocol):
    """What acts in n environments: `policy.MeanActor`, `experts.Expert`."""

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (n, naction) float32 for observations (n, nobs) float32."""

    def forget(self, ended: np.ndarray) -> None:
        """Start anew in the environments whose episode ended, (n,) bool."""


@dataclass(frozen=True)
class Evaluation:
    """What the episodes came to.

    Attributes:
      episodes: how many.
      successes: how many of them succeeded.
      mean_return: mean sum of rewards an episode.
      mean_length: mean steps an episode.
    """

    episodes: int
    successes: int
    mean_return: float
    mean_length: float

    def __str__(self) -> str:
        low, high = self.interval
        return (f"success {self.success_rate:.3f} ({low:.3f} to {high:.3f} with 95 % confidence) "
                f"in {self.episodes} episodes, mean return {self.mean_return:.3f}, mean length "
                f"{self.mean_length:.1f} steps")

    @property
    def success_rate(self) -> float:
        """Part of the episodes that succeeded, 0..1."""
        return self.successes / self.episodes

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the success rate (Wilson, 1927)."""
        z, n, p = 1.959964, self.episodes, self.success_rate
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def evaluate(task: str | Task, make_actor: Callable[[int], Actor], episodes: int = 100,
             seed: int = SEED, num_envs: int = 128, num_threads: int | None = None,
             at_least: float = 0.0) -> Evaluation:
    """Play fresh episodes.

    Args:
      task: a registered task's name, or a Task. One without an end is stopped after 500 steps.
      make_actor: makes what acts in a number of environments, as `partial(MeanActor, policy)`.
      episodes: how many, shared out evenly among the environments.
      seed: of the environments.
      num_envs: environments, at most one an episode.
      num_threads: threads that step; by default every usable CPU.
      at_least: give up, with the episodes so far, when the success rate will be lower than this.
    """
    episodes = check_count("episodes", episodes, 1)
    num_envs = min(check_count("num_envs", num_envs, 1), episodes)
    compiled = compile_task(make_task(task))
    endless = compiled.task.episode_length == 0
    if endless:
        num_envs = episodes
    env = LeRobotPuffer(compiled.task, num_envs, num_threads, log_interval=2**31)
    quota = np.full(num_envs, episodes // num_envs)
    quota[:episodes % num_envs] += 1
    played, successes = np.zeros(num_envs, int), np.zeros(num_envs)
    lengths, returns = np.zeros(num_envs), np.zeros(num_envs)
    length_sum = return_sum = 0.0
    try:
        actor = make_actor(num_envs)
        observations, _ = env.reset(seed)
        steps = 0
        allowed = (1 - at_least) * episodes
        while (played < quota).any() and played.sum() - successes.sum() <= allowed + 1e-9:
            observations, rewards, terminals, truncations, _ = env.step(actor(observations))
            steps += 1
            returns += rewards
            lengths += 1
            ended = terminals | truncations
            won = env.core.episode["sum_success"]
            if endless and steps == ENDLESS:
                ended, won = np.ones(num_envs, bool), won + env.core.episode["succeeded"]
            counted = ended & (played < quota)
            played += counted
            successes[counted] = won[counted]
            length_sum += lengths[counted].sum()
            return_sum += returns[counted].sum()
            lengths[ended] = returns[ended] = 0
            actor.forget(ended)
    finally:
        env.close()
    count = int(played.sum())
    return Evaluation(count, int(successes.sum()), return_sum / count, length_sum / count)
