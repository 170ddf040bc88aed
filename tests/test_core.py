"""The batch's lifetime: buffers, failures, snapshots, forks, memory."""

import multiprocessing
import os
import resource
import subprocess
import sys

import mujoco
import numpy as np
import pytest
from harness import TOY, Simulations, Text, toy

from lerobot_puffer.compile import compile_task
from lerobot_puffer.signals import Above, Contact, Site
from lerobot_puffer.tasks import REGISTRY
from lerobot_puffer.terms import Indicator, RandomField

TIP = Site("tip")


# -------------------------------------------------------------------------------- failures


def explode(sims, sim):
    sims.core.state[sim, 1 + sims.model.nq : 1 + sims.model.nq + 2] = 1e9


def test_a_diverged_simulation_is_truncated_reset_and_disturbs_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calm, sims = Simulations("reach", 6, seed=1), Simulations("reach", 6, seed=1)
    for _ in range(5):
        calm.step(0.2)
        sims.step(0.2)
    last = sims.observations[3].copy()
    explode(sims, 3)
    calm.step(0.2)
    sims.step(0.2)
    others = [0, 1, 2, 4, 5]
    assert sims.truncations.tolist() == [False, False, False, True, False, False]
    assert not sims.terminals.any() and sims.rewards[3] == 0
    assert np.array_equal(sims.final_observations[3], last)
    assert np.isfinite(sims.observations).all()
    assert np.array_equal(sims.observations[others], calm.observations[others])
    assert sims.core.log()["physics_resets"] == 1
    for _ in range(20):
        calm.step(0.1)
        sims.step(0.1)
        assert np.array_equal(sims.observations[others], calm.observations[others])
        assert not sims.truncations.any()
    assert list(tmp_path.iterdir()) == []  # no MUJOCO_LOG.TXT


def test_a_mujoco_error_ends_the_episode_of_its_simulation_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    xml = TOY.replace(
        '<option timestep="0.002"/>', '<option timestep="0.002"/><size memory="40K"/>'
    )
    pile = "".join(
        f'<body pos="0 2 {1 + 0.3 * i}"><freejoint/><geom type="box" size=".1 .1 .1"/></body>'
        for i in range(14)
    )
    xml = xml.replace('<body name="marker"', pile + '<body name="marker"')
    sims = Simulations(toy(scene=Text(xml)), 3)
    state = sims.core.state
    qpos = 1 + 16
    for i in range(14):  # simulation 1: all boxes into one another on the floor
        state[1, qpos + 7 * i : qpos + 7 * i + 3] = (0, 2, 0.1 + 1e-3 * i)
    sims.step()
    assert sims.truncations.tolist() == [False, True, False]
    assert sims.core.log()["physics_resets"] == 1
    sims.step()
    assert not sims.truncations.any() and np.isfinite(sims.observations).all()
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- snapshots


@pytest.mark.parametrize("task", sorted(REGISTRY))
def test_a_restored_simulation_goes_on_bit_for_bit(task):
    rng = np.random.default_rng(0)
    sims = Simulations(task, 4, seed=7)
    nu = sims.actions.shape[1]

    def run(sims, actions):
        out = []
        for action in actions:
            sims.step(action)
            out.append(
                (
                    sims.observations.copy(),
                    sims.rewards.copy(),
                    sims.terminals.copy(),
                    sims.truncations.copy(),
                )
            )
        return [np.array(column) for column in zip(*out, strict=True)]

    run(sims, rng.uniform(-1, 1, (140, 4, nu)))
    saved, observations = sims.core.get_state(), sims.observations.copy()
    actions = rng.uniform(-1, 1, (40, 4, nu))  # past a time limit
    expected = run(sims, actions)
    sims.core.set_state(saved)
    assert np.array_equal(sims.observations, observations)
    other = Simulations(task, 4, 2, seed=99)
    other.core.set_state(saved)
    for again in (run(sims, actions), run(other, actions)):
        for a, b in zip(expected, again, strict=True):
            assert np.array_equal(a, b)


def test_some_simulations_are_restored_and_the_others_left():
    sims = Simulations("reach", 5)
    sims.step(0.5)
    saved = sims.core.get_state([1, 3])
    sims.step(0.5)
    after = sims.core.get_state()
    sims.core.set_state(saved[::-1], [3, 1])
    now = sims.core.get_state()
    assert np.array_equal(now[[1, 3]], saved)
    assert np.array_equal(now[[0, 2, 4]], after[[0, 2, 4]])
    with pytest.raises(ValueError, match="a snapshot of 1 environments is float64"):
        sims.core.set_state(saved, [0])


# ------------------------------------------------------------------- processes and memory


def _go_on(sims, actions, out):
    for action in actions:
        sims.step(action)
    out.put((sims.observations.copy(), sims.rewards.copy()))
    sims.core.close()


def test_a_forked_child_goes_on_from_the_same_states_and_so_does_the_parent():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (30, 4, 6))
    sims, alone = Simulations("reach", 4, 2), Simulations("reach", 4, 1)
    for action in actions:
        sims.step(action)
        alone.step(action)
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_go_on, args=(sims, actions, out))
    child.start()
    for action in actions:
        sims.step(action)
        alone.step(action)
    observations, rewards = out.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    for mine in (sims, alone):
        assert np.array_equal(mine.observations, observations)
        assert np.array_equal(mine.rewards, rewards)


def test_a_process_that_never_closes_exits_cleanly():
    code = (
        "import mujoco, sys; sys.path.insert(0, 'tests'); from harness import Simulations\n"
        "import os\nsims = Simulations('reach', 8, 3); sims.step(0.1)\n"
        "pid = os.fork()\nsims.step(0.1)\n"
        "if pid: assert os.waitpid(pid, 0)[1] == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=os.path.dirname(os.path.dirname(__file__)),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""


def test_calls_after_close_are_refused_and_closing_twice_is_fine():
    sims = Simulations(toy(), 2)
    sims.core.close()
    sims.core.close()
    for call in (sims.core.step, sims.core.reset, sims.core.get_state):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_core_is_initialised_once():
    sims = Simulations(toy(), 1)
    with pytest.raises(RuntimeError, match="initialised once"):
        sims.core.__init__(sims.compiled, 1, 1)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_a_million_steps_do_not_grow_resident_memory():
    sims = Simulations(toy(episode_length=50), 500, 2)
    for _ in range(100):
        sims.step(0.1)
    before = resident()
    for _ in range(2000):
        sims.step(0.1)
    # an allocation of 8 bytes a step would be 8 MB
    assert resident() - before < 2**20


def test_making_and_closing_does_not_leak():
    compiled = compile_task(toy())

    def churn(n):
        for _ in range(n):
            Simulations(compiled, 64).core.close()

    churn(20)
    before = resident()
    churn(200)
    assert resident() - before < 4 * 2**20  # 200 batches would be over 20 MB


def test_buffers_are_written_in_place():
    sims = Simulations("reach", 3)
    arrays = (
        sims.observations,
        sims.rewards,
        sims.terminals,
        sims.truncations,
        sims.final_observations,
    )
    pointers = [array.ctypes.data for array in arrays]
    for _ in range(160):
        sims.step(0.1)
    assert [array.ctypes.data for array in arrays] == pointers
    assert all(array.base is None for array in arrays)


def test_data_is_a_copy_of_one_simulation():
    sims = Simulations("reach", 3)
    sims.step(0.4)
    data = mujoco.MjData(sims.model)
    sims.core.data(1, data)
    assert np.array_equal(data.qpos, sims.core.state[1, 1 : 1 + sims.model.nq])
    data.qpos[:] = 0
    assert sims.core.state[1, 1] != 0


def test_an_error_while_looking_for_contacts_leaves_the_models_of_drawn_simulations_whole():
    pile = "".join(
        f'<body pos="0 2 {1 + 0.3 * i}"><freejoint/>'
        f'<geom name="{i}" type="box" size=".1 .1 .1"/></body>' for i in range(14))
    xml = TOY.replace(
        '<option timestep="0.002"/>', '<option timestep="0.002"/><size memory="40K"/>'
    ).replace('<body name="marker"', pile + '<body name="marker"')
    touch = Above(Contact(("ball",), tuple(map(str, range(14)))), 0.5)
    sims = Simulations(toy(
        scene=Text(xml), rewards=(Indicator(name="touch", when=(touch,)),),
        randomize=(RandomField(quantity="kp", scale=(0.5, 2.0)),)), 3)
    sims.step()
    saved = sims.core.get_state()
    sims.step()
    expected = sims.core.state.copy()
    init, first = sims.compiled.tables.init, 1 + 16
    own = init.copy()
    for i in range(14):  # a reset then puts all boxes into one another
        init[first + 7 * i : first + 7 * i + 3] = (0, 2, 0.1 + 1e-3 * i)
    with pytest.raises(RuntimeError, match="stack overflow"):
        sims.core.reset()
    init[:] = own
    sims.core.set_state(saved)
    sims.step()
    assert np.array_equal(sims.core.state, expected)


@pytest.mark.parametrize("autoreset", ["next_step", "disabled"])
def test_a_simulation_that_is_not_reset_keeps_the_state_before_it_diverged(autoreset):
    sims = Simulations("reach", 2, autoreset=autoreset)
    sims.step(0.2)
    last = sims.observations.copy()
    explode(sims, 1)
    before = sims.core.state.copy()
    sims.step(0.2)
    assert sims.truncations.tolist() == [False, True]
    assert np.array_equal(sims.core.state[1], before[1])
    assert np.array_equal(sims.observations[1], last[1])
    assert not np.array_equal(sims.core.state[0], before[0])
