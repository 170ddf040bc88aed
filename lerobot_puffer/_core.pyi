from collections.abc import Sequence
from typing import Any, Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from lerobot_puffer.tables import CompiledTask

DTYPES: dict[str, np.dtype[Any]]
KINDS: dict[str, dict[str, int]]
SIGNALS_MAX: int
HEADER_VERSION: int
LIBRARY_VERSION: int

def philox_block(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]: ...
def apply_writes(
    writes: np.ndarray, memory: np.ndarray, fields: Sequence[np.ndarray],
) -> None: ...

class Core:
    model: mujoco.MjModel
    def __init__(
        self,
        task: CompiledTask,
        num_envs: int,
        num_threads: int,
        autoreset: Literal["same_step", "next_step", "disabled"] = "same_step",
        double_precision: bool = False,
        persistent: bool = False,
        truncation_as_terminal: bool = False,
    ) -> None: ...
    def bind(
        self,
        actions: np.ndarray,
        observations: np.ndarray,
        final_observations: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        truncations: np.ndarray,
        final_states: np.ndarray | None = None,
    ) -> None: ...
    def seed(
        self, seeds: Sequence[int] | np.ndarray, streams: Sequence[int] | np.ndarray,
        ids: ArrayLike | None = None,
    ) -> None: ...
    def reset(self, ids: ArrayLike | None = None) -> None: ...
    def step(self) -> None: ...
    def evaluate(self, ids: ArrayLike | None) -> None: ...
    @property
    def state(self) -> np.ndarray: ...
    @property
    def memory(self) -> np.ndarray: ...
    @property
    def episode(self) -> np.ndarray: ...
    def get_state(self, ids: ArrayLike | None = None) -> np.ndarray: ...
    def set_state(self, snapshot: np.ndarray, ids: ArrayLike | None = None) -> None: ...
    def log(self) -> dict[str, Any] | None: ...
    def data(self, sim: int, data: mujoco.MjData) -> None: ...
    def write_model(self, sim: int, model: mujoco.MjModel) -> None: ...
    def engine(self) -> object: ...
    @property
    def num_threads(self) -> int: ...
    def close(self) -> None: ...
