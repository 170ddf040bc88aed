"""The single Gymnasium environment: its interface, and its states against plain MuJoCo."""


import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_checker import data_equivalence as same
from harness import Simulations, toy

from lerobot_puffer import GYM_IDS
from lerobot_puffer.gym import LeRobotEnv
from lerobot_puffer.signals import Above, JointPosition
from lerobot_puffer.terms import Delta, Success

IDS = [f"lerobot_puffer/{name}" for name in GYM_IDS]

LEROBOT = {"actuator_force": 6, "gripper_pos": 3, "qpos": 27, "qvel": 24}


def actions(env, n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *env.action_space.shape))


# ------------------------------------------------------------------- interface


@pytest.mark.filterwarnings("ignore:.*A Box observation space.*")
@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_accepts_the_environment(env_id):
    env = gymnasium.make(env_id)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped, skip_render_check=True)
    # a space without bounds is meant where the quantity has none
    said = [str(w.message) for w in caught if "infinity" not in str(w.message)]
    assert said == []


@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines_accepts_the_environment(env_id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(env_id).unwrapped, warn=False)


@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_stable_baselines_trains(algorithm):
    sb3 = pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    env = gymnasium.make("lerobot_puffer/Reach-v0")
    options = {"n_steps": 150, "batch_size": 50} if algorithm == "PPO" else {
        "learning_starts": 50, "train_freq": 10, "gradient_steps": 1, "buffer_size": 300}
    model = getattr(sb3, algorithm)("MultiInputPolicy", env, device="cpu", seed=0,
                                    policy_kwargs={"net_arch": [16]}, **options)
    model.learn(300)
    torch.set_num_threads(threads)
    assert model.num_timesteps >= 300
    assert len(model.ep_info_buffer) == 2
    assert list(model.ep_success_buffer) == [False, False]
    observation, _ = env.reset(seed=0)
    assert model.predict(observation)[0] in env.action_space


@pytest.mark.parametrize("env_id", IDS)
def test_observations_lie_in_their_space_in_the_layouts_order(env_id):
    env = gymnasium.make(env_id)
    layout = env.unwrapped.layout
    observation, _ = env.reset(seed=0)
    for action in [None, *actions(env, 50)]:
        if action is not None:
            observation, reward, terminated, truncated, _ = env.step(action)
            assert type(reward) is float
            assert type(terminated) is bool and type(truncated) is bool
        assert observation in env.observation_space
        assert list(observation) == list(env.observation_space.spaces) == [e.name for e in layout]
        assert all(part.dtype == np.float64 for part in observation.values())
    flat = gymnasium.spaces.flatten(env.observation_space, observation)
    assert np.array_equal(flat, env.unwrapped._batch.observations[0])


def test_the_reference_tasks_have_the_references_spaces():
    space = gymnasium.make("lerobot_puffer/LeRobot-v0").observation_space
    assert {name: box.shape for name, box in space.items()} == {
        name: (n,) for name, n in LEROBOT.items()}
    assert [float(space[name].high[0]) for name in sorted(LEROBOT)] == [3.35, 1.5, 3.0, 10.0]
    space = gymnasium.make("lerobot_puffer/LeRobotGoalConditioned-v0").observation_space
    assert {name: box.shape for name, box in space.items()} == {
        name: (n,) for name, n in (LEROBOT | {"object_index": 3, "target_pos": 3}).items()}


def test_observations_are_new_arrays_at_every_step():
    env = LeRobotEnv("reach")
    first, _ = env.reset(seed=0)
    kept = {name: part.copy() for name, part in first.items()}
    second = env.step(np.ones(6))[0]
    assert same(first, kept)
    assert not any(np.shares_memory(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", [list, tuple, np.float32, np.float16, int])
def test_actions_may_be_of_any_real_type(kind):
    env, other = LeRobotEnv("lerobot_reach"), LeRobotEnv("lerobot_reach")
    env.reset(seed=0), other.reset(seed=0)
    action = np.array([1, 0, -1, 1, 0, 0.5])
    if kind in (list, tuple):
        env.step(kind(action))
    else:
        env.step(action := action.astype(kind))
    other.step(action)
    assert np.array_equal(env.sim_state.qvel, other.sim_state.qvel)


@pytest.mark.parametrize(("action", "error"), [
    (0.5, r"numbers \(6,\), got float64 \(\)"),
    ([0.5], r"numbers \(6,\), got float64 \(1,\)"),
    (np.zeros(5), r"numbers \(6,\), got float64 \(5,\)"),
    (np.zeros((1, 6)), r"numbers \(6,\), got float64 \(1, 6\)"),
    (["a"] * 6, r"numbers \(6,\), got <U1 \(6,\)"),
    ([None] * 6, r"numbers \(6,\), got object \(6,\)"),
    ([[1], [1, 2]], r"numbers \(6,\), got \[\[1\], \[1, 2\]\]"),
    (np.zeros(6, complex), r"numbers \(6,\), got complex128"),
    ([0, 0, 0, np.nan, 0, 0], "must be finite"),
    ([0, 0, 0, 0, 0, -np.inf], "must be finite"),
])
def test_a_bad_action_is_refused_before_anything_moves(action, error):
    env = LeRobotEnv("lerobot_reach")
    env.reset(seed=0)
    before = env._core.get_state()
    with pytest.raises(ValueError, match=error):
        env.step(action)
    assert np.array_equal(env._core.get_state(), before)


def test_an_action_outside_of_the_box_is_clipped_to_the_ctrlrange():
    env = LeRobotEnv("lerobot_reach")
    env.reset(seed=0)
    env.step(np.full(6, 99.0))
    assert np.array_equal(env._current().ctrl, env.model.actuator_ctrlrange[:, 1])


def test_a_step_before_the_reset_is_refused():
    with pytest.raises(ResetNeeded):
        gymnasium.make(IDS[0]).step(np.zeros(6))
    env = LeRobotEnv()
    for use in (lambda: env.step(np.zeros(6)), lambda: env.sim_state, env.render_to_window,
                env.render):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before"):
            use()


def test_close_may_be_called_twice_and_a_closed_environment_says_so():
    env = gymnasium.make(IDS[0])
    env.reset()
    env.close()
    env.close()
    for use in (lambda: env.unwrapped.step(np.zeros(6)), env.unwrapped.reset,
                lambda: env.unwrapped.sim_state):
        with pytest.raises(ValueError, match="the environment is closed"):
            use()
    LeRobotEnv().close()


@pytest.mark.parametrize(("options", "error"), [
    ({"task": "raech"}, "unknown task 'raech'; did you mean 'reach'"),
    ({"assets": "real"}, "assets must be 'native' or 'reference', got 'real'"),
    ({"render_mode": "ansi"}, r"render_mode must be one of \['human', 'rgb_array'\] or None"),
    ({"width": 0}, "width must be a whole number of at least 1, got 0"),
    ({"height": 2.5}, "height must be a whole number of at least 1, got 2.5"),
    ({"camera": "frunt"}, "unknown camera 'frunt'; did you mean 'front"),
    ({"camera": 99}, r"camera must be -1 \(free\) \.\. \d+, got 99"),
    ({"camera": 1.5}, "camera must be a name, a number or None, got 1.5"),
    ({"goal": {"target": 1}}, "goal has no 'target'; did you mean 'target_pos'"),
])
def test_bad_arguments_are_refused(options, error):
    with pytest.raises(ValueError, match=error):
        LeRobotEnv(**options)


def test_render_fps_is_the_control_rate_up_to_50():
    assert LeRobotEnv("reach").metadata["render_fps"] == 50
    assert LeRobotEnv("lerobot_reach").metadata["render_fps"] == 50
    assert LeRobotEnv(toy(substeps=50)).metadata["render_fps"] == 10
    assert LeRobotEnv.metadata["render_fps"] == 50


@pytest.mark.no_sanitizer
def test_gym_needs_neither_pufferlib_nor_torch():


    code = ("import sys, lerobot_puffer.gym; "
            "print(*[m for m in ('pufferlib', 'torch') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ----------------------------------------------------------------------- seeds


def test_a_seed_repeats_its_episodes_and_they_differ():
    def run(seed):
        env = LeRobotEnv("reach")
        return [env.reset(seed=seed)[0]] + [env.reset()[0] for _ in range(3)]

    one, other = run(7), run(7)
    assert same(one, other)
    targets = [tuple(o["target_pos"]) for o in one + run(8)]
    assert len(set(targets)) == 8


def test_a_seed_starts_the_cores_generator_at_stream_0():
    env = LeRobotEnv("reach")
    sims = Simulations("reach", seed=2**64 - 1)
    env.reset(seed=2**64 - 1)
    assert np.array_equal(env._batch.observations, sims.observations)


def test_without_a_seed_the_first_reset_takes_entropy():
    targets = [LeRobotEnv("reach").reset()[0]["target_pos"] for _ in range(3)]
    assert len({tuple(t) for t in targets}) == 3


def test_np_random_is_seeded_too():
    env = LeRobotEnv("reach")
    env.reset(seed=3)
    first = env.np_random.random()
    env.reset(seed=3)
    assert env.np_random.random() == first


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match=r"a seed must be a whole number of 0 \.\. 2\*\*64 - 1"):
        LeRobotEnv("reach").reset(seed=seed)


def test_numpys_whole_numbers_are_seeds():
    a, b = LeRobotEnv("reach").reset(seed=np.int64(4)), LeRobotEnv("reach").reset(seed=4)
    assert same(a, b)


def test_unknown_reset_options_are_refused():
    env = LeRobotEnv("reach")
    env.reset(options={})
    with pytest.raises(ValueError, match=r"reset has no options, got \{'goal': 1\}"):
        env.reset(options={"goal": 1})


def test_the_goal_option_fixes_the_goal():
    env = LeRobotEnv("lerobot_goal_place", goal={"target_pos": (0.1, 0.2, 0.7), "object_index": 2})
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        assert observation["target_pos"].tolist() == [0.1, 0.2, 0.7]
        assert observation["object_index"].tolist() == [0, 0, 1]
        drawn = env.sim_state.sim_metadata
        assert drawn["target_pos"].tolist() == [0.1, 0.2, 0.7] and drawn["object_index"] == 2
        assert env.sim_state.mocap_pos[0].tolist() == [0.1, 0.2, 0.7]


# -------------------------------------------------------------------- episodes


def test_info_holds_the_success_of_the_episode():
    task = toy(action=Delta(step=0.2), substeps=20, episode_length=60,
               success=Success((Above(JointPosition("elbow"), 0.5),), hold=3, terminate=False))
    env = LeRobotEnv(task)
    _, info = env.reset(seed=0)
    assert info == {"is_success": False, "success": False}
    above = 0
    for _ in range(60):
        observation, _, terminated, truncated, info = env.step([0.0, 1.0])
        above += observation["qpos"][1] > 0.5
        assert info == {"is_success": bool(above >= 3), "success": bool(above >= 3)}
        assert not terminated
    assert truncated and above > 3
    assert env.reset()[1]["is_success"] is False


def test_the_time_limit_truncates_and_the_environment_does_not_reset_itself():
    env = LeRobotEnv("reach")
    env.reset(seed=0)
    for step in range(1, 153):
        observation, _, terminated, truncated, _ = env.step(np.zeros(6))
        assert not terminated and truncated == (step >= 150)
    assert env.sim_state.time == pytest.approx(152 * 0.02)
    assert observation["time"][0] == 1


def test_wrappers_work():
    env = gymnasium.make("lerobot_puffer/LeRobot-v0", max_episode_steps=5)
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.FlattenObservation(env))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (60,)
    total = 0.0
    for step in range(5):
        _, reward, _, truncated, info = env.step(np.zeros(6))
        total += reward
        assert truncated == (step == 4)
    assert info["episode"]["l"] == 5
    assert info["episode"]["r"] == pytest.approx(total, rel=1e-6)  # kept in float32 before 1.0


@pytest.mark.no_sanitizer
def test_it_runs_in_gymnasiums_worker_processes():
    def make():
        return gymnasium.make("lerobot_puffer/Reach-v0")

    make().reset(seed=0)  # the parent has a simulation of its own when it forks
    vector, sync = (kind([make, make]) for kind in (
        gymnasium.vector.AsyncVectorEnv, gymnasium.vector.SyncVectorEnv))
    assert same(vector.reset(seed=0)[0], sync.reset(seed=0)[0])
    for action in np.random.default_rng(0).uniform(-1, 1, (160, 2, 6)):
        assert same(vector.step(action)[:4], sync.step(action)[:4])
    vector.close()


def test_a_diverging_simulation_ends_its_episode_and_can_be_reset():
    env = LeRobotEnv("lerobot_reach")
    first, _ = env.reset(seed=0)
    env.evaluate_state(env.model.qpos0, np.full(env.model.nv, 1e9))
    observation, reward, terminated, truncated, _ = env.step(np.zeros(6))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert observation in env.observation_space
    assert same(env.reset()[0], first)


def test_it_runs_under_pufferlibs_emulation():
    pytest.importorskip("pufferlib")
    import pufferlib.emulation
    import pufferlib.vector

    def make(buf=None, seed=0):
        env = gymnasium.make("lerobot_puffer/LeRobot-v0", max_episode_steps=10)
        return pufferlib.emulation.GymnasiumPufferEnv(env=env, buf=buf, seed=seed)

    vector = pufferlib.vector.make(make, backend=pufferlib.vector.Serial, num_envs=2)
    observations, _ = vector.reset(seed=0)
    assert observations.shape == (2, 60)
    for _ in range(25):
        observations, *_ = vector.step(np.zeros((2, 6), np.float32))
    assert np.isfinite(observations).all()
    vector.close()
