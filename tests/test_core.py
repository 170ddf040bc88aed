"""The batch's lifetime: buffers, bad input, failures, snapshots, forks, memory."""

import multiprocessing
import os
import resource
import subprocess
import sys

import mujoco
import numpy as np
import pytest
from harness import TOY, Simulations, Text, toy

from lerobot_puffer._core import Core
from lerobot_puffer.compile import TaskError, compile_task
from lerobot_puffer.signals import (
    Above,
    Axis,
    Body,
    Chosen,
    Contact,
    Distance,
    Goal,
    Height,
    JointPosition,
    Site,
)
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import (
    AxisDirection,
    Box,
    Delta,
    Field,
    Gaussian,
    GoalPosition,
    Indicator,
    Negative,
    Normalized,
    OneHot,
    Position,
    RandomChoice,
    RandomGoal,
    RandomJoints,
    RandomPose,
    Success,
    Tanh,
    TimeFraction,
    Tolerance,
)

TIP = Site("tip")


# ------------------------------------------------------------------------------- bad input


def test_every_bad_buffer_is_named():
    compiled = compile_task(toy())
    core = Core(compiled, 2, 1)

    def buffers():
        return {
            "actions": np.zeros((2, 2), np.float32),
            "observations": np.zeros((2, 16), np.float32),
            "final_observations": np.zeros((2, 16), np.float32),
            "rewards": np.zeros(2, np.float32),
            "terminals": np.zeros(2, bool),
            "truncations": np.zeros(2, bool),
        }

    readonly = np.zeros((2, 16), np.float32)
    readonly.flags.writeable = False
    cases = [
        ("actions", np.zeros((2, 2)), r"actions must be float32 \(2, 2\), got float64 \(2, 2\)"),
        (
            "actions",
            np.zeros((2, 3), np.float32),
            r"actions must be float32 \(2, 2\), got float32 \(2, 3\)",
        ),
        ("observations", np.zeros((16, 2), np.float32).T, "observations must be C-contiguous"),
        ("observations", readonly, "observations must be writeable"),
        ("rewards", np.zeros(3, np.float32), r"rewards must be float32 \(2,\)"),
        ("terminals", np.zeros(2, np.uint8), r"terminals must be bool \(2,\), got uint8"),
    ]
    for name, array, message in cases:
        with pytest.raises(ValueError, match=message):
            core.bind(**(buffers() | {name: array}))
    with pytest.raises(TypeError, match="truncations must be a numpy array, got list"):
        core.bind(**(buffers() | {"truncations": [False, False]}))
    with pytest.raises(RuntimeError, match="bind the buffers"):
        core.step()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "num_envs must be at least 1, got 0"),
        ((-3, 1), "num_envs"),
        ((1, 0), "num_threads must be at least 1, got 0"),
        ((1, -1), "num_threads"),
    ],
)
def test_counts_below_one_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Core(compile_task(toy()), *arguments)
    with pytest.raises(ValueError, match="autoreset must be one of"):
        Core(compile_task(toy()), 1, 1, autoreset="never")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("double", [False, True])
def test_a_nonfinite_action_steps_nothing(bad, double):
    sims = Simulations("reach", 4, double=double)
    sims.step(0.3)
    before = [sims.core.get_state(), sims.observations.copy(), sims.rewards.copy()]
    actions = np.zeros((4, 6))
    actions[2, 5] = bad
    with pytest.raises(ValueError, match="environment 2; nothing was stepped"):
        sims.step(actions)
    for a, b in zip(before, [sims.core.get_state(), sims.observations, sims.rewards], strict=True):
        assert np.array_equal(a, b)
    sims.step(0.1)
    assert np.isfinite(sims.observations).all()


@pytest.mark.parametrize("ids", [[4], [-1], [0.5], [[0]], ["a"]])
def test_bad_ids_are_refused(ids):
    sims = Simulations(toy(), 4)
    with pytest.raises(ValueError, match="ids must"):
        sims.core.reset(ids)
    with pytest.raises(ValueError, match="ids must"):
        sims.core.get_state(ids)


def bad_tasks():
    tip = Negative(name="r", signal=Height(TIP))
    goal = RandomGoal("goal", Box((0, 0, 0), (1, 1, 1)))
    yield (
        {"rewards": (Negative(name="r", signal=Height(Site("tpi"))),)},
        "reward|signal|Height",
        "did you mean 'tip'",
    )
    yield (
        {"observations": (Field(name="x", field="qpos", of=("shoulde",)),)},
        "observation 'x'",
        "did you mean 'shoulder'",
    )
    yield {"observations": ()}, "", "at least one observation"
    yield (
        {"observations": (Field(name="x", field="qpos"), Field(name="x", field="qvel"))},
        "",
        "must differ",
    )
    yield {"rewards": (tip, tip)}, "", "must differ"
    yield {"substeps": 0}, "", "substeps must be at least 1, got 0"
    yield {"episode_length": -1}, "", "episode_length"
    yield {"success": Success((Above(Height(TIP), 1.0),), hold=0)}, "", "hold must be at least 1"
    yield (
        {"observations": (GoalPosition(name="g", goal="gaol"),), "resets": (goal,)},
        "",
        "did you mean 'goal'",
    )
    yield {"observations": (OneHot(name="g", choice="x"),)}, "", "unknown choice 'x'"
    yield (
        {
            "observations": (Position(name="p", point=Chosen(("ball", "box"), by="k")),),
            "resets": (RandomChoice("k", 3),),
        },
        "",
        "is of 3",
    )
    yield {"observations": (TimeFraction(name="t"),)}, "", "needs an episode_length"
    yield {"observations": (Field(name="x", field="qpos", clip=(1.0, -1.0)),)}, "", "low < high"
    yield (
        {"rewards": (Gaussian(name="g", signal=Height(TIP), variance=0.0),)},
        "reward 'g'",
        "variance must be above 0",
    )
    yield (
        {"rewards": (Tanh(name="g", signal=Height(TIP), width=-1.0),)},
        "reward 'g'",
        "width must be above 0",
    )
    yield (
        {"rewards": (Tolerance(name="g", signal=Height(TIP), value_at_margin=1.5),)},
        "reward 'g'",
        "value_at_margin",
    )
    yield (
        {"rewards": (Indicator(name="c", when=(Above(Contact(("ball",), ("flor",)), 0.5),)),)},
        "",
        "did you mean 'floor'",
    )
    yield (
        {"rewards": (Indicator(name="c", when=(Above(Contact((), ("floor",)), 0.5),)),)},
        "",
        "must not be empty",
    )
    yield (
        {"rewards": (Negative(name="d", signal=Distance(TIP, Body("box"), "xw")),)},
        "",
        "axes must be some of 'xyz'",
    )
    yield (
        {"rewards": (Negative(name="d", signal=JointPosition("nope")),)},
        "",
        "unknown joint 'nope'",
    )
    yield (
        {"observations": (AxisDirection(name="a", axis=Axis(None, (0, 0, 0))),)},
        "",
        "needs a direction",
    )
    yield {"resets": (RandomJoints(("elbow",), (0.0, 1.0)),)}, "", "positions must be one a joint"
    yield {"resets": (RandomJoints(("elbow",), (2.5,)),)}, "", "has range -2 .. 2, got position 2.5"
    yield (
        {"resets": (RandomPose("upper", Box((0, 0, 0), (1, 1, 1))),)},
        "",
        "must have a free joint",
    )
    yield (
        {"resets": (RandomGoal("g", Box((0, 0, 0), (1, 1, 1)), marker="ball"),)},
        "",
        "must be a mocap body",
    )
    yield {"resets": (RandomChoice("k", 2, fixed=2),)}, "", "must be 0 .. 1, got 2"
    motor = TOY.replace(
        '<position name="elbow" joint="elbow" kp="20" kv="1" ctrlrange="-2 2"/>',
        '<motor name="elbow" joint="elbow"/>',
    )
    yield {"scene": Text(motor), "action": Delta(step=0.1)}, "action", "must be a position actuator"
    yield {"scene": Text(motor), "action": Normalized()}, "action", "needs a ctrlrange"
    yield (
        {"action": Delta(step=0.1, overrides=(("elbo", 0.1, 0.1),))},
        "action",
        "did you mean 'elbow'",
    )
    from lerobot_puffer.terms import Absolute, Coupled, Joined

    pair = Coupled(("shoulder", "elbow"), (0.0, 0.0), (1.0, 1.0))
    yield {"action": Absolute(coupled=(pair, pair))}, "action", "coupled twice"
    uneven = Coupled(("shoulder", "elbow"), (0.0,), (1.0, 1.0))
    yield {"action": Absolute(coupled=(uneven,))}, "action", "must be one a joint"
    yield {"observations": (Joined("j", ()),)}, "", "at least one term"
    many = tuple(
        Negative(name=str(i), signal=Distance(TIP, Goal("goal")), weight=i) for i in range(3)
    )
    yield {"rewards": many}, "", "unknown goal 'goal'"


@pytest.mark.parametrize(("changes", "term", "message"), list(bad_tasks()))
def test_a_task_that_does_not_fit_names_the_term_and_the_repair(changes, term, message):
    with pytest.raises(TaskError, match=rf"(?s)task 'toy', .*({term}).*{message}"):
        compile_task(toy(**changes))


def test_a_task_has_at_most_64_signals():
    rewards = tuple(
        Negative(name=str(i), signal=Height(TIP), when=(Above(Distance(TIP, Fixed_(i)), 0),))
        for i in range(64)
    )
    with pytest.raises(TaskError, match="at most 64 signals, got 65"):
        compile_task(toy(rewards=rewards))


def Fixed_(i):  # noqa: N802
    from lerobot_puffer.signals import Fixed

    return Fixed((float(i), 0.0, 0.0))


def test_unknown_tasks_and_options_are_named():
    with pytest.raises(ValueError, match="unknown task 'rech'; did you mean 'reach'"):
        make_task("rech")
    with pytest.raises(ValueError, match="assets must be 'native' or 'reference', got 'other'"):
        make_task("lerobot_reach", assets="other")
    with pytest.raises(ValueError, match="goal has no 'target'; did you mean 'target_pos'"):
        make_task("reach", goal={"target": (0, 0, 1)})
    with pytest.raises(ValueError, match="three finite numbers"):
        make_task("reach", goal={"target_pos": (0, np.nan, 1)})
    with pytest.raises(ValueError, match="options of registered tasks"):
        make_task(toy(), goal={})


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
