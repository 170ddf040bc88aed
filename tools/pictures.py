"""Draws the README's pictures of the ALOHA tasks: python tools/pictures.py

Both scenes from the camera `angle`, half a second after a reset, when the objects lie.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np

from lerobot_puffer.gym import LeRobotEnv
from lerobot_puffer.robots import ALOHA

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
# the arms' start with open grippers
START = np.array([*ALOHA.home[:6], 0.6] * 2)


def main() -> None:
    """Write docs/images/TASK.png."""
    for task in ("aloha_transfer_cube", "aloha_insertion"):
        env = LeRobotEnv(task, render_mode="rgb_array", camera="angle", width=400, height=300)
        env.reset(seed=0)
        for _ in range(25):
            env.step(START)
        imageio.imwrite(IMAGES / f"{task}.png", env.render())
        env.close()


if __name__ == "__main__":
    main()
