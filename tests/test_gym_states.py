"""States of the single Gymnasium environment, evaluated and restored, against plain MuJoCo."""

import pickle
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence as same
from harness import STATE, Text, toy

from lerobot_puffer.gym import LeRobotEnv
from lerobot_puffer.signals import Above, JointPosition
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import (
    Absolute,
    Delta,
    Field,
    Negative,
    Success,
    TargetError,
    TimeFraction,
)

TASKS = sorted(REGISTRY)


def actions(env, n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *env.action_space.shape))


def plain(env, qpos, qvel, ctrl):
    """What evaluate_state promises, on an mjData of its own."""
    data = mujoco.MjData(env.model)
    mujoco.mj_resetData(env.model, data)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    goals = env._batch.compiled.goals
    if "target_pos" in goals:
        data.mocap_pos[0] = env.sim_state.sim_metadata["target_pos"]
    mujoco.mj_forward(env.model, data)
    return data


def state_of(env, data):
    row = np.empty(mujoco.mj_stateSize(env.model, STATE))
    mujoco.mj_getState(env.model, data, row, STATE)
    return row


@pytest.mark.parametrize("task", ["lerobot_reach", "lerobot_goal_place"])
def test_evaluate_state_goes_on_as_a_plain_mujoco_loop(task):
    env = LeRobotEnv(task)
    rng = np.random.default_rng(1)
    env.reset(seed=0)
    for action in actions(env, 40):
        env.step(action)
    goal = env.sim_state.sim_metadata
    for _ in range(3):
        qpos = env.sim_state.qpos + rng.uniform(-0.05, 0.05, env.model.nq)
        qvel = rng.uniform(-1, 1, env.model.nv)
        ctrl = rng.uniform(-1, 1, env.model.nu)
        data = plain(env, qpos, qvel, ctrl)
        observation, _, terminated = env.evaluate_state(qpos, qvel, ctrl)
        assert not terminated
        assert np.array_equal(env._core.state[0], state_of(env, data))
        assert np.array_equal(observation["actuator_force"], data.actuator_force.clip(-3.35, 3.35))
        assert np.array_equal(observation["gripper_pos"], data.site("gripperframe").xpos)
        assert same(env.sim_state.sim_metadata, goal)
        for action in actions(env, 30, seed=2):
            env.step(action)
            data.ctrl[:] = np.clip(action, *env.model.actuator_ctrlrange.T)
            mujoco.mj_step(env.model, data)
            assert np.array_equal(env._core.state[0], state_of(env, data))


@pytest.mark.parametrize("task", TASKS)
def test_evaluate_state_defaults_to_rest(task):
    env = LeRobotEnv(task)
    env.reset(seed=0)
    qpos = env.sim_state.qpos
    for action in actions(env, 10):
        env.step(action)
    ctrl = np.zeros(env.model.nu)
    if isinstance(env._batch.compiled.task.action, Delta):
        ctrl = qpos[env.model.jnt_qposadr[env.model.actuator_trnid[:, 0]]]
    data = plain(env, qpos, 0.0, ctrl)
    observation, reward, _ = env.evaluate_state(qpos)
    assert np.array_equal(env._core.state[0], state_of(env, data))
    assert same(env.evaluate_state(qpos, np.zeros(env.model.nv), ctrl)[:2], (observation, reward))
    if "time" in observation:
        assert observation["time"][0] == 0
    env.step(np.zeros(env.action_space.shape))
    # the substeps add up to it with rounding
    assert env.sim_state.time == pytest.approx(env._batch.compiled.control_timestep, rel=1e-14)


def test_evaluate_state_gives_the_states_own_reward_and_end():
    conditions = (Above(JointPosition("elbow"), 0.5),)
    task = toy(success=Success(conditions), rewards=(
        Negative(name="elbow", signal=JointPosition("elbow")),))
    env = LeRobotEnv(task)
    qpos = env.model.qpos0.copy()
    qpos[1] = 0.75
    observation, reward, terminated = env.evaluate_state(qpos)
    assert reward == -0.75 and terminated and observation["qpos"][1] == 0.75
    assert env.evaluate_state(env.model.qpos0)[2] is False


def test_evaluate_state_before_the_first_reset_draws_a_goal():
    env = LeRobotEnv("reach")
    env.evaluate_state(env.model.qpos0)
    assert env.sim_state.sim_metadata["target_pos"].any()
    env.step(np.zeros(6))


@pytest.mark.parametrize(("arguments", "error"), [
    ((np.zeros(5),), r"qpos must be finite numbers \(27,\), got float64 \(5,\)"),
    ((np.full(27, np.nan),), r"qpos must be finite numbers \(27,\)"),
    ((np.zeros(27), np.zeros(27)), r"qvel must be finite numbers \(24,\), got float64 \(27,\)"),
    ((np.zeros(27), None, [0, 1]), r"ctrl must be finite numbers \(6,\), got int64 \(2,\)"),
    ((["x"] * 27,), r"qpos must be finite numbers \(27,\), got <U1"),
])
def test_evaluate_state_refuses_what_does_not_fit(arguments, error):
    env = LeRobotEnv("lerobot_reach")
    env.reset(seed=0)
    before = env._core.get_state()
    with pytest.raises(ValueError, match=error):
        env.evaluate_state(*arguments)
    assert np.array_equal(env._core.get_state(), before)


def test_sim_state_has_the_poses_of_the_current_state_as_copies():
    env = LeRobotEnv("lerobot_goal_place")
    env.reset(seed=0)
    for action in actions(env, 20):
        env.step(action)
    state = env.sim_state
    data = mujoco.MjData(env.model)
    mujoco.mj_setState(env.model, data, env._core.state[0], STATE)
    mujoco.mj_forward(env.model, data)
    assert type(state.time) is float and state.time == data.time
    for name in ("qpos", "qvel", "xpos", "xquat", "mocap_pos", "mocap_quat"):
        assert np.array_equal(getattr(state, name), getattr(data, name))
    assert state.xpos.shape == (env.model.nbody, 3) and state.xquat.shape == (env.model.nbody, 4)
    assert set(state.sim_metadata) == {"target_pos", "object_index"}
    kept = pickle.loads(pickle.dumps(state))
    for action in actions(env, 20):
        env.step(action)
    env.reset()
    for name in ("time", "qpos", "qvel", "xpos", "xquat", "mocap_pos", "mocap_quat"):
        assert np.array_equal(getattr(state, name), getattr(kept, name))
    assert same(state.sim_metadata, kept.sim_metadata)


@pytest.mark.parametrize("task", TASKS)
def test_set_sim_state_restores_a_recorded_state(task):
    env = LeRobotEnv(task)
    env.reset(seed=0)
    record = []
    for action in actions(env, 30):
        record.append((env.step(action)[0], env.sim_state))
    other = LeRobotEnv(task)
    other.reset(seed=99)
    # these belong to the last substep and to the controls, which a sim_state does not hold
    derived = {"actuator_force", "target_error", "gripper_ctrl"}
    for expected, state in record[::7]:
        observation, _, terminated = other.set_sim_state(state)
        assert not terminated
        assert same({k: v for k, v in observation.items() if k not in derived},
                    {k: v for k, v in expected.items() if k not in derived})
        again = other.sim_state
        for name in ("time", "qpos", "qvel", "xpos", "xquat", "mocap_pos", "mocap_quat"):
            assert np.array_equal(getattr(again, name), getattr(state, name))
        assert same(again.sim_metadata, state.sim_metadata)


def test_a_restored_state_remembers_what_latched():
    env, other = LeRobotEnv("pick_place"), LeRobotEnv("pick_place")
    env.reset(seed=0)
    other.reset(seed=1)
    pose = env.sim_state.qpos
    assert env.evaluate_state(np.where(np.arange(13) == 8, 0.7, pose))[0]["lifted"] == 1
    for _ in range(15):  # it falls back to the table
        observation = env.step(np.zeros(6))[0]
    state = env.sim_state
    assert state.qpos[8] < 0.63 and observation["lifted"] == 1
    assert state.sim_metadata["latches"].tolist() == [1]
    assert other.set_sim_state(state)[0]["lifted"] == 1
    assert other.evaluate_state(pose)[0]["lifted"] == 0
    for bad, error in (([2], "latches must be 0 or 1"), ([1, 1], r"latches must be .* \(1,\)")):
        with pytest.raises(ValueError, match=error):
            other.set_sim_state(replace(state, sim_metadata={"latches": bad}))


def test_the_reward_of_a_restored_state_is_the_recorded_one():
    env = LeRobotEnv("lerobot_goal_place")
    env.reset(seed=0)
    for action in actions(env, 30):
        reward = env.step(action)[1]
    other = LeRobotEnv("lerobot_goal_place")
    assert other.set_sim_state(env.sim_state)[1] == reward


def test_a_restored_state_counts_its_steps_to_the_time_limit():
    env = LeRobotEnv("reach")
    env.reset(seed=0)
    for action in actions(env, 147):
        env.step(action)
    other = LeRobotEnv("reach")
    other.set_sim_state(env.sim_state)
    assert [other.step(np.zeros(6))[3] for _ in range(3)] == [False, False, True]


def test_set_sim_state_refuses_what_does_not_fit():
    env = LeRobotEnv("lerobot_goal_place")
    env.reset(seed=0)
    state = env.sim_state
    before = env._core.get_state()
    for bad, error in (
        (replace(state, qpos=np.zeros(3)), r"qpos must be finite numbers \(27,\)"),
        (replace(state, time=np.nan), r"time must be finite numbers \(\)"),
        (replace(state, mocap_quat=np.zeros(4)), r"mocap_quat must be finite numbers \(1, 4\)"),
        (replace(state, sim_metadata={"target_pos": (1, 2)}), r"target_pos must be .* \(3,\)"),
        (replace(state, sim_metadata={"object_index": 3}), r"object_index must be 0 \.\. 2, got 3"),
        (replace(state, sim_metadata={"target": 0}), "draws no 'target'; did you mean"),
        ({"qpos": 1}, "state must be a MujocoState, got dict"),
    ):
        with pytest.raises(ValueError, match=error):
            env.set_sim_state(bad)
    assert np.array_equal(env._core.get_state(), before)


def test_a_users_own_task_needs_no_registration():
    xml = """<mujoco><worldbody><body><joint name="j" damping="1"/><geom size=".1"/></body>
    </worldbody><actuator><motor name="m" joint="j" ctrlrange="-1 1"/></actuator></mujoco>"""
    task = replace(make_task("lerobot_reach"), name="own", scene=Text(xml), action=Absolute(),
                   observations=(Field(name="qpos", field="qpos"),), resets=(),
                   rewards=(Negative(name="j", signal=JointPosition("j")),))
    env = LeRobotEnv(task, camera=-1)
    env.reset(seed=0)
    observation, reward, *_ = env.step([1.0])
    assert reward == -observation["qpos"][0] < 0
    assert env.sim_state.sim_metadata == {}
    assert same(env.set_sim_state(env.sim_state)[0], observation)


def test_a_delta_task_restored_holds_its_joints():
    task = toy(action=Delta(step=0.1), observations=(
        TargetError(name="error"), TimeFraction(name="time")), episode_length=9)
    env = LeRobotEnv(task)
    env.reset(seed=0)
    env.step([1.0, -1.0])
    assert (env.set_sim_state(env.sim_state)[0]["error"] == 0).all()
