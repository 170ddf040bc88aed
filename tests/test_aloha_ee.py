"""The ALOHA tasks moved by the poses of the hands: actions, mocap bodies, welds."""

import mujoco
import numpy as np
import pytest
from harness import TOY, Simulations, Text, needs, toy

from lerobot_puffer.aloha import ALOHA_INSERTION_EE_REFERENCE, ALOHA_TRANSFER_CUBE_EE_REFERENCE
from lerobot_puffer.compile import compile_task
from lerobot_puffer.compile.actions import ActionCompiler
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Coupled, Field, Hand, Pose, RandomJoints, RestingMocap

TASKS = ["aloha_transfer_cube_ee", "aloha_insertion_ee"]
REFERENCE = needs(ALOHA_TRANSFER_CUBE_EE_REFERENCE, ALOHA_INSERTION_EE_REFERENCE)
ASSETS = ["native", pytest.param("reference", marks=REFERENCE)]
HANDS = ("vx300s_left/gripper_link", "vx300s_right/gripper_link")
QUATERNIONS = (slice(3, 7), slice(11, 15))
GRIPPERS = (7, 15)


def simulations(task, assets="native", **options):
    return Simulations(compile_task(make_task(task, assets, options=options)), autoreset="disabled")


def holding(sims):
    """The action that keeps the hands where their mocap bodies are, (16,)."""
    qpos = sims.part("qpos")[0]
    return np.concatenate([sims.part("mocap_pose_left")[0], qpos[6:7],
                           sims.part("mocap_pose_right")[0], qpos[13:14]])


def forwarded(sims):
    data = mujoco.MjData(sims.model)
    sims.core.data(0, data)
    mujoco.mj_forward(sims.model, data)
    return data


@pytest.mark.parametrize("physics", ["reference", "fast"])
@pytest.mark.parametrize("task", TASKS)
def test_observations_are_the_references_and_the_space_fits_the_actions(task, physics):
    sims = simulations(task, physics=physics)
    env_state = 7 if "cube" in task else 14
    assert [(e.name, e.size) for e in sims.compiled.layout] == [
        ("qpos", 14), ("qvel", 14), ("env_state", env_state),
        ("mocap_pose_left", 7), ("mocap_pose_right", 7), ("gripper_ctrl", 4)]
    assert sims.actions.shape == (1, 16)
    assert np.abs(holding(sims)).max() <= 1
    assert np.allclose(sims.part("gripper_ctrl")[0], [0.02239, -0.02239] * 2, atol=1e-15)
    assert sims.compiled.control_timestep == pytest.approx(0.02)


@pytest.mark.parametrize("assets", ASSETS)
@pytest.mark.parametrize("task", TASKS)
def test_the_welds_do_not_pull_at_the_start_and_the_observed_poses_hold_the_arms(task, assets):
    for noise in (0.0, 0.3):
        sims = simulations(task, assets, arm_noise=noise)
        data = forwarded(sims)
        assert data.ne == 12
        assert np.abs(data.efc_pos[:12]).max() < 1e-12
        hands = [sims.model.body(name).id for name in HANDS]
        start, action = data.xpos[hands].copy(), holding(sims)
        for _ in range(100):
            sims.step(action)
        # the soft weld gives way to the arm's weight; the reference pulls a hand back by 0.135 m
        assert np.abs(forwarded(sims).xpos[hands] - start).max() < 3e-3


def test_quaternions_are_normalised_and_positions_kept_over_the_table():
    sims = simulations("aloha_transfer_cube_ee")
    before = forwarded(sims).mocap_quat.copy()
    action = holding(sims)
    action[0:3], action[8:11] = (-0.9, 0.1, -0.5), (0.9, 1.0, 0.9)
    action[QUATERNIONS[0]] = 0.2, 0.0, 0.0, -0.2
    action[QUATERNIONS[1]] = 0.0
    for _ in range(10):
        sims.step(action)
    data = forwarded(sims)
    assert np.allclose(data.mocap_pos, [(-0.6, 0.2, 0.0), (0.6, 1.0, 0.6)], atol=0)
    assert np.allclose(data.mocap_quat[0], np.sqrt([0.5, 0, 0, 0.5]) * [1, 0, 0, -1], atol=1e-15)
    # of four zeros no orientation can be made
    assert np.array_equal(data.mocap_quat[1], before[1])
    assert np.isfinite(sims.observations).all()


def test_a_mocap_body_moves_straight_and_at_most_a_step_at_a_time():
    sims = simulations("aloha_transfer_cube_ee")
    start, action = holding(sims)[:3], holding(sims)
    action[:3] = -0.1, 0.8, 0.2
    way = action[:3] - start
    length = np.linalg.norm(way)
    for k in range(1, 7):
        sims.step(action)
        share = min(0.1 * k / length, 1)
        assert np.allclose(sims.part("mocap_pose_left")[0, :3], start + share * way, atol=1e-12)
    assert np.array_equal(sims.part("mocap_pose_left")[0, :3], action[:3])


@pytest.mark.parametrize("task", TASKS)
def test_random_actions_make_no_arm_diverge(task):
    sims = Simulations(compile_task(make_task(task)), 8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        sims.step(rng.uniform(-1, 1, sims.actions.shape))
    assert sims.core.log()["physics_resets"] == 0


@pytest.mark.parametrize("physics", ["reference", "fast"])
def test_a_hand_goes_where_it_is_sent_grasps_the_cube_and_lifts_it(physics):
    sims = simulations("aloha_transfer_cube_ee", physics=physics)
    cube = np.array([0.2, 0.5])
    qpos = forwarded(sims).qpos.copy()
    qpos[16:18] = cube
    sims.place(qpos=qpos)
    action, rewards = holding(sims), []
    tilt = 0.45  # half the angle by which the hand points down
    action[QUATERNIONS[1]] = np.cos(tilt), 0.0, -np.sin(tilt), 0.0
    ahead = np.array([-np.cos(2 * tilt), 0.0, -np.sin(2 * tilt)])
    # slowly: the weld is soft and the reference's joints drag
    for steps, height, grip in ((150, 0.12, 1), (100, 0.02, 1), (50, 0.02, 1), (50, 0.02, 0.05),
                                (100, 0.15, 0.05), (50, 0.15, 0.05)):
        begin = action[8:11].copy()
        end = np.array([*cube, height]) - 0.137 * ahead
        action[GRIPPERS[1]] = grip
        for part in np.arange(1, steps + 1) / steps:
            action[8:11] = begin + part * (end - begin)
            sims.step(action)
            rewards.append(sims.rewards[0])
    hand = forwarded(sims).xpos[sims.model.body(HANDS[1]).id]
    # the weld is soft: the carried weight pulls the hand down
    assert np.abs(hand - end).max() < 0.01
    assert rewards[0] == 0
    assert rewards[-20:] == [2.0] * 20
    assert sims.part("env_state")[0, 2] > 0.12


def test_a_resting_mocap_body_leaves_a_general_weld_at_rest():
    weld = """<equality>
      <weld body1="marker" body2="lower" anchor="0.1 0.02 -0.03" relpose="0.2 -0.1 0.3 1 2 -1 0.5"/>
    </equality></mujoco>"""
    task = toy(
        scene=Text(TOY.replace("</mujoco>", weld)),
        resets=(RandomJoints(("shoulder", "elbow"), (0.2, -0.4), 1.0), RestingMocap("marker")),
        observations=(Field(name="pos", field="mocap_pos"), Field(name="quat", field="mocap_quat")))
    sims = Simulations(task, 5)
    data = mujoco.MjData(sims.model)
    for i in range(5):
        sims.core.data(i, data)
        mujoco.mj_forward(sims.model, data)
        assert np.abs(data.efc_pos[:6]).max() < 1e-14
        assert np.array_equal(sims.observations[i], [*data.mocap_pos[0], *data.mocap_quat[0]])
    assert np.ptp(sims.observations, axis=0).min() > 0


def test_what_does_not_fit_is_named():
    gripper = Coupled(("shoulder",), (0.0,), (1.0,))
    model = Text().compile()

    def hand(**changes):
        values = {"body": "marker", "gripper": gripper, "low": (0, 0, 0), "high": (1, 1, 1)}
        return Hand(**(values | changes))

    for hands, message in (
        ((hand(body="ball"),), "body 'ball' must be a mocap body"),
        ((hand(low=(0, 2, 0)),), "a hand's box needs low < high"),
        ((hand(step=0.0),), "a hand's step must be above 0 m, got 0.0"),
        ((hand(),), "Pose must drive every actuator, 'elbow' is in no gripper"),
        ((), "Pose needs at least one hand"),
    ):
        with pytest.raises(ValueError, match=message):
            ActionCompiler(model, Pose(hands)).rows()
    with pytest.raises(ValueError, match="must be the first of one weld between bodies, got 0"):
        compile_task(toy(resets=(RestingMocap("marker"),)))
