"""Videos of what acts: a few episodes one after the other, as MP4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np

from lerobot_puffer.arguments import check_count
from lerobot_puffer.env import LeRobotPuffer
from lerobot_puffer.evaluate import ENDLESS, Actor
from lerobot_puffer.rendering import Camera
from lerobot_puffer.terms import Task

# a still picture of the last state tells one episode from the next, s
_PAUSE = 0.4
_FPS = 50


def film(
    task: Task, make_actor: Callable[[int], Actor], path: str | Path, episodes: int = 4,
    seed: int = 1_000_000, camera: str | int | None = None, width: int = 640, height: int = 480,
) -> int:
    """Write a video of whole episodes; returns the number of frames.

    H.264 in real time at up to 50 pictures a second. A task without an end is filmed 500 steps.

    Args:
      make_actor: makes what acts, as in `evaluate`.
      path: file, .mp4.
      camera: name or id; None for the task's own.
      width, height: pixels; H.264 wants even numbers.

    Raises:
      ValueError: the camera or the size does not exist.
      RenderError: this machine cannot draw.
    """
    if width % 2 or height % 2:
        raise ValueError(f"H.264 wants an even width and height, got {width} x {height}")
    check_count("episodes", episodes, 1)
    path = Path(path)
    env = LeRobotPuffer(task, 1, 1, log_interval=2**31)
    try:
        view = Camera(env.compiled, width, height, camera)
        step = env.compiled.control_timestep
        stride = max(1, round(1 / (step * _FPS)))
        limit = env.compiled.tables.episode_length or ENDLESS
        actor = make_actor(1)
        observations, _ = env.reset(seed)
        # before a file is made: drawing may fail
        picture = view.render(env.core.state[0], env.core.memory[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = 0
        writer: Any = imageio.get_writer(path, fps=1 / (step * stride), codec="libx264",
                                         macro_block_size=2)
        with writer:
            for _ in range(episodes):
                for number in range(limit):
                    if number % stride == 0:
                        picture = view.render(env.core.state[0], env.core.memory[0])
                        writer.append_data(picture)
                        frames += 1
                    observations, _, terminals, truncations, _ = env.step(actor(observations))
                    if terminals[0] or truncations[0]:
                        break
                else:
                    env.reset()
                actor.forget(np.ones(1, bool))
                for _ in range(round(_PAUSE / (step * stride))):
                    writer.append_data(picture)
                    frames += 1
        view.close()
    finally:
        env.close()
    return frames
