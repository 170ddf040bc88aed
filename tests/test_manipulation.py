"""The terms that manipulation needs, against plain MuJoCo; its tasks' ends and rewards."""

import copy

import mujoco
import numpy as np
import pytest
from harness import MOTION, POSE, Simulations, toy

from lerobot_puffer._core import KINDS
from lerobot_puffer.compile import TaskError, compile_task
from lerobot_puffer.signals import (
    Above,
    AngularSpeed,
    Axis,
    Below,
    Body,
    Contact,
    Geom,
    Height,
    JointPosition,
    JointSpeed,
    Latch,
    Site,
)
from lerobot_puffer.tasks import make_task
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.terms import (
    AxisDirection,
    Box,
    Indicator,
    Position,
    Ramp,
    RandomGoal,
    RandomPose,
    Sector,
    SignalValue,
    Success,
    SuccessBonus,
)

TASKS = ("lift", "push", "pick_place", "stack")


def observed(term, **state):
    """The value of one observation term in a state of the toy, and the mjData of that state."""
    sims = Simulations(toy(observations=(term,)), 1)
    data = sims.place(**({"qpos": POSE, "qvel": MOTION} | state))
    return sims.observations[0], data


def value_of(signal, **state):
    value, data = observed(SignalValue(name="x", signal=signal), **state)
    return value[0], data


# ------------------------------------------------------------------ terms


@pytest.mark.parametrize("point", [Body("ball"), Body("lower"), Site("tip"), Geom("lower")])
def test_angular_speed_is_that_of_the_frame(point):
    motion = MOTION.copy()
    motion[5:8] = 0.3, -0.2, 0.7
    value, data = value_of(AngularSpeed(point), qvel=motion)
    kind = {Body: mujoco.mjtObj.mjOBJ_XBODY, Site: mujoco.mjtObj.mjOBJ_SITE,
            Geom: mujoco.mjtObj.mjOBJ_GEOM}[type(point)]
    index = getattr(data.model, type(point).__name__.lower())(point.name).id
    velocity = np.empty(6)
    mujoco.mj_objectVelocity(data.model, data, kind, index, velocity, 0)
    assert value == pytest.approx(np.linalg.norm(velocity[:3]), rel=1e-14)
    assert value > 0.05


def test_joint_speed_is_the_largest_of_its_joints():
    assert value_of(JointSpeed(("shoulder", "elbow")))[0] == abs(MOTION[1])
    assert value_of(JointSpeed(("shoulder",)))[0] == MOTION[0]


def test_height_over_a_point_has_a_sign():
    value, data = value_of(Height(Body("box"), over=Site("tip")))
    assert value == data.body("box").xpos[2] - data.site("tip").xpos[2] < 0


def test_a_contact_counts_along_an_axis_only_where_its_normal_lies_along_it():
    def touches(along, cosine=0.7, **state):
        signal = Contact(("box",), ("floor",), along=along, cosine=cosine)
        return value_of(signal, **state)[0]

    # the box lies on the floor with its z up, turned about z
    assert touches(Axis(None, (0, 0, 1))) == touches(Axis(None, (0, 0, -2))) == 1
    assert touches(Axis(None, (1, 0, 0))) == 0
    assert touches(Axis(Body("box"), (0, 0, 1))) == 1
    slanted = Axis(None, (0.6, 0, 0.8))
    assert touches(slanted, 0.79) == 1
    assert touches(slanted, 0.81) == 0
    # on its side the axis of its frame that is upright is another
    side = POSE.copy()
    side[12:16] = np.sqrt(0.5), np.sqrt(0.5), 0, 0
    assert touches(Axis(Body("box"), (0, 0, 1)), qpos=side) == 0
    assert touches(Axis(Body("box"), (0, 1, 0)), qpos=side) == 1
    # in the air nothing touches
    above = POSE + np.eye(16)[11]
    assert touches(Axis(None, (0, 0, 1)), qpos=above) == 0


def test_vectors_are_written_in_the_axes_of_a_frame():
    world, data = observed(Position(name="x", point=Site("tip"), relative_to=Body("box")))
    for frame, matrix in ((Body("box"), data.body("box").xmat), (Site("tip"),
                                                                 data.site("tip").xmat)):
        rotation = matrix.reshape(3, 3)
        value, _ = observed(
            Position(name="x", point=Site("tip"), relative_to=Body("box"), frame=frame))
        assert np.allclose(value, rotation.T @ world, atol=1e-15)
        value, _ = observed(AxisDirection(name="x", axis=Axis(Body("lower"), (0, 0, 1)),
                                          frame=frame))
        assert np.allclose(value, rotation.T @ data.body("lower").xmat.reshape(3, 3)[:, 2],
                           atol=1e-15)
    value, _ = observed(AxisDirection(name="x", axis=Axis(Body("box"), (0, 1, 0)),
                                      frame=Body("box")))
    assert np.allclose(value, (0, 1, 0), atol=1e-15)


@pytest.mark.parametrize(("lower", "upper", "expected"), [
    (-0.9, -0.5, 0.5), (-0.5, -0.9, 0.5), (-0.8, -0.3, 0.2), (0.0, 1.0, 0.0), (-2.0, -1.0, 1.0),
    (1.0, 0.0, 1.0),
])
def test_a_ramp_is_linear_between_its_ends(lower, upper, expected):
    elbow = JointPosition("elbow")  # -0.7
    sims = Simulations(toy(rewards=(Ramp(name="r", signal=elbow, lower=lower, upper=upper),)))
    sims.place(qpos=POSE)
    assert sims.rewards[0] == pytest.approx(expected, abs=1e-15)


def latched():
    """A latch of the elbow's position, one of that latch and the shoulder's, and gates on both."""
    first = Latch((Above(JointPosition("elbow"), 0.2),))
    both = Latch((Below(JointPosition("shoulder"), -0.1), Above(first, 0.5)))
    return toy(
        observations=(SignalValue(name="both", signal=both), SignalValue(name="a", signal=first)),
        rewards=(Indicator(name="r", when=(Above(both, 0.5),)), SuccessBonus(weight=2.0)),
        success=Success((Above(both, 0.5),), terminate=False), substeps=100,
    )


def test_a_latch_stays_until_the_episode_ends():
    sims = Simulations(latched())
    expected = [((0.0, -1.0), (0, 0), 0), ((-0.5, 0.0), (0, 0), 0), ((0.0, 0.5), (0, 1), 0),
                ((0.0, -1.0), (0, 1), 0), ((-0.5, 0.0), (1, 1), 3), ((0.5, 0.0), (1, 1), 3)]
    for action, latches, reward in expected:
        for _ in range(10):  # 2 s: the joints get where they are sent
            sims.step(action)
        assert tuple(sims.observations[0]) == latches
        assert sims.rewards[0] == reward
    sims.core.reset()
    assert (sims.observations == 0).all()
    sims.step(0.0)
    assert (sims.observations == 0).all()


def test_a_latch_is_part_of_a_snapshot_and_of_no_evaluated_state():
    sims = Simulations(latched())
    for _ in range(10):
        sims.step((0.0, 0.5))
    snapshot = sims.core.get_state()
    sims.core.reset()
    sims.core.set_state(snapshot)
    sims.step((0.0, -1.0))
    assert tuple(sims.observations[0]) == (0, 1)
    sims.place(qpos=POSE)
    assert tuple(sims.observations[0]) == (0, 0)


def separated(separation):
    return toy(
        observations=(Position(name="ball", point=Body("ball")),
                      Position(name="box", point=Body("box")),
                      Position(name="goal", point=Body("marker"))),
        resets=(
            RandomPose("ball", Box((0, 0, 0.5), (1, 1, 2.0))),
            RandomGoal("goal", Sector((0.2, 1.0), (0.0, 1.5), (0.0, 3.0)), marker="marker",
                       separation=separation),
            RandomPose("box", Box((0, 0, 0.5), (1, 1, 0.5)), separation=separation),
        ))


def test_positions_keep_their_separation_from_all_earlier_ones():
    def nearest(sims):
        xy = [sims.part(name)[:, :2] for name in ("ball", "box", "goal")]
        return min(np.linalg.norm(a - b, axis=1).min()
                   for a, b in ((xy[0], xy[1]), (xy[0], xy[2]), (xy[1], xy[2])))

    close, apart = (Simulations(separated(x), 2000, seed=3) for x in (0.0, 0.3))
    assert nearest(close) < 0.05
    assert 0.3 <= nearest(apart) < 0.31
    # what comes before is drawn as without, and what kept its distance anyway is kept
    assert np.array_equal(close.part("ball"), apart.part("ball"))
    fine = np.linalg.norm(close.part("ball")[:, :2] - close.part("goal")[:, :2], axis=1) >= 0.3
    assert np.array_equal(close.part("goal")[fine], apart.part("goal")[fine])
    assert fine.any() and not fine.all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"resets": separated(1.0).resets}, "RandomGoal: separation must leave at least a tenth"),
    ({"resets": separated(-0.1).resets}, "got -0.1 m"),
    ({"resets": separated(float("nan")).resets}, "got nan m"),
    ({"rewards": (Ramp(name="r", signal=JointPosition("elbow"), lower=1.0, upper=1.0),)},
     "reward 'r': lower and upper must differ, got 1.0 twice"),
    ({"rewards": (Indicator(name="r", when=(Above(Latch(()), 0.5),)),)},
     "a Latch needs at least one condition"),
    ({"rewards": (Indicator(name="r", when=(Above(Latch((Above(JointPosition("elbw"), 0),)),
                                                  0.5),)),)}, "did you mean 'elbow'"),
    ({"rewards": (Indicator(name="r", when=(Above(JointSpeed(()), 0.5),)),)},
     "JointSpeed needs at least one joint"),
    ({"rewards": (Indicator(name="r", when=(Above(JointSpeed(("elbo",)), 0.5),)),)},
     "did you mean 'elbow'"),
    ({"rewards": (Indicator(name="r", when=(Above(Contact(
        ("box",), ("floor",), along=Axis(None, (0, 0, 1)), cosine=1.5), 0.5),)),)},
     "cosine must be at least 0 and below 1, got 1.5"),
    ({"observations": (Position(name="p", point=Body("box"), frame=Site("tpi")),)},
     "did you mean 'tip'"),
])
def test_bad_terms_are_named(changes, message):
    with pytest.raises(TaskError, match=message):
        compile_task(toy(**changes))


# ------------------------------------------------------------------ tasks

X, Y = 0.24, 0.0  # where the cube is, m


def simulations(task, **options):
    return Simulations(compile_task(make_task(task, options=options)))


def place(sims, cubes, arm=None, latch=False, target=None, **fields):
    """Set the pose of the cubes, of the arm, the latches and the target of simulation 0."""
    data = mujoco.MjData(sims.model)
    data.qpos[:6] = m.START.positions if arm is None else arm
    for i, pos in enumerate(cubes):
        data.qpos[6 + 7 * i:13 + 7 * i] = (*pos, 1, 0, 0, 0)
    fields = {"qpos": data.qpos, "qvel": 0 * data.qvel, "ctrl": data.qpos[:6]} | fields
    if target is not None:
        at = sims.compiled.goals["target_pos"]
        sims.core.memory[0, at:at + 3] = target
    sims.place(**fields)
    if latch:
        signal = sims.compiled.tables.signal
        rows = signal[signal["kind"] == KINDS["signal"]["latch"]]
        sims.core.memory[0, rows["address"]] = 1


def steps_to_success(sims, action=0.0, limit=25):
    """Steps until success ends the episode, None if it does not within the limit."""
    for step in range(1, limit + 1):
        sims.step(action)
        if sims.terminals[0]:
            assert sims.rewards[0] > 0.9
            return step
    return None


def held(sims, height):
    """qpos, qvel, ctrl: the jaws hold the first cube, level, so high over the table, at (X, Y)."""
    model = copy.copy(sims.model)
    data = mujoco.MjData(model)
    data.qpos[:6] = 0, -0.3, 0.2, 0, np.pi / 2, 0.5

    def grip():
        data.qpos[3] = 1.5 - data.qpos[1] - data.qpos[2]  # leaning outward by 0.07 rad
        mujoco.mj_kinematics(model, data)
        return data.site("grasp").xpos[[0, 2]].copy()

    aim = np.array((X, m.LYING + height))
    for _ in range(20):
        here, slope = grip(), np.empty((2, 2))
        for i in (1, 2):
            data.qpos[i] += 1e-6
            slope[:, i - 1] = (grip() - here) / 1e-6
            data.qpos[i] -= 1e-6
        data.qpos[1:3] += np.clip(np.linalg.solve(slope, aim - here), -0.2, 0.2)
    assert np.allclose(grip(), aim, atol=1e-5)
    data.qpos[6:13] = (*data.site("grasp").xpos, 1, 0, 0, 0)
    data.ctrl[:] = data.qpos[:6]
    data.ctrl[5] = -0.1
    model.opt.gravity[:] = 0
    mujoco.mj_step(model, data, 60)
    model.opt.gravity[:] = sims.model.opt.gravity
    mujoco.mj_step(model, data, 40)
    return {"qpos": data.qpos, "qvel": data.qvel, "ctrl": data.ctrl}


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("task", TASKS)
def test_the_control_rate_is_an_option_that_keeps_seconds(task, rate):
    made = make_task(task, options={"control_rate": rate})
    compiled = compile_task(made)
    assert compiled.control_timestep == pytest.approx(1 / rate, rel=1e-15)
    assert 3 <= made.episode_length / rate <= 10
    assert made.action.step * rate == pytest.approx(2.5)
    with pytest.raises(ValueError, match="control_rate must be 25 or 50 Hz, got 30"):
        make_task(task, options={"control_rate": 30})
    with pytest.raises(ValueError, match=f"{task} has native assets only"):
        make_task(task, assets="reference")


def test_lift_succeeds_after_five_steps_of_a_held_cube_five_centimetres_up():
    sims = simulations("lift")
    place(sims, [], **held(sims, 0.07))
    assert steps_to_success(sims) == 4  # the placed state was the first
    place(sims, [], **held(sims, 0.04))
    assert steps_to_success(sims) is None


def test_a_cube_in_the_air_or_on_closed_jaws_is_not_lifted():
    sims = simulations("lift")
    place(sims, [(X, Y, m.LYING + 0.3)])
    assert steps_to_success(sims, limit=5) is None
    # on top of the hand: touched, but not along the axis on which the jaws close
    state = held(sims, 0.07)
    qpos = state["qpos"].copy()
    qpos[5] = 0.0
    qpos[8] += 0.04
    place(sims, [], qpos=qpos, ctrl=qpos[:6])
    assert steps_to_success(sims, limit=10) is None


def test_push_succeeds_where_the_cube_lies_still_by_the_target():
    sims = simulations("push")
    target = (X, Y, m.LYING)
    place(sims, [(X + 0.012, Y - 0.012, m.LYING)], target=target)
    assert steps_to_success(sims) == 4
    place(sims, [(X + 0.016, Y - 0.016, m.LYING)], target=target)
    assert steps_to_success(sims) is None
    place(sims, [], target=(*held(sims, 0.05)["qpos"][6:8], m.LYING), **held(sims, 0.05))
    assert steps_to_success(sims) is None
    # a cube that slides past is not still there
    motion = np.zeros(12)
    motion[6] = 1.0
    place(sims, [(X - 0.015, Y, m.LYING)], target=target, qvel=motion)
    assert steps_to_success(sims) is None


def test_pick_place_counts_only_a_cube_that_was_off_the_table():
    sims = simulations("pick_place")
    target = (X, Y, m.LYING)
    place(sims, [target], target=target)  # as after pushing or dragging
    assert steps_to_success(sims) is None
    place(sims, [target], target=target, latch=True)
    assert steps_to_success(sims) == 5
    # dropped from 15 mm and from 25 mm
    place(sims, [(X, Y, m.LYING + 0.015)], target=target)
    assert steps_to_success(sims) is None
    place(sims, [(X, Y, m.LYING + 0.025)], target=target)
    assert 5 <= steps_to_success(sims) <= 20
    place(sims, [(X + 0.02, Y + 0.02, m.LYING)], target=target, latch=True)
    assert steps_to_success(sims) is None


def test_pick_place_needs_the_cube_let_go():
    sims = simulations("pick_place")
    state = held(sims, 0.004)
    place(sims, [], target=state["qpos"][6:9], latch=True, **state)
    assert steps_to_success(sims) is None
    opened = np.array((0, 0, 0, 0, 0, 1.0))
    place(sims, [], target=state["qpos"][6:9], latch=True, **state)
    assert steps_to_success(sims, opened) is None  # the cube still lies between the jaws
    away = np.array((0, -1.0, 0, 0, 0, 0.0))
    assert steps_to_success(sims, away) is not None


def test_stack_succeeds_where_one_cube_stands_on_the_other():
    sims = simulations("stack")
    base = (X, Y, m.LYING)

    def on(x=0.0, z=2 * m.HALF):
        return [(X + x, Y, m.LYING + z), base]

    place(sims, on(0.005))
    assert 4 <= steps_to_success(sims) <= 8  # once the arm no longer sinks
    place(sims, on(0.005, 0.05))  # dropped on it
    assert steps_to_success(sims) is not None
    for cubes in (on(0.025), on(0.03, 0.0), on()[::-1]):
        place(sims, cubes)
        assert steps_to_success(sims) is None
    place(sims, on(0.005), ctrl=(0.5, *m.START.positions[1:]))  # the arm still moves
    assert steps_to_success(sims, limit=4) is None


def test_stack_needs_the_cube_let_go():
    sims = simulations("stack")
    state = held(sims, 2 * m.HALF + 0.0005)
    qpos = state["qpos"].copy()
    qpos[13:20] = (*qpos[6:8], m.LYING, 1, 0, 0, 0)
    place(sims, [], **(state | {"qpos": qpos}))
    assert abs(qpos[8] - m.LYING - 2 * m.HALF) < 0.005
    assert steps_to_success(sims) is None


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_without_success_returns_what_its_potential_gained(task):
    made = make_task(task)
    assert all(isinstance(term, SuccessBonus) or term.progress for term in made.rewards)
    sims = simulations(task)
    potentials = sims.compiled.tables.reward["progress"]
    potentials = potentials[potentials >= 0]
    start = sims.core.memory[0, potentials].sum()
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(60):
        sims.step(rng.uniform(-1, 1, 6))
        total += sims.rewards[0]
    assert total == pytest.approx(sims.core.memory[0, potentials].sum() - start, abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_loitering_with_the_cube_in_hand_pays_nothing(task):
    sims = simulations(task)
    state = held(sims, 0.02)
    place(sims, [], **state)
    sims.step(0.0)
    held_still = [sims.step(0.0) or float(sims.rewards[0]) for _ in range(20)]
    # a millimetre of slip at most
    assert abs(sum(held_still)) < 0.01
    # up and down again, twice: what the way up pays, the way down takes; a latch pays the first time
    paid = []
    for _ in range(3):
        paid.append(0.0)
        for shoulder in np.repeat((-0.1, 0.1, 0.0), 10):
            sims.step((0, shoulder, 0, 0, 0, 0))
            paid[-1] += sims.rewards[0]
    # one jaw's touch, 0.025, may flicker; slip is less
    assert np.allclose(paid[1:], 0, atol=0.03)
