"""The reference's own trajectories on its own scene, step by step.

The golden arrays were recorded from lerobothackathonenv 0.2.0 under MuJoCo 4.0.0. On the machine
that recorded them states and observations agree bit for bit, and the reward to one rounding (the
reference squares the distance, numpy's exp is not the C library's). The tolerance of 1e-9 leaves
room for another processor: the C library chooses its sin, cos and exp by it, MuJoCo amplifies the
last bit through its contacts, and 300 steps here make less than that of it.
"""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from harness import needs

import lerobot_puffer  # registers the ids
from lerobot_puffer.scene import SO101_REFERENCE

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-9
assert_close = np.testing.assert_allclose


pytestmark = needs(SO101_REFERENCE)


def load(name, seed):
    with np.load(DATA / f"golden_{name}_seed{seed}.npz") as arrays:
        return dict(arrays)


def make(name, golden):
    if name == "reach":
        return gymnasium.make("lerobot_puffer/LeRobot-v0", assets="reference")
    goal = {"target_pos": tuple(golden["target_pos"]), "object_index": int(golden["focus_object"])}
    return gymnasium.make("lerobot_puffer/LeRobotGoalConditioned-v0", assets="reference", goal=goal)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["reach", "goal"])
def test_the_reset_is_the_references(name, seed):
    golden = load(name, seed)
    env = make(name, golden)
    observation, info = env.reset(seed=seed)
    state = env.unwrapped.sim_state
    assert np.array_equal(state.qpos, golden["init_qpos"])
    assert np.array_equal(state.qvel, golden["init_qvel"])
    names = {key.removeprefix("init_obs_") for key in golden if key.startswith("init_obs_")}
    assert set(observation) == names and info == {}
    for key in names:
        assert_close(observation[key], golden[f"init_obs_{key}"], atol=TOLERANCE, rtol=0)
    assert np.array_equal(state.sim_metadata["target_pos"], golden["target_pos"])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["reach", "goal"])
def test_the_trajectory_is_the_references(name, seed):
    golden = load(name, seed)
    env = make(name, golden)
    env.reset(seed=seed)
    qpos, qvel, rewards = (np.empty_like(golden[key]) for key in ("qpos", "qvel", "reward"))
    observations = []
    for t, action in enumerate(golden["action"]):
        observation, rewards[t], terminated, truncated, info = env.step(action)
        assert not terminated and not truncated and info == {}
        state = env.unwrapped.sim_state
        qpos[t], qvel[t] = state.qpos, state.qvel
        observations.append(observation)
    seen = {key: np.array([o[key] for o in observations]) for key in observations[0]}
    assert_close(qpos, golden["qpos"], atol=TOLERANCE, rtol=0)
    assert_close(qvel, golden["qvel"], atol=TOLERANCE, rtol=0)
    assert_close(rewards, golden["reward"], atol=TOLERANCE, rtol=0)
    assert_close(seen["qpos"], golden["qpos"].clip(-3, 3), atol=TOLERANCE, rtol=0)
    assert_close(seen["qvel"], golden["qvel"].clip(-10, 10), atol=TOLERANCE, rtol=0)
    if name == "reach":
        assert_close(seen["actuator_force"], golden["obs_actuator_force"], atol=TOLERANCE, rtol=0)
        assert_close(seen["gripper_pos"], golden["obs_gripper_pos"], atol=TOLERANCE, rtol=0)
    else:
        assert (seen["target_pos"] == golden["target_pos"]).all()
        assert (seen["object_index"] == golden["init_obs_object_index"]).all()


def test_the_reference_scene_has_its_cameras():
    env = gymnasium.make("lerobot_puffer/LeRobot-v0", assets="reference").unwrapped
    names = [env.model.camera(i).name for i in range(env.model.ncam)]
    assert names == ["frontview", "birdview", "agentview", "sideview", "front"]


def test_the_ids_are_registered():
    ids = {f"lerobot_puffer/{name}" for name in lerobot_puffer.GYM_IDS}
    assert ids <= set(gymnasium.registry)
