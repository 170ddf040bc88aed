"""The terms that manipulation needs, against plain MuJoCo."""


import mujoco
import numpy as np
import pytest
from harness import MOTION, POSE, Simulations, toy

from lerobot_puffer.compile import TaskError, compile_task
from lerobot_puffer.signals import (
    Above,
    AngularSpeed,
    Axis,
    Below,
    Body,
    Contact,
    FaceAlignment,
    Geom,
    Height,
    JointPosition,
    JointSpeed,
    Latch,
    Site,
)
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


def observed(term, **state):
    """The value of one observation term in a state of the toy, and the mjData of that state."""
    sims = Simulations(toy(observations=(term,)), 1)
    data = sims.place(**({"qpos": POSE, "qvel": MOTION} | state))
    return sims.observations[0], data


def value_of(signal, **state):
    value, data = observed(SignalValue(name="x", signal=signal), **state)
    return value[0], data


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


@pytest.mark.parametrize("box", [Body("ball"), Site("tip")])
def test_face_alignment_is_one_where_an_axis_is_normal_to_a_face(box):
    axis = Axis(Body("lower"), (1.0, 2.0, -2.0))
    value, data = value_of(FaceAlignment(axis, box))
    kind = type(box).__name__.lower()
    frame = getattr(data, kind)(box.name).xmat.reshape(3, 3)
    world = data.body("lower").xmat.reshape(3, 3) @ np.array([1.0, 2.0, -2.0]) / 3
    assert value == pytest.approx(np.abs(frame.T @ world).max(), abs=1e-15)
    for direction in ((0.0, -1.0, 0.0), (0.0, 0.0, 5.0)):
        assert value_of(FaceAlignment(Axis(box, direction), box))[0] == pytest.approx(1, abs=1e-15)


def test_a_radial_yaw_counts_from_the_direction_out_of_the_regions_origin():
    origin = (0.3, -0.2, 0.5)
    resets = (RandomPose("box", Sector((0.2, 0.4), (-3.0, 3.0), (0.0, 0.0), origin=origin),
                         yaw=(0.1, 0.1), radial=True),)
    sims = Simulations(toy(resets=resets), 20)
    body = sims.model.body("box")
    at = sims.model.jnt_qposadr[body.jntadr[0]]
    data = mujoco.MjData(sims.model)
    for state in sims.core.state:
        mujoco.mj_setState(sims.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        x, y, _, *quat = data.qpos[at:at + 7]
        yaw = 2 * np.arctan2(quat[3], quat[0])
        turn = yaw - np.arctan2(y - origin[1], x - origin[0]) - 0.1
        assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 1e-12


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


def test_a_latch_is_part_of_a_snapshot_and_stays_in_an_evaluated_state():
    sims = Simulations(latched())
    for _ in range(10):
        sims.step((0.0, 0.5))
    snapshot = sims.core.get_state()
    sims.core.reset()
    sims.core.set_state(snapshot)
    sims.step((0.0, -1.0))
    assert tuple(sims.observations[0]) == (0, 1)
    sims.place(qpos=POSE)
    assert tuple(sims.observations[0]) == (0, 1)


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
