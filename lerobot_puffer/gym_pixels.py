"""Pictures as observations of the Gymnasium environments: which, how large, and their spaces.

`gym_batch.py` puts them into the observation, `rendering.py` draws them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from gymnasium.spaces import Box, Dict

from lerobot_puffer.arguments import check_count
from lerobot_puffer.names import close, names_of
from lerobot_puffer.rendering import Pictures
from lerobot_puffer.tables import CompiledTask
from lerobot_puffer.terms import Task

ObsType = Literal["state", "pixels", "pixels_agent_pos"]


@dataclass(frozen=True)
class View:
    """What an observation shows.

    Attributes:
      obs_type: "state" for the task's terms, "pixels" for pictures, "pixels_agent_pos" for
        pictures and the robot's own state.
      cameras: names of the cameras; None for the task's `render_camera`.
      width, height: size of every picture, pixels.

    Raises:
      ValueError: there is no such obs_type, or cameras are named where nothing is drawn.
    """

    obs_type: ObsType = "state"
    cameras: Sequence[str] | None = None
    width: int = 640
    height: int = 480

    def __post_init__(self) -> None:
        known = get_args(ObsType)
        if self.obs_type not in known:
            raise ValueError(f"obs_type must be one of {list(known)}, got {self.obs_type!r}")
        if self.obs_type == "state" and self.cameras is not None:
            raise ValueError(f"obs_type='state' draws nothing, got cameras={self.cameras!r}; "
                             "choose obs_type='pixels' or 'pixels_agent_pos'")
        check_count("observation_width", self.width, 1)
        check_count("observation_height", self.height, 1)

    def extend(self, task: Task) -> Task:
        """The task with its `agent_pos` among its observations, if this view shows it.

        Raises:
          ValueError: `Task.agent_pos` names none of the task's observations.
        """
        if self.obs_type != "pixels_agent_pos":
            return task
        if not isinstance(task.agent_pos, str):
            return replace(task, observations=(*task.observations, task.agent_pos),
                           agent_pos=task.agent_pos.name)
        names = [term.name for term in task.observations]
        if task.agent_pos not in names:
            raise ValueError(f"agent_pos of task {task.name!r} is an unknown observation "
                             f"{task.agent_pos!r}{close(task.agent_pos, names)}")
        return task


class NamedPictures:
    """Draws the pictures of observations, by the names of their cameras.

    Args:
      compiled: the task.
      view: which cameras, how large.

    Attributes:
      space: Dict of the cameras, in their order: Box(0, 255, (height, width, 3), uint8).
      latest: the pictures of the last single state that was drawn, by camera.

    Raises:
      ValueError: a camera is unknown or named twice, or none is named and the task has none.
    """

    def __init__(self, compiled: CompiledTask, view: View) -> None:
        task, names = compiled.task, view.cameras
        if names is None and task.render_camera is not None:
            names = (task.render_camera,)
        if not names or isinstance(names, str) or len({*names}) < len(names) or not all(
                isinstance(name, str) for name in names):
            known = names_of(compiled.model, "camera")
            raise ValueError("cameras must be different names, as in cameras=('top', 'angle'), got "
                             f"{names!r}; task {task.name!r} has {known}")
        self._pictures = Pictures(compiled, names, view.width, view.height)
        self.latest: dict[str, np.ndarray] = {}
        self.space = Dict(OrderedDict(
            (name, Box(0, 255, (view.height, view.width, 3), np.uint8)) for name in names))

    def draw(self, states: np.ndarray, memory: np.ndarray) -> dict[str, np.ndarray]:
        """A picture a camera and state.

        Args:
          states: (..., nstate) float64 in mj_getState order.
          memory: (..., nmemory) float64, the core's.

        Returns:
          (..., height, width, 3) uint8 by camera, new arrays.

        Raises:
          RenderError: this machine cannot draw; the message says what to install.
        """
        single = states.ndim == 1
        states, memory = np.atleast_2d(states), np.atleast_2d(memory)
        self._pictures.open()  # refuses a size before there is memory for it
        pixels = np.empty((len(states), *self._pictures.shape), np.uint8)
        self._pictures.draw(states, pixels, None, memory)
        pictures = dict(zip(self.space.spaces, pixels.swapaxes(0, 1), strict=True))
        if single:
            self.latest = {name: picture[0] for name, picture in pictures.items()}
            return {name: picture.copy() for name, picture in self.latest.items()}
        return {name: np.ascontiguousarray(picture) for name, picture in pictures.items()}

    def close(self) -> None:
        """Free the OpenGL objects."""
        self._pictures.close()
