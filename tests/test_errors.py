"""Bad input: each mistake has its message, and nothing has moved then."""

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
from lerobot_puffer.tasks import make_task
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
    with pytest.raises(ValueError, match="as a Gymnasium id it is the task 'pick_place'"):
        make_task("lerobot_puffer/PickPlace-v0")
    with pytest.raises(ValueError, match="task must be a name or a Task, got 3"):
        make_task(3)
    with pytest.raises(ValueError, match="assets must be 'native' or 'reference', got 'other'"):
        make_task("lerobot_reach", assets="other")
    with pytest.raises(ValueError, match="goal has no 'target'; did you mean 'target_pos'"):
        make_task("reach", goal={"target": (0, 0, 1)})
    with pytest.raises(ValueError, match="three finite numbers"):
        make_task("reach", goal={"target_pos": (0, np.nan, 1)})
    with pytest.raises(ValueError, match="target_pos must be three finite numbers, got 3"):
        make_task("reach", goal={"target_pos": 3})
    with pytest.raises(ValueError, match="options are of registered tasks"):
        make_task(toy(), goal={})


def test_an_option_that_a_task_does_not_have_lists_those_that_it_has():
    with pytest.raises(ValueError, match=r"'aloha_insertion' has no option 'modus'; it has mode"):
        make_task("aloha_insertion", options={"modus": "delta"})
    with pytest.raises(ValueError, match=r"options must be a dict, as .*, got 'mode=delta'"):
        make_task("aloha_insertion", options="mode=delta")
    with pytest.raises(ValueError, match="task must be a name or a Task, got 5"):
        make_task(5)
    with pytest.raises(ValueError, match=r"'lerobot_reach' has no option 'mode'; it has none"):
        make_task("lerobot_reach", options={"mode": "delta"})
    with pytest.raises(ValueError, match="options are of registered tasks"):
        make_task(toy(), options={"mode": "delta"})


def test_options_reach_the_task():
    assert make_task("aloha_insertion", options={"mode": "delta"}).action != make_task(
        "aloha_insertion").action
