from collections.abc import Sequence

import mujoco
import numpy as np

class Painter:
    def __init__(
        self, model: mujoco.MjModel, cameras: Sequence[int], width: int, height: int
    ) -> None: ...
    def draw(
        self, states: np.ndarray, pixels: np.ndarray, ids: np.ndarray | None = None
    ) -> None: ...
    def close(self) -> None: ...
