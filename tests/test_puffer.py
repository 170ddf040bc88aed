"""The environment as PufferLib uses it: vectorised, in workers, forked, in a trainer's loop."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("lerobot_puffer.env")
import gymnasium
import pufferlib.emulation
import pufferlib.vector as pv

from lerobot_puffer import LeRobotPuffer

BUFFERS = ("observations", "rewards", "terminals", "truncations", "masks", "actions")
STEPS = 12


def action(steps, agents, size):
    """A bounded action that depends on the step and the agent alone."""
    x = np.arange(size) + 7.0 * np.asarray(agents)[:, None] + 3.0 * np.asarray(steps)[:, None]
    return np.sin(x).astype(np.float32)


def play(num_envs, reset_seed, steps=STEPS, **options):
    """Observations, rewards and terminals of every step, (steps + 1, num_envs, ...)."""
    env = LeRobotPuffer("reach", num_envs, 1, **options)
    env.reset(reset_seed)
    rows = []
    for step in range(steps + 1):
        rows.append((env.observations.copy(), env.rewards.copy(), env.terminals.copy()))
        env.step(action(np.full(num_envs, step), np.arange(num_envs), env.actions.shape[1]))
    env.close()
    return [np.array(part) for part in zip(*rows, strict=True)]


def run_python(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True,
                          timeout=120, check=False)


@pytest.mark.no_sanitizer
def test_import_prints_nothing_and_leaves_the_working_directory_empty(tmp_path):
    done = run_python(
        "import warnings, os; before = list(warnings.filters), os.symlink\n"
        "from lerobot_puffer import LeRobotPuffer\n"
        "assert (list(warnings.filters), os.symlink) == before\n"
        "env = LeRobotPuffer('reach', 4); env.reset(0); env.close()", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(tmp_path) == []


@pytest.mark.no_sanitizer
def test_import_works_where_the_working_directory_is_read_only(tmp_path):
    tmp_path.chmod(0o555)
    done = run_python("import lerobot_puffer.env", tmp_path)
    tmp_path.chmod(0o755)
    assert done.returncode == 0, done.stderr


def test_make_with_the_native_backend_gives_the_environment_itself():
    env = pv.make(LeRobotPuffer, env_kwargs={"task": "reach", "num_envs": 5}, backend="PufferEnv")
    assert isinstance(env, LeRobotPuffer)
    assert env.num_agents == 5
    assert env.driver_env is env
    env.close()


def test_send_and_recv_return_the_buffers_themselves():
    env = LeRobotPuffer("reach", 3, 1)
    env.async_reset(1)
    received = env.recv()
    for array, name in zip((*received[:4], received[6]), BUFFERS[:5], strict=True):
        assert array is getattr(env, name)
    env.send(np.zeros_like(env.actions))
    assert env.recv()[0] is env.observations
    env.close()


def test_buffers_are_written_in_place():
    env = LeRobotPuffer("reach", 6, 2)
    before = {name: getattr(env, name).ctypes.data for name in BUFFERS}
    env.reset(0)
    for _ in range(200):
        returned = env.step(env.actions)
    assert {name: getattr(env, name).ctypes.data for name in BUFFERS} == before
    assert returned[0] is env.observations
    assert returned[3] is env.truncations
    env.close()


def test_buffers_of_the_caller_are_used():
    size = LeRobotPuffer("reach", 1, 1).observations.shape[1]
    buf = {
        "observations": np.full((4, size), np.nan, np.float32),
        "rewards": np.full(4, np.nan, np.float32),
        "terminals": np.ones(4, bool), "truncations": np.ones(4, bool),
        "masks": np.zeros(4, bool), "actions": np.zeros((4, 6), np.float32),
    }
    env = LeRobotPuffer("reach", 4, 1, buf=buf)
    assert all(getattr(env, name) is buf[name] for name in BUFFERS)
    env.reset(3)
    env.step(buf["actions"])
    assert np.isfinite(buf["observations"]).all()
    assert np.isfinite(buf["rewards"]).all()
    assert buf["masks"].all()
    env.close()


@pytest.mark.parametrize(("name", "array", "error"), [
    ("observations", np.zeros((4, 3), np.float32), "observations must be float32"),
    ("rewards", np.zeros(4), "rewards must be float32"),
    ("terminals", np.zeros(8, bool)[::2], "C-contiguous"),
])
def test_buffers_that_do_not_fit_are_refused(name, array, error):
    env = LeRobotPuffer("reach", 4, 1)
    buf = {key: getattr(env, key).copy() for key in BUFFERS} | {name: array}
    with pytest.raises(ValueError, match=error):
        LeRobotPuffer("reach", 4, 1, buf=buf)


def test_reset_seed_decides_and_the_constructors_seed_counts_without_one():
    first = play(3, 5)
    assert all(np.array_equal(a, b) for a, b in zip(first, play(3, 5, seed=9), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, play(3, None, seed=5), strict=True))
    assert not np.array_equal(first[0], play(3, 6)[0])


def test_serial_equals_the_environment_alone():
    vec = pv.make(LeRobotPuffer, env_kwargs={"num_envs": 3, "num_threads": 1}, backend="Serial",
                  num_envs=2)
    assert vec.num_agents == 6
    for env in vec.envs:
        assert all(np.shares_memory(getattr(env, name), getattr(vec, name)) for name in BUFFERS)
    vec.reset(seed=5)
    # PufferLib adds the environment's place to the seed
    alone = [play(3, 5), play(3, 6)]
    agents = np.tile(np.arange(3), 2)
    for step in range(STEPS + 1):
        for k, part in enumerate((vec.observations, vec.rewards, vec.terminals)):
            assert np.array_equal(part, np.concatenate([rows[k][step] for rows in alone]))
        vec.step(action(np.full(6, step), agents, 6))
    vec.close()


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("num_envs", "batch_size", "zero_copy"), [
    (2, 2, True), (4, 4, True), (4, 2, True), (4, 2, False),
])
def test_multiprocessing_equals_the_environment_alone(num_envs, batch_size, zero_copy):
    vec = pv.make(LeRobotPuffer, env_kwargs={"num_envs": 3}, backend="Multiprocessing",
                  num_envs=num_envs, num_workers=2, batch_size=batch_size, zero_copy=zero_copy,
                  overwork=True)
    vec.async_reset(5)
    a_worker = num_envs // 2
    # PufferLib adds the worker's place and the environment's place in it to the seed
    alone = [play(3, 5 + k // a_worker + k % a_worker) for k in range(num_envs)]
    expected = [np.concatenate([rows[k] for rows in alone], axis=1) for k in range(3)]
    done = np.zeros(3 * num_envs, int)
    for _ in range(STEPS * num_envs // batch_size):
        observations, rewards, terminals, _, _, agents, masks = vec.recv()
        steps = done[agents]
        assert masks.all()
        assert np.array_equal(observations, expected[0][steps, agents])
        assert np.array_equal(rewards, expected[1][steps, agents])
        assert np.array_equal(terminals, expected[2][steps, agents])
        vec.send(action(steps, agents % 3, 6))
        done[agents] += 1
    assert (done == STEPS).all()
    vec.close()
    for process in vec.processes:
        process.join(timeout=20)
        assert not process.is_alive()


@pytest.mark.no_sanitizer
def test_workers_fork_from_a_parent_that_has_stepped(tmp_path):
    done = run_python("""
import numpy as np, pufferlib.vector as pv
from lerobot_puffer import LeRobotPuffer
own = LeRobotPuffer('reach', 8, 2)
own.reset(1)
for _ in range(5):
    own.step(np.full(own.actions.shape, 0.3, np.float32))
state = own.get_state()
vec = pv.make(LeRobotPuffer, env_kwargs={'num_envs': 8, 'num_threads': 2},
              backend='Multiprocessing', num_envs=2, num_workers=2, overwork=True)
vec.reset(seed=1)
for _ in range(5):
    observations = vec.step(np.full((16, 6), 0.3, np.float32))[0]
assert np.array_equal(observations[:8], own.observations)
assert np.array_equal(own.get_state(), state)
own.step(np.zeros_like(own.actions))
vec.close()
own.close()
print('both went on')
""", tmp_path)
    assert (done.returncode, done.stdout) == (0, "both went on\n"), done.stderr
    assert "Traceback" not in done.stderr


def test_infos_are_one_dict_of_means_every_log_interval():
    env = LeRobotPuffer("reach", 16, 1, log_interval=50)
    env.reset(0)
    infos = [env.step(np.zeros_like(env.actions))[4] for _ in range(150)]
    assert [step for step, info in enumerate(infos, 1) if info] == [150]
    (log,) = infos[-1]
    assert log["n"] == 16
    assert log["episode_length"] == 150
    assert log["success_rate"] == log["score"] == 0
    assert log["episode_return"] == pytest.approx(
        sum(value for name, value in log.items() if name.startswith("reward_")), abs=1e-5)
    env.close()


@pytest.mark.parametrize("as_terminal", [False, True])
def test_time_limits_are_terminals_only_where_asked(as_terminal):
    env = LeRobotPuffer("reach", 4, 1, truncation_as_terminal=as_terminal)
    env.reset(0)
    for _ in range(150):
        assert not env.terminals.any()
        _, _, terminals, truncations, _ = env.step(np.zeros_like(env.actions))
    assert truncations.all()
    assert (terminals == as_terminal).all()
    env.close()


def test_staggered_episodes_begin_at_random_ages_and_are_otherwise_the_same():
    plain, staggered = (LeRobotPuffer("reach", 40, 1, stagger=value) for value in (False, True))
    limit = plain.compiled.task.episode_length
    time = next(part.slice for part in plain.layout if part.name == "time")
    drawn = []
    for seed in (3, None, 3):  # what it draws is the seed's, and goes on without one
        rows, others = plain.reset(seed)[0], staggered.reset(seed)[0]
        ages = np.rint(others[:, time] * limit).astype(int)[:, 0]
        assert ages.min() >= 0 and ages.max() < limit and len(set(ages)) > 20
        assert np.array_equal(staggered.core.episode["steps"], ages)
        others[:, time] = rows[:, time]
        assert np.array_equal(rows, others)
        drawn.append(ages)
    assert np.array_equal(drawn[0], drawn[2]) and not np.array_equal(drawn[0], drawn[1])
    ended = np.zeros(40, int)
    still = np.zeros((40, 6), np.float32)
    for step in range(1, limit + 1):
        rewards = plain.step(still)[1]
        others, truncations = staggered.step(still)[1], staggered.truncations
        fresh = (ended == 0) & ~staggered.terminals
        assert np.array_equal(rewards[fresh], others[fresh])
        ended[(ended == 0) & (truncations | staggered.terminals)] = step
    assert np.array_equal(ended, limit - ages)
    plain.close(), staggered.close()


def test_the_gymnasium_adapter_runs_under_pufferlibs_emulation():
    def make(buf=None, seed=0):
        env = gymnasium.make("lerobot_puffer/LeRobot-v0")
        return pufferlib.emulation.GymnasiumPufferEnv(env, buf=buf, seed=seed)

    vec = pv.make(make, backend="Serial", num_envs=2)
    observations, _ = vec.reset(seed=3)
    assert observations.shape[0] == 2
    for _ in range(10):
        observations, rewards, *_ = vec.step(vec.action_space.sample())
    assert np.isfinite(rewards).all()
    vec.close()


def test_a_state_is_restored_into_an_environment_that_was_not_reset():
    env, other = (LeRobotPuffer("reach", 2, 1, seed=seed) for seed in (1, 2))
    env.reset()
    action = np.full_like(env.actions, 0.3)
    for _ in range(3):
        env.step(action)
    other.set_state(env.get_state())
    for _ in range(3):
        assert np.array_equal(other.step(action)[0], env.step(action)[0])
