"""LeRobot's evaluation loop, made again without torch, over the Gymnasium environments."""

import gymnasium
import numpy as np
import pytest
from test_gym_pixels import HOLD, IDS, MODES, OLD, SMALL, drawing, episodes  # noqa: F401 a fixture

from lerobot_puffer.gym import LeRobotEnv

pytestmark = pytest.mark.no_sanitizer


def preprocess(observation):
    """The policy's inputs, as LeRobot makes them of an observation of a gym vector."""
    inputs = {}
    if "pixels" in observation:
        pixels = observation["pixels"]
        named = ({f"observation.images.{name}": p for name, p in pixels.items()}
                 if isinstance(pixels, dict) else {"observation.image": pixels})
        for name, pictures in named.items():
            _, height, width, channels = pictures.shape
            assert channels < height and channels < width and pictures.dtype == np.uint8
            inputs[name] = np.moveaxis(pictures, 3, 1).astype(np.float32) / 255
    if "agent_pos" in observation:
        inputs["observation.state"] = observation["agent_pos"].astype(np.float32)
    return inputs


def rollout(env, policy, seeds):
    """Steps until every environment is done once; as LeRobot's `rollout`, without torch."""
    observation, _ = env.reset(seed=seeds, options={"lerobot_new_rollout": True})
    done = np.zeros(env.num_envs, bool)
    success, frames = [], [np.stack(env.call("render"))]
    max_steps = env.call("_max_episode_steps")[0]
    tasks = list(env.call("task_description"))
    assert env.call("task") is not None
    while not done.all() and len(success) < max_steps:
        action = policy(preprocess(observation), tasks)
        observation, _, terminated, truncated, info = env.step(action)
        frames.append(np.stack(env.call("render")))
        final = info.get("final_info")
        if isinstance(final, dict):
            won = final["is_success"].tolist()
        elif final is not None:
            won = [item is not None and bool(item["is_success"]) for item in final]
        else:
            won = info["is_success"].tolist()
        success.append(won)
        done = done | terminated | truncated
    return np.array(success), frames, tasks, max_steps


@pytest.mark.parametrize("kind", ["SyncVectorEnv", "AsyncVectorEnv"])
def test_lerobots_evaluation_of_aloha_runs(kind):
    def make():
        import lerobot_puffer  # noqa: F401  (in a process of its own)

        return gymnasium.make(
            IDS[0], disable_env_checker=True, obs_type="pixels_agent_pos", max_episode_steps=2,
            render_mode="rgb_array", visualization_width=24, visualization_height=16, **SMALL)

    seen = []

    def policy(inputs, tasks):
        seen.append({name: (value.shape, value.dtype) for name, value in inputs.items()})
        return np.float32([HOLD, HOLD])

    env = same_step(kind, [make, make])
    assert env.unwrapped.metadata["render_fps"] == 50
    success, frames, tasks, max_steps = rollout(env, policy, [1000, 1001])
    env.close()
    assert max_steps == 2 and success.shape == (2, 2) and not success.any()
    assert tasks == ["Insert the peg into the socket."] * 2
    assert seen == [{"observation.images.top": ((2, 3, 16, 24), np.float32),
                     "observation.state": ((2, 14), np.float32)}] * 2
    assert [frame.shape for frame in frames] == [(2, 16, 24, 3)] * 3


def test_lerobots_evaluation_counts_successes():
    def make():
        return gymnasium.wrappers.TimeLimit(
            LeRobotEnv(episodes(), obs_type="pixels_agent_pos", render_mode="rgb_array",
                       width=24, height=16, **SMALL), 8)

    def policy(inputs, tasks):
        assert tasks == ["Bend the elbow."] * 3
        assert inputs["observation.state"].shape == (3, 2)
        return np.float32([[0, 1], [0, -1], [0, 0]])

    env = same_step("SyncVectorEnv", [make] * 3)
    success, frames, _, _ = rollout(env, policy, [0, 1, 2])
    env.close()
    assert success.any(axis=0).tolist() == [True, False, False]
    assert len(frames) == len(success) + 1


def same_step(kind, makers):
    options = {} if OLD else {"autoreset_mode": MODES.SAME_STEP}
    if kind == "AsyncVectorEnv":
        options["context"] = "spawn"  # a process that has drawn must not fork one that draws
    return getattr(gymnasium.vector, kind)(makers, **options)
