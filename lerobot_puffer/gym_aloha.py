"""The ALOHA tasks behind the interface of gym-aloha's ids.

The environment is `LeRobotEnv` of gym.py, the tasks are in tasks/; `__init__.py` registers the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from lerobot_puffer.gym import LeRobotEnv
from lerobot_puffer.tasks import make_task


def make_aloha(
    task: str, *, assets: str = "native", goal: dict[str, Any] | None = None,
    options: Mapping[str, Any] | None = None, visualization_width: int = 640,
    visualization_height: int = 480, **settings: Any,
) -> LeRobotEnv:
    """An ALOHA task behind the interface of gym-aloha 0.1.5's ids.

    The action space is Box(-1, 1, (14,), float32) as there, though actions are joint angles in
    rad: one outside of the box is taken as it is and clipped to the actuators' ctrlrange. Other
    than there `agent_pos` has no bounds in its space. `TimeLimit` of Gymnasium is the only time
    limit, so that `max_episode_steps` of `gymnasium.make` may also be longer than the task's 300.

    Args:
      task: name of a registered task. assets, goal, options: as of `LeRobotEnv`.
      visualization_width, visualization_height: size of what `render` returns, pixels.
      settings: further arguments of `LeRobotEnv`.
    """
    endless = replace(make_task(task, assets, goal, options), episode_length=0)
    env = LeRobotEnv(endless, width=visualization_width, height=visualization_height, **settings)
    env.action_space = gymnasium.spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)
    return env
