"""Every term against its formula, and the dataclasses against the kernels."""

import dataclasses
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from harness import MOTION, POSE, STATE, Simulations, toy

from lerobot_puffer import compile as compile_module
from lerobot_puffer import signals, terms
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile import observations as compiled_observations
from lerobot_puffer.compile.signals import snake
from lerobot_puffer.signals import (
    Above,
    Alignment,
    Axis,
    Body,
    Chosen,
    Contact,
    ContactForce,
    Control,
    Distance,
    Fixed,
    Geom,
    Goal,
    Height,
    JointPosition,
    Midpoint,
    Site,
    Speed,
)
from lerobot_puffer.terms import (
    Absolute,
    AxisDirection,
    Box,
    Coupled,
    Delta,
    Field,
    GoalPosition,
    Joined,
    Normalized,
    OneHot,
    Position,
    RandomChoice,
    RandomGoal,
    RandomJoints,
    RandomPose,
    SignalValue,
    Success,
    TargetError,
    TimeFraction,
)

CSRC = Path(__file__).parents[1] / "csrc"
GOAL = RandomGoal("goal", Box((-1, -1, 0), (1, 1, 1)), marker="marker")
CHOICE = RandomChoice("which", 2)


def observed(term, resets=(), state=None, **changes):
    """The value of one observation term in a state, and the mjData of that state."""
    sims = Simulations(toy(observations=(term,), resets=resets, **changes), 1)
    data = sims.place(**(state or {"qpos": POSE, "qvel": MOTION}))
    return sims.observations[0], data, sims


@pytest.mark.parametrize(
    ("kind", "file", "prefix"),
    [
        ("observe", "observe.pxd", "observe_"),
        ("reset", "reset.pxd", "reset_"),
        ("action", "action.pxd", "action_"),
    ],
)
def test_every_kind_has_its_kernel(kind, file, prefix):
    kernels = set(re.findall(rf"cdef inline \w+ {prefix}(\w+)\(", (CSRC / file).read_text()))
    kernels -= {"terms"}
    inlined = {"signal"} if kind == "observe" else set()
    assert kernels | inlined == set(KINDS[kind])


def test_every_reward_and_signal_kind_has_a_dataclass():
    assert set(compile_module._REWARD.values()) == set(KINDS["reward"])
    assert {kind for kind, *_ in compiled_observations._OBSERVE.values()} == set(KINDS["observe"])
    names = {snake(cls.__name__) for cls in signals.Signal.__args__}
    assert names == set(KINDS["signal"])
    assert {cls.__name__.lower() for cls in signals.Point.__args__} == set(KINDS["point"])
    assert {cls.__name__.lower() for cls in terms.Action.__args__} == set(KINDS["action"])


def test_terms_are_frozen_and_hashable():
    for module in (signals, terms):
        for value in vars(module).values():
            if dataclasses.is_dataclass(value):
                assert value.__dataclass_params__.frozen, value
    hash(toy(success=Success((Above(Height(Site("tip")), 1.0),))).rewards)


@pytest.mark.parametrize("field", ["qpos", "qvel", "ctrl"])
def test_field_copies_a_field(field):
    value, data, _ = observed(Field(name="x", field=field))
    assert np.array_equal(value, getattr(data, field))


def test_field_selects_joints_actuators_and_sensors():
    for field, of, index in (
        ("qpos", ("elbow",), [1]),
        ("qvel", ("elbow", "shoulder"), [1, 0]),
        ("ctrl", ("elbow",), [1]),
        ("sensordata", ("tip",), [0, 1, 2]),
        ("actuator_force", ("elbow", "shoulder"), [1, 0]),
    ):
        value, data, _ = observed(Field(name="x", field=field, of=of))
        assert np.array_equal(value, getattr(data, field)[index]), field


def test_actuator_force_and_sensors_are_of_the_last_substep_and_zero_after_a_reset():
    task = toy(
        observations=(Field(name="f", field="actuator_force"), Field(name="s", field="sensordata")),
        substeps=2,
    )
    sims = Simulations(task, 1)
    assert (sims.observations == 0).all()
    data = mujoco.MjData(sims.model)
    for _ in range(5):
        mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
        data.ctrl[:] = (0.5, 0.4)
        mujoco.mj_step(sims.model, data, nstep=2)
        sims.step([0.5, 0.4])
        assert np.array_equal(
            sims.observations[0], np.concatenate([data.actuator_force, data.sensordata])
        )
    sims.core.reset()
    assert (sims.observations == 0).all()


def test_scale_noise_and_clip_come_in_that_order():
    value, data, _ = observed(Field(name="x", field="qpos", scale=2.0, clip=(-0.5, 0.6)))
    assert np.array_equal(value, np.clip(2 * data.qpos, -0.5, 0.6))
    value, data, _ = observed(Field(name="x", field="qpos", scale=2.0, offset=0.5))
    assert np.array_equal(value, 2 * data.qpos + 0.5)
    noisy, data, _ = observed(Field(name="x", field="qpos", noise=100.0, clip=(-0.5, 0.6)))
    assert noisy.min() == -0.5 and noisy.max() == 0.6


def test_position_is_of_any_point_and_relative():
    points = {
        "tip": Site("tip"),
        "ball": Body("ball"),
        "lower": Geom("lower"),
        "fixed": Fixed((1.0, 2.0, 3.0)),
        "middle": Midpoint("side", "tip"),
    }
    _, data, _ = observed(Position(name="x", point=Site("tip")))
    where = {
        "tip": data.site("tip").xpos,
        "ball": data.body("ball").xpos,
        "lower": data.geom("lower").xpos,
        "fixed": np.array((1.0, 2.0, 3.0)),
        "middle": (data.site("side").xpos + data.site("tip").xpos) / 2,
    }
    for name, point in points.items():
        value, *_ = observed(Position(name="x", point=point))
        assert np.array_equal(value, where[name])
        value, *_ = observed(Position(name="x", point=point, relative_to=Body("box")))
        assert np.array_equal(value, where[name] - data.body("box").xpos)
    value, *_ = observed(Position(name="x", point=points["middle"], relative_to=Site("side")))
    assert np.allclose(value, (data.site("tip").xpos - data.site("side").xpos) / 2, atol=1e-15)
    value, *_ = observed(Position(name="x", point=points["middle"], relative_to=points["middle"]))
    assert not value.any()


def test_axis_directions_are_rotated_into_the_world():
    value, data, _ = observed(AxisDirection(name="x", axis=Axis(Body("box"), (0, 2.0, 0))))
    assert np.allclose(value, data.body("box").xmat.reshape(3, 3)[:, 1], atol=1e-15)
    value, data, _ = observed(AxisDirection(name="x", axis=Axis(Site("tip"), (1.0, 0, 0))))
    assert np.allclose(value, data.site("tip").xmat.reshape(3, 3)[:, 0], atol=1e-15)
    value, *_ = observed(AxisDirection(name="x", axis=Axis(None, (0, 0, -1.0))))
    assert np.array_equal(value, (0, 0, -1))


def test_goals_and_choices_are_observed_and_move_the_marker():
    task = toy(
        resets=(GOAL, CHOICE),
        observations=(
            GoalPosition(name="goal", goal="goal"),
            OneHot(name="which", choice="which"),
            Position(name="marker", point=Body("marker")),
            Position(name="to_goal", point=Goal("goal"), relative_to=Site("tip")),
            Position(name="chosen", point=Chosen(("ball", "box"), by="which")),
        ),
    )
    sims = Simulations(task, 40)
    assert np.array_equal(sims.part("goal"), sims.part("marker"))
    assert len(np.unique(sims.part("goal"))) == 120
    assert np.allclose(sims.part("to_goal"), sims.part("goal") - (0.4, 0, 0.5), atol=1e-15)
    which = sims.part("which").argmax(axis=1)
    assert set(which) == {0, 1}
    assert np.array_equal(sims.part("chosen"), np.array([(0, 0.5, 0.1), (0, -0.5, 0.1)])[which])


def test_target_error_and_time_fraction():
    task = toy(observations=(TargetError(name="e"), TimeFraction(name="t")), episode_length=8)
    sims = Simulations(task, 1)
    sims.step([0.3, 0.2])
    assert np.array_equal(sims.part("e")[0], (0.3, 0.2) - sims.core.state[0][1:3])
    assert sims.part("t")[0, 0] == 1 / 8


def value_of(signal, state=None):
    value, data, _ = observed(SignalValue(name="x", signal=signal), state=state)
    return value[0], data


def test_distance_height_and_joint_position():
    tip, box = Site("tip"), Body("box")
    _, data = value_of(Height(tip))
    step = data.site("tip").xpos - data.body("box").xpos
    for axes, part in (("xyz", step), ("xy", step[:2]), ("z", step[2:]), ("zx", step[[0, 2]])):
        assert value_of(Distance(tip, box, axes))[0] == pytest.approx(
            np.linalg.norm(part), rel=1e-15
        )
    assert value_of(Height(tip))[0] == data.site("tip").xpos[2]
    assert value_of(JointPosition("elbow"))[0] == -0.7


def test_control_is_the_target_that_the_last_action_set():
    task = toy(
        action=Delta(0.1),
        observations=(
            SignalValue(name="target", signal=Control("elbow")),
            Field(name="elbow", field="qpos", of=("elbow",)),
        ),
    )
    sims = Simulations(task, 1)
    start = sims.part("elbow")[0, 0]
    assert sims.part("target")[0, 0] == start
    for moved, action in ((0.1, 1.0), (0.05, -0.5), (0.05, 0.0)):
        sims.step([0.0, action])
        assert sims.part("target")[0, 0] == pytest.approx(start + moved, abs=1e-15)
        assert sims.part("elbow")[0, 0] != start


@pytest.mark.parametrize("point", [Body("ball"), Body("lower"), Site("tip"), Geom("lower")])
def test_speed_is_that_of_the_point(point):
    value, data = value_of(Speed(point))
    kind = {
        Body: mujoco.mjtObj.mjOBJ_XBODY,
        Site: mujoco.mjtObj.mjOBJ_SITE,
        Geom: mujoco.mjtObj.mjOBJ_GEOM,
    }[type(point)]
    index = getattr(data.model, type(point).__name__.lower())(point.name).id
    velocity = np.empty(6)
    mujoco.mj_objectVelocity(data.model, data, kind, index, velocity, 0)
    assert value == pytest.approx(np.linalg.norm(velocity[3:]), rel=1e-14)
    assert value > 0.05


def test_contact_finds_pairs_in_either_order_unless_it_is_ordered():
    touching = {"qpos": np.where(np.arange(16) == 4, 0.0999, POSE), "qvel": 0 * MOTION}
    assert value_of(Contact(("ball",), ("floor",)), touching)[0] == 1
    assert value_of(Contact(("floor",), ("ball", "box")), touching)[0] == 1
    assert value_of(Contact(("floor",), ("ball",), ordered=True), touching)[0] == 1
    assert value_of(Contact(("ball",), ("floor",), ordered=True), touching)[0] == 0
    assert value_of(Contact(("ball",), ("box", "lower")), touching)[0] == 0
    assert value_of(Contact(("ball",), ("floor",)))[0] == 0


def test_contact_force_of_a_resting_body_is_its_weight():
    task = toy(
        observations=(
            SignalValue(name="box", signal=ContactForce(("box",), ("floor",))),
            SignalValue(name="all", signal=ContactForce(("floor",), ("box", "ball"))),
            SignalValue(name="touch", signal=Contact(("floor",), ("box",))),
        )
    )
    sims = Simulations(task, 1)
    assert sims.observations[0, 0] == 0
    for _ in range(2000):
        sims.step()
    # settled to 1e-6 of the weight
    assert sims.observations[0] == pytest.approx((2 * 9.81, 3 * 9.81, 1), rel=1e-6)


def test_alignment_is_the_cosine():
    value, _ = value_of(Alignment(Axis(Body("box"), (1, 0, 0)), Axis(None, (1, 0, 0))))
    assert value == pytest.approx(0.8**2 - 0.6**2, abs=1e-15)


def test_random_joints_and_poses_start_where_they_should():
    task = toy(
        observations=(Field(name="q", field="qpos"),),
        resets=(
            RandomJoints(("shoulder", "elbow"), (1.4, 0.0), noise=0.3),
            RandomPose("box", Box((-1.0, 1.0, 0.3), (0.0, 2.0, 0.3)), yaw=(-0.5, 0.5)),
        ),
    )
    q = Simulations(task, 500).observations
    assert q[:, 0].min() < 1.15 and q[:, 0].max() <= 1.5  # clipped to the joint's range
    assert -0.3 <= q[:, 1].min() < -0.25 and 0.25 < q[:, 1].max() <= 0.3
    assert np.array_equal(q[0, 2:9], (0, 0.5, 0.1, 1, 0, 0, 0))
    assert q[:, 9].min() >= -1 and q[:, 9].max() <= 0 and (q[:, 11] == 0.3).all()
    yaw = 2 * np.arctan2(q[:, 15], q[:, 12])
    assert np.allclose(np.linalg.norm(q[:, 12:16], axis=1), 1)
    assert -0.5 <= yaw.min() < -0.45 and 0.45 < yaw.max() <= 0.5


def test_joined_terms_share_a_name():
    term = Joined(
        "both",
        (
            Field(name="a", field="qpos", of=("elbow",), clip=(-2.0, 2.0)),
            Position(name="b", point=Site("tip"), clip=(-1.0, 3.0)),
        ),
    )
    value, data, sims = observed(term)
    assert np.array_equal(value, [data.qpos[1], *data.site("tip").xpos])
    (entry,) = sims.compiled.layout
    assert (entry.name, entry.start, entry.size, entry.low, entry.high) == ("both", 0, 4, -2, 3)


@pytest.mark.parametrize(
    ("kind", "x", "expected"),
    [
        (Absolute, 0.25, (-0.5, 0.5)),
        (Absolute, 1.5, (1.5, -2.0)),  # clipped to the ctrlrange
        (Normalized, 0.0, (0.0, 0.0)),
        (Normalized, -3.0, (-1.0, 1.0)),
    ],
)
def test_coupled_actuators_share_an_element_of_the_action(kind, x, expected):
    fingers = Coupled(("shoulder", "elbow"), low=(-1.0, 1.0), high=(1.0, -1.0))
    task = toy(action=kind(coupled=(fingers,)), observations=(Field(name="c", field="ctrl"),))
    sims = Simulations(task)
    assert sims.actions.shape == (1, 1)
    sims.step(x)
    assert np.allclose(sims.observations[0], expected, atol=1e-15)


def test_a_delta_moves_coupled_actuators_by_a_share_of_their_range():
    fingers = Coupled(("elbow",), low=(1.0,), high=(-1.0,), step=0.1)
    task = toy(
        action=Delta(step=0.3, coupled=(fingers,)), observations=(Field(name="c", field="ctrl"),)
    )
    sims = Simulations(task)
    sims.step([0.5, 1.0])
    assert np.allclose(sims.observations[0], (0.15, -0.2), atol=1e-15)
