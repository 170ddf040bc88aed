"""Draws the README's pictures of the ALOHA tasks and of a learned stack: python tools/pictures.py

Both ALOHA scenes from the camera `angle`, half a second after a reset, when the objects lie; five
moments of an episode of the `stack` policy that comes with the package.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
import numpy as np

from lerobot_puffer import LeRobotPuffer
from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.gym import LeRobotEnv
from lerobot_puffer.policy import MeanActor
from lerobot_puffer.robots import ALOHA

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
# the arms' start with open grippers
START = np.array([*ALOHA.home[:6], 0.6] * 2)
# of an episode that succeeds with cubes well apart
SEED = 1


def aloha(task: str) -> np.ndarray:
    """The scene of a task, (300, 400, 3)."""
    env = LeRobotEnv(task, render_mode="rgb_array", camera="angle", width=400, height=300)
    env.reset(seed=0)
    for _ in range(25):
        env.step(START)
    picture = env.render()
    env.close()
    return picture


def stack() -> np.ndarray:
    """Five moments side by side, (180, 5 * 240, 3)."""
    env = LeRobotPuffer("stack", 1, obs_type="pixels", cameras=("near",), width=240, height=180)
    act = MeanActor(checkpoints.load(checkpoints.packaged("stack")).policy(), 1)
    env.reset(SEED)
    pictures, ended = [], False
    while not ended:
        pictures.append(env.observations[0, 0].copy())
        _, _, terminals, truncations, _ = env.step(act(env.states))
        ended = terminals[0] or truncations[0]
    if truncations[0]:
        raise SystemExit(f"the episode of seed {SEED} fails; choose another")
    env.close()
    moments = np.linspace(0, len(pictures) - 1, 5).astype(int)
    return np.concatenate([pictures[i] for i in moments], axis=1)


def main() -> None:
    """Write docs/images/TASK.png."""
    for task in ("aloha_transfer_cube", "aloha_insertion"):
        imageio.imwrite(IMAGES / f"{task}.png", aloha(task))
    imageio.imwrite(IMAGES / "stack.png", stack())


if __name__ == "__main__":
    main()
