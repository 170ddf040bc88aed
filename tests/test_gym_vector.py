"""The vector Gymnasium environment against stacked single ones, bit for bit."""

from contextlib import suppress

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence as same
from harness import toy

from lerobot_puffer.gym import LeRobotEnv, LeRobotVectorEnv
from lerobot_puffer.signals import Above, Below, JointPosition
from lerobot_puffer.tasks import REGISTRY
from lerobot_puffer.terms import Delta, Field, RandomJoints, Success, TimeFraction

OLD = issubclass(gymnasium.vector.VectorEnv, gymnasium.Env)
MODES = getattr(gymnasium.vector, "AutoresetMode", None)
TASKS = sorted(REGISTRY)
N = 5


def episodes(**changes):
    """Episodes that end in every way: success, failure, time limit; at different steps."""
    values = {
        "action": Delta(step=0.2), "substeps": 20, "episode_length": 12,
        "observations": (Field(name="qpos", field="qpos"), TimeFraction(name="time")),
        "resets": (RandomJoints(("shoulder", "elbow"), (0.0, 0.0), noise=0.3),),
        "success": Success((Above(JointPosition("elbow"), 0.6),), hold=2),
        "failure": (Below(JointPosition("elbow"), -0.6),),
    }
    return toy(**(values | changes))


def random_actions(env, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *env.action_space.shape))


def stacked(observations):
    return {name: np.array([o[name] for o in observations]) for name in observations[0]}


@pytest.mark.parametrize("seed", [3, [7, 3, 9, 0, 2**40]])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_an_environment_equals_the_single_one_of_its_seed(task, threads, seed):
    # without autoreset, as the single one: random actions can make an ALOHA arm diverge
    vector = LeRobotVectorEnv(N, task, num_threads=threads, autoreset_mode="disabled")
    seeds = seed if isinstance(seed, list) else [seed + i for i in range(N)]
    single = [LeRobotEnv(task) for _ in range(N)]
    expected = stacked([env.reset(seed=s)[0] for env, s in zip(single, seeds, strict=True)])
    assert same(vector.reset(seed=seed)[0], expected)
    for actions in random_actions(vector, 40):
        observations, rewards, terminations, truncations, _ = vector.step(actions)
        results = [env.step(action) for env, action in zip(single, actions, strict=True)]
        assert same(observations, stacked([r[0] for r in results]))
        assert rewards.tolist() == [r[1] for r in results]
        assert terminations.tolist() == [r[2] for r in results]
        assert truncations.tolist() == [r[3] for r in results]


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_autoreset_equals_single_environments_reset_by_hand(mode):
    task = episodes()
    vector = LeRobotVectorEnv(N, task, autoreset_mode=mode)
    single = [LeRobotEnv(task) for _ in range(N)]
    vector.reset(seed=1)
    for i, env in enumerate(single):
        env.reset(seed=1 + i)
    done = np.zeros(N, bool)
    ends = {"success": 0, "failure": 0, "time": 0}
    for actions in random_actions(vector, 240):
        observations, rewards, terminations, truncations, infos = vector.step(actions)
        expected, final = [], [None] * N
        for i, env in enumerate(single):
            if mode == "next_step" and done[i]:
                result = (env.reset()[0], 0.0, False, False, {"is_success": False})
            else:
                result = env.step(actions[i])
                if result[2] or result[3]:
                    ends["time" if result[3] else
                         "success" if result[4]["is_success"] else "failure"] += 1
                    if mode == "same_step":
                        final[i] = result
                        result = (env.reset()[0], *result[1:4], {"is_success": False})
            expected.append(result)
        done = terminations | truncations
        assert same(observations, stacked([r[0] for r in expected]))
        assert rewards.tolist() == [r[1] for r in expected]
        assert terminations.tolist() == [r[2] for r in expected]
        assert truncations.tolist() == [r[3] for r in expected]
        assert infos["is_success"].tolist() == [r[4]["is_success"] for r in expected]
        assert infos["_is_success"].all()
        ended = [i for i in range(N) if final[i] is not None]
        assert ("final_obs" in infos) == bool(ended)
        if ended:
            assert np.flatnonzero(infos["_final_obs"]).tolist() == ended
            assert np.flatnonzero(infos["_final_info"]).tolist() == ended
            for i in range(N):
                if i not in ended:
                    assert infos["final_obs"][i] is None
                    continue
                assert same(infos["final_obs"][i], final[i][0])
                info = infos["final_info"]
                won = info[i]["is_success"] if OLD else info["is_success"][i]
                assert won == final[i][4]["is_success"]
    assert min(ends.values()) > 1, ends


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
@pytest.mark.parametrize("task", [episodes(), episodes(success=None)])
def test_results_and_infos_equal_gymnasiums_own_vector(task, mode):
    if OLD and mode == "next_step":
        pytest.skip("gymnasium 0.29.1 has same-step autoreset only")
    options = {} if OLD else {"autoreset_mode": MODES(mode.title().replace("_", ""))}
    theirs = gymnasium.vector.SyncVectorEnv([lambda: LeRobotEnv(task)] * N, **options)
    ours = LeRobotVectorEnv(N, task, autoreset_mode=mode)
    # 0.29.1 has ordered dicts of spaces, which are equal in the same order only, newer ones not
    assert ours.observation_space == theirs.observation_space
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    assert ours.single_action_space == theirs.single_action_space
    for a, b in zip(ours.reset(seed=5), theirs.reset(seed=5), strict=True):
        assert same(a, dict(b))
    for actions in random_actions(ours, 60):
        observations, *a, infos = ours.step(actions)
        their_observations, *b, expected = theirs.step(actions)
        assert same(observations, dict(their_observations)) and same(a, b)
        infos = {k: v for k, v in infos.items() if not (OLD and k.endswith("final_obs"))}
        assert infos.keys() == expected.keys()
        for key, value in expected.items():
            if isinstance(value, dict):
                assert same(infos[key], value)
            elif value.dtype == object:
                assert all(same(x, y) for x, y in zip(infos[key], value, strict=True))
            else:
                assert infos[key].dtype == value.dtype
                assert np.array_equal(infos[key], value)


def test_the_metadata_names_the_autoreset_mode():
    for ours, theirs in (("same_step", "SameStep"), ("next_step", "NextStep"),
                         ("disabled", "Disabled")):
        for mode in (ours, theirs, *([MODES(theirs)] if MODES else [])):
            env = LeRobotVectorEnv(2, "reach", autoreset_mode=mode)
            assert env.metadata["autoreset_mode"] == (MODES(theirs) if MODES else theirs)
    assert "autoreset_mode" not in LeRobotVectorEnv.metadata


def test_without_autoreset_a_mask_resets_what_has_ended():
    env = LeRobotVectorEnv(3, episodes(success=None, failure=()), autoreset_mode="disabled")
    env.reset(seed=0)
    for step in range(1, 15):
        observations, _, _, truncations, _ = env.step(np.zeros((3, 2)))
        assert truncations.all() == (step >= 12)
    options = {"reset_mask": np.array([True, False, True])}
    observations, _ = env.reset(options=options)
    assert observations["time"][:, 0].tolist() == [0, 1, 0]
    assert list(options) == ["reset_mask"]


def test_a_reset_mask_resets_only_its_environments():
    env = LeRobotVectorEnv(N, "reach")
    first, _ = env.reset(seed=0)
    for actions in random_actions(env, 10):
        before = env.step(actions)[0]
    mask = np.array([False, True, False, False, True])
    after, _ = env.reset(seed=0, options={"reset_mask": mask})
    for name in before:
        assert np.array_equal(after[name][mask], first[name][mask])
        assert np.array_equal(after[name][~mask], before[name][~mask])


def test_seeds_may_be_left_open():
    env = LeRobotVectorEnv(3, "reach")
    first = env.reset(seed=[4, None, 6])[0]["target_pos"]
    assert np.array_equal(first[0], LeRobotEnv("reach").reset(seed=4)[0]["target_pos"])
    assert len({tuple(t) for t in first}) == 3
    second = env.reset(seed=[4, None, None])[0]["target_pos"]
    assert np.array_equal(second[0], first[0])
    assert not np.array_equal(second[1:], first[1:])
    other = LeRobotVectorEnv(3, "reach").reset()[0]["target_pos"]
    assert not np.array_equal(LeRobotVectorEnv(3, "reach").reset()[0]["target_pos"], other)


@pytest.mark.parametrize(("call", "error"), [
    (lambda env: env.reset(seed=[1, 2]), "seed must be a number or 3 of them, got 2"),
    (lambda env: env.reset(seed=[1, 2, -3]), r"a seed must be a whole number of .*, got -3"),
    (lambda env: env.reset(seed=2**64 - 2), r"a seed must be a whole number of .*2\*\*64 - 1, got"),
    (lambda env: env.reset(options={"mask": 1}), "reset has no option 'mask'; known: 'reset_mask'"),
    (lambda env: env.reset(options={"reset_mask": [True] * 3}), "reset_mask must be a bool array"),
    (lambda env: env.reset(options={"reset_mask": np.ones(2, bool)}), r"bool array \(3,\)"),
    (lambda env: env.reset(options={"reset_mask": np.ones(3)}), r"bool array \(3,\)"),
    (lambda env: env.reset(options={"reset_mask": np.zeros(3, bool)}), "at least one environment"),
    (lambda env: env.step(np.zeros(6)), r"numbers \(3, 6\), got float64 \(6,\)"),
    (lambda env: env.step(np.zeros((2, 6))), r"numbers \(3, 6\), got float64 \(2, 6\)"),
    (lambda env: env.step([[0.0] * 6, [0.0] * 6, [np.nan] * 6]), "finite.* for environment 2"),
])
def test_a_bad_call_is_refused_before_anything_moves(call, error):
    env = LeRobotVectorEnv(3, "reach")
    env.reset(seed=0)
    before = env._batch.core.get_state()
    with pytest.raises(ValueError, match=error):
        call(env)
    assert np.array_equal(env._batch.core.get_state(), before)


@pytest.mark.parametrize(("options", "error"), [
    ({"num_envs": 0}, "num_envs must be a whole number of at least 1, got 0"),
    ({"num_threads": -1}, "num_threads must be a whole number of at least 0, got -1"),
    ({"max_episode_steps": 0}, "max_episode_steps must be a whole number of at least 1, got 0"),
    ({"autoreset_mode": "never"}, r"autoreset_mode must be one of \['same_step', 'next_step', 'd"),
    ({"render_mode": "human"}, "render_mode must be 'rgb_array' or None, got 'human'"),
    ({"task": "raech"}, "unknown task 'raech'"),
    ({"camera": "frnt"}, "unknown camera 'frnt'"),
])
def test_bad_arguments_are_refused(options, error):
    with pytest.raises(ValueError, match=error):
        LeRobotVectorEnv(**({"num_envs": 2, "task": "reach"} | options))


def test_what_needs_a_reset_says_so():
    env = LeRobotVectorEnv(2, "reach", render_mode="rgb_array")
    for use in (lambda: env.step(np.zeros((2, 6))), env.render,
                lambda: env.reset(options={"reset_mask": np.array([True, False])})):
        with pytest.raises(ResetNeeded):
            use()


def test_close_may_be_called_twice_and_a_closed_environment_says_so():
    env = LeRobotVectorEnv(2, "reach")
    env.reset(seed=0)
    env.close()
    env.close()
    assert env.closed
    with pytest.raises(ValueError, match="the environment is closed"):
        env.step(np.zeros((2, 6)))


def test_results_are_the_callers_to_keep_unless_told_otherwise():
    for copy in (True, False):
        env = LeRobotVectorEnv(2, "reach", copy=copy)
        first, _ = env.reset(seed=0)
        kept = {name: part.copy() for name, part in first.items()}
        env.step(np.ones((2, 6)))
        assert same(first, kept) == copy
        result = env.step(np.ones((2, 6)))
        arrays = [*result[0].values(), *result[1:4]]
        buffers = [env._batch.observations, env._batch.rewards, env._batch.terminals,
                   env._batch.truncations]
        assert any(np.shares_memory(a, b) for a in arrays for b in buffers) != copy


def test_a_final_observation_outlives_the_next_steps():
    env = LeRobotVectorEnv(2, episodes(success=None, failure=()), copy=False)
    env.reset(seed=0)
    for _ in range(12):
        infos = env.step(np.ones((2, 2)))[4]
    kept = {name: part.copy() for name, part in infos["final_obs"][1].items()}
    for _ in range(13):
        env.step(-np.ones((2, 2)))
    assert same(infos["final_obs"][1], kept)


def test_max_episode_steps_is_the_time_limit():
    env = LeRobotVectorEnv(2, "lerobot_reach", max_episode_steps=4)
    env.reset(seed=0)
    ends = [env.step(np.zeros((2, 6)))[3].all() for _ in range(8)]
    assert ends == [False, False, False, True] * 2


def test_episode_statistics_are_recorded():
    wrapper = (gymnasium.wrappers.RecordEpisodeStatistics if OLD
               else gymnasium.wrappers.vector.RecordEpisodeStatistics)
    env = wrapper(LeRobotVectorEnv(3, episodes(success=None, failure=())))
    env.reset(seed=0)
    total = np.zeros(3)
    for step in range(1, 25):
        _, rewards, _, truncations, infos = env.step(np.ones((3, 2)))
        total += rewards
        assert ("episode" in infos) == (step % 12 == 0) == truncations.all()
        if truncations.all():
            assert (infos["episode"]["l"] == 12).all()
            assert infos["episode"]["r"] == pytest.approx(total, rel=1e-6)  # float32 before 1.0
            total[:] = 0


@pytest.mark.skipif(OLD, reason="gymnasium 0.29.1 has no vector_entry_point mode")
@pytest.mark.parametrize("env_id", ["LeRobot-v0", "LeRobotGoalConditioned-v0", "Reach-v0"])
def test_make_vec_makes_it_and_equals_its_sync_mode(env_id):
    def make(mode, **options):
        return gymnasium.make_vec(f"lerobot_puffer/{env_id}", num_envs=4, vectorization_mode=mode,
                                  **options)

    ours = make("vector_entry_point", autoreset_mode="next_step")
    theirs = make("sync")
    assert isinstance(ours.unwrapped, LeRobotVectorEnv)
    assert same(ours.reset(seed=2), theirs.reset(seed=2))
    for actions in random_actions(ours, 160):
        a, b = ours.step(actions), theirs.step(actions)
        assert same(a[:4], b[:4])
    assert make("vector_entry_point", max_episode_steps=7).spec.id == f"lerobot_puffer/{env_id}"


@pytest.mark.skipif(not OLD, reason="gymnasium 0.29.1 only")
def test_the_wrappers_of_gymnasium_0_29_work():
    env = gymnasium.vector.VectorEnvWrapper(LeRobotVectorEnv(2, "reach"))
    other = LeRobotVectorEnv(2, "reach")
    assert same(env.reset(seed=0), other.reset(seed=0))
    assert same(env.step(np.ones((2, 6))), other.step(np.ones((2, 6))))
    with pytest.raises(ValueError, match="step_async"):
        env.step_wait()
    infos = gymnasium.wrappers.VectorListInfo(LeRobotVectorEnv(2, "reach")).reset(seed=0)[1]
    assert infos == [{"is_success": False, "success": False}] * 2


@pytest.mark.skipif(not OLD, reason="gymnasium 0.29.1 only")
def test_the_custom_mode_of_gymnasium_0_29_does_not_make_another_task():
    # it drops the keyword arguments of the id, and with them the task
    with pytest.raises(TypeError, match="task"), suppress(DeprecationWarning):
        gymnasium.make_vec("lerobot_puffer/LeRobot-v0", num_envs=2, vectorization_mode="custom")
    env = gymnasium.make_vec("lerobot_puffer/LeRobot-v0", num_envs=2, vectorization_mode="custom",
                             vector_kwargs={"task": "lerobot_reach"})
    assert env.reset(seed=0)[0]["qpos"].shape == (2, 27)
