"""Types of csrc/bench.pyx."""

from collections.abc import Sequence

import numpy as np

from lerobot_puffer._core import Core

class Race:
    """A Core and raw batches of its model, stepped in turns."""

    @property
    def matched(self) -> bool: ...
    def __init__(
        self, core: Core, actions: np.ndarray, ring: np.ndarray,
        persistent: Sequence[bool] = (False,),
    ) -> None: ...
    def run(self, steps: int, turns: int) -> np.ndarray: ...
    def step(self, steps: int) -> float: ...
