"""Reinforcement-learning environments for the SO-101 and ALOHA, native to PufferLib.

`LeRobotPuffer` is env.py. The Gymnasium environments are gym.py (single), gym_vector.py and, behind
gym-aloha's arguments, gym_aloha.py. Tasks are in tasks/, made by `make_task`; the parts of a `Task`
of your own are in terms/, signals.py and scene.py. Importing this package imports neither torch,
pufferlib nor mujoco.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("lerobot_puffer")
__all__ = ["ALOHA_IDS", "GYM_IDS", "LeRobotPuffer", "Task", "make_task", "register_envs"]

# ids in Gymnasium's namespace `lerobot_puffer`, and the tasks they are
GYM_IDS = {
    "LeRobot-v0": "lerobot_reach",
    "LeRobotGoalConditioned-v0": "lerobot_goal_place",
    "Reach-v0": "reach",
    "Lift-v0": "lift",
    "Push-v0": "push",
    "PickPlace-v0": "pick_place",
    "Stack-v0": "stack",
}
# those of gym-aloha, with its arguments and pictures as observations
ALOHA_IDS = {
    "AlohaInsertion-v0": "aloha_insertion",
    "AlohaTransferCube-v0": "aloha_transfer_cube",
}

_HOMES = {
    "LeRobotPuffer": "lerobot_puffer.env",
    "Task": "lerobot_puffer.terms",
    "make_task": "lerobot_puffer.tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lerobot_puffer' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "pufferlib":
            raise
        raise ModuleNotFoundError(
            f"{name} needs pufferlib: pip install 'lerobot_puffer[puffer]'; gymnasium.make does "
            "without it", name="pufferlib") from error


def register_envs() -> None:
    """Register the Gymnasium ids; Gymnasium calls it itself through its plugin entry point."""
    # gymnasium runs this while it is being imported, so nothing else of it may be needed here
    from gymnasium.envs.registration import register

    for name, task in GYM_IDS.items():
        register(
            id=f"lerobot_puffer/{name}",
            entry_point="lerobot_puffer.gym:LeRobotEnv",
            vector_entry_point="lerobot_puffer.gym:LeRobotVectorEnv",
            kwargs={"task": task},
        )
    for name, task in ALOHA_IDS.items():
        register(
            id=f"lerobot_puffer/{name}",
            entry_point="lerobot_puffer.gym_aloha:make_aloha",
            vector_entry_point="lerobot_puffer.gym:LeRobotVectorEnv",
            max_episode_steps=300,
            kwargs={"task": task, "obs_type": "pixels", "render_mode": "rgb_array"},
        )


# gymnasium 1.0 dropped the plugin entry point; under 0.29.1, which has it, importing gymnasium here
# would load gym too and take half a second
if int(metadata.version("gymnasium").partition(".")[0]) >= 1:
    register_envs()
