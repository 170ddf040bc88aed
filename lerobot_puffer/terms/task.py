"""The task itself: terms put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import mujoco

from lerobot_puffer.signals import Condition
from lerobot_puffer.terms.actions import Action
from lerobot_puffer.terms.observations import Observation
from lerobot_puffer.terms.randomization import Randomization
from lerobot_puffer.terms.resets import Reset
from lerobot_puffer.terms.rewards import Reward


class SceneLike(Protocol):
    """Anything that compiles to a model: `Scene`, `Mjcf`, `Reference`, or a user's own class."""

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        """The compiled model; with visual False it may leave out what collides with nothing."""


@dataclass(frozen=True)
class Success:
    """The episode succeeds when all conditions have held for `hold` steps in a row.

    Attributes:
      conditions: all must hold.
      hold: steps.
      terminate: whether success ends the episode.
    """

    conditions: tuple[Condition, ...]
    hold: int = 1
    terminate: bool = True


@dataclass(frozen=True)
class Task:
    """A task: everything that the core needs, as data.

    Attributes:
      name: what it is registered and logged as.
      scene: has `compile() -> mujoco.MjModel` (see scene.py).
      action: what an action does.
      observations: terms in the order of the flat observation.
      rewards: terms, summed.
      resets: terms, drawn in their order at the start of an episode.
      substeps: `mj_step` calls an environment step.
      episode_length: steps to the time limit, 0 for none.
      success: when the episode succeeds; None where the task has no success.
      failure: the episode ends when all these hold; () for never.
      randomize: what differs from the nominal task, drawn before `resets`: terms or the name of a
        preset; () for nothing.
      render_camera: the camera that pictures are taken from; None: the free camera.
      agent_pos: the robot's own state, for observations of pictures: the name of one of
        `observations`, or a term that only they have.
      description: what to do, as one would tell the robot; for policies that take language.
    """

    name: str
    scene: SceneLike
    action: Action
    observations: tuple[Observation, ...]
    rewards: tuple[Reward, ...]
    resets: tuple[Reset, ...] = ()
    substeps: int = 1
    episode_length: int = 0
    success: Success | None = None
    failure: tuple[Condition, ...] = ()
    randomize: tuple[Randomization, ...] | str = ()
    render_camera: str | None = None
    agent_pos: str | Observation = "qpos"
    description: str = ""
