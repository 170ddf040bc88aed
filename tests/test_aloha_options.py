"""Options of the ALOHA tasks: random starts of arms and objects, and physics for learning."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from harness import Simulations

from lerobot_puffer.compile import compile_task
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.tasks import make_task

TASKS = ["aloha_transfer_cube", "aloha_insertion"]
EVERY_TASK = [*TASKS, "aloha_transfer_cube_ee", "aloha_insertion_ee"]
ARMS = [i for i in range(16) if i % 8 < 6]
FINGERS = [6, 7, 14, 15]
GOLDEN = Path(__file__).parent / "data" / "golden_AlohaTransferCube_scripted.npz"


def simulations(task, num_envs=1, seed=0, autoreset="same_step", **options):
    return Simulations(compile_task(make_task(task, options=options)), num_envs, seed=seed,
                       autoreset=autoreset)


def data_of(sims, sim=0):
    data = mujoco.MjData(sims.model)
    sims.core.data(sim, data)
    return data


@pytest.mark.parametrize("task", EVERY_TASK)
def test_random_starts_keep_their_ranges_and_fill_them(task):
    sims = simulations(task, 300, arm_noise=0.2, object_yaw=1.0)
    starts = np.array([data_of(sims, i).qpos for i in range(300)])
    off = starts[:, ARMS] - np.array(ALOHA.home)[ARMS]
    assert np.abs(off).max() <= 0.2 + 1e-12
    assert (np.ptp(off, axis=0) > 0.38).all()
    assert (np.abs(off.mean(axis=0)) < 0.03).all()
    assert np.array_equal(starts[:, FINGERS], np.tile(np.array(ALOHA.home)[FINGERS], (300, 1)))
    for first in range(16, sims.model.nq, 7):
        w, x, y, z = starts[:, first + 3 : first + 7].T
        yaw = 2 * np.arctan2(z, w)
        assert not x.any()
        assert not y.any()
        assert -1 <= yaw.min() < -0.95
        assert 0.95 < yaw.max() <= 1
        # where an object lies does not depend on how it is turned
        assert abs(np.corrcoef(yaw, starts[:, first])[0, 1]) < 0.15


@pytest.mark.parametrize("task", TASKS)
def test_random_starts_repeat_with_their_seed_and_the_targets_stand_at_the_joints(task):
    one, same, other = (simulations(task, 3, seed=seed, arm_noise=0.3, object_yaw=3.1416)
                        for seed in (1, 1, 2))
    assert np.array_equal(one.observations, same.observations)
    assert not np.isclose(one.part("qpos"), other.part("qpos"))[:, :6].any()
    for i in range(3):
        data = data_of(one, i)
        assert np.array_equal(data.ctrl[ARMS], data.qpos[ARMS])
        mujoco.mj_forward(one.model, data)
        assert data.ncon == 0


@pytest.mark.parametrize("task", TASKS)
def test_without_options_every_episode_starts_at_home_with_straight_objects(task):
    sims = simulations(task, 20)
    for i in range(20):
        qpos = data_of(sims, i).qpos
        assert np.array_equal(qpos[:16], ALOHA.home)
        assert np.array_equal(qpos[16:].reshape(-1, 7)[:, 3:], [[1, 0, 0, 0]] * len(qpos[16::7]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arm_noise": "x"}, "arm_noise must be 0 .. 0.3 rad, got 'x'"),
        ({"arm_noise": 0.5}, "arm_noise must be 0 .. 0.3 rad, got 0.5"),
        ({"arm_noise": -0.1}, "arm_noise must be 0 .. 0.3 rad, got -0.1"),
        ({"object_yaw": float("nan")}, "object_yaw must be 0 .. 3.1416 rad, got nan"),
        ({"physics": "quick"}, "physics must be 'reference' or 'fast', got 'quick'"),
    ],
)
@pytest.mark.parametrize("task", EVERY_TASK)
def test_an_option_out_of_its_range_is_named(task, options, message):
    with pytest.raises(ValueError, match=message):
        make_task(task, options=options)


@pytest.mark.parametrize("task", EVERY_TASK)
def test_fast_physics_belong_to_our_scenes(task):
    with pytest.raises(ValueError, match="physics='fast' is of our own scenes"):
        make_task(task, "reference", options={"physics": "fast"})


@pytest.mark.parametrize("task", EVERY_TASK)
def test_fast_physics_keep_the_rate_and_survive_random_actions(task):
    sims = simulations(task, 16, physics="fast")
    assert sims.compiled.control_timestep == pytest.approx(0.02)
    assert (sims.model.opt.timestep, sims.compiled.tables.substeps) == (0.005, 4)
    assert not sims.model.dof_frictionloss.any()
    rng = np.random.default_rng(0)
    for _ in range(300):
        sims.step(rng.uniform(-1, 1, sims.actions.shape))
    assert sims.core.log()["physics_resets"] == 0


def replay(sims, actions):
    """The rewards of an episode with the cube where the reference's trajectory has it."""
    with np.load(GOLDEN) as golden:
        sims.place(qpos=golden["init_qpos"])
    rewards = []
    for action in actions:
        sims.step(action)
        rewards.append(sims.rewards[0])
    return np.array(rewards)


def test_the_references_scripted_transfer_succeeds_with_fast_physics():
    with np.load(GOLDEN) as golden:
        actions, theirs = golden["action"], golden["reward"]
    rewards = replay(simulations("aloha_transfer_cube", autoreset="disabled", physics="fast"),
                     actions)
    assert rewards.max() == 4
    # the arms settle by damping, not by friction: the stages begin a few steps apart
    assert np.mean(rewards == theirs) > 0.85


@pytest.mark.parametrize("physics", ["reference", "fast"])
def test_a_held_cube_slides_less_than_2_mm_in_5_s(physics):
    with np.load(GOLDEN) as golden:
        lifted = int(np.argmax(golden["reward"] == 2)) + 12
        actions = golden["action"][:lifted]
    sims = simulations("aloha_transfer_cube", autoreset="disabled", physics=physics)
    replay(sims, actions)

    def in_hand():
        data = data_of(sims)
        mujoco.mj_kinematics(sims.model, data)
        hand = sims.model.body("vx300s_right/gripper_link").id
        return data.xmat[hand].reshape(3, 3).T @ (data.body("box").xpos - data.xpos[hand])

    for _ in range(10):
        sims.step(actions[-1])
    start = in_hand()
    for _ in range(250):
        sims.step(actions[-1])
        assert sims.rewards[0] == 2
    assert np.linalg.norm(in_hand() - start) < 2e-3
