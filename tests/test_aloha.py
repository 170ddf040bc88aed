"""The ALOHA tasks against gym-aloha's own trajectories and contact poses, and on our models."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from harness import STATE, Simulations, needs

from lerobot_puffer.aloha import ALOHA_INSERTION_REFERENCE, ALOHA_TRANSFER_CUBE_REFERENCE
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks.aloha_insertion import aloha_insertion
from lerobot_puffer.tasks.aloha_transfer_cube import aloha_transfer_cube

DATA = Path(__file__).parent / "data"
BUILD = {"AlohaTransferCube": aloha_transfer_cube, "AlohaInsertion": aloha_insertion}
# the C library's sin and cos differ in their last bit between processors, and contacts amplify it
TOLERANCE = 1e-9


needs_reference = needs(ALOHA_TRANSFER_CUBE_REFERENCE, ALOHA_INSERTION_REFERENCE)


def load(name):
    with np.load(DATA / f"golden_{name}.npz") as arrays:
        return dict(arrays)


@needs_reference
@pytest.mark.parametrize("name", ["AlohaTransferCube_scripted", "AlohaInsertion_seed1"])
def test_the_reference_trajectories_repeat(name):
    golden = load(name)
    task = compile_task(BUILD[name.partition("_")[0]]("reference"))
    sims = Simulations(task, autoreset="disabled")
    assert np.array_equal(sims.part("qpos")[0], golden["init_agent_pos"])
    model, data = sims.model, mujoco.MjData(sims.model)
    mujoco.mj_setState(model, data, sims.core.state[0], STATE)
    assert np.array_equal(data.qpos[:16], golden["init_qpos"][:16])
    data.qpos[:] = golden["init_qpos"]  # the objects' poses come from another generator
    mujoco.mj_getState(model, data, sims.core.state[0], STATE)
    for step, action in enumerate(golden["action"]):
        sims.step(action)
        mujoco.mj_setState(model, data, sims.core.state[0], STATE)
        np.testing.assert_allclose(data.qpos, golden["qpos"][step], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(data.qvel, golden["qvel"][step], atol=1e3 * TOLERANCE, rtol=0)
        assert sims.rewards[0] == golden["reward"][step]
        assert sims.terminals[0] == golden["terminated"][step]


@needs_reference
@pytest.mark.parametrize("name", sorted(BUILD))
def test_every_contact_pose_has_the_references_reward(name):
    golden = load(f"{name}_injection")
    sims = Simulations(compile_task(BUILD[name]("reference")), autoreset="disabled")
    for case, qpos, reward in zip(golden["names"], golden["qpos"], golden["reward"], strict=True):
        sims.place(qpos=qpos, qvel=0, ctrl=0)
        assert sims.rewards[0] == reward, case
        assert sims.terminals[0] == (reward == 4), case


@pytest.mark.parametrize("name", sorted(BUILD))
def test_objects_start_where_the_reference_places_them(name):
    env_state = Simulations(compile_task(BUILD[name]()), 400).part("env_state")
    ranges = {"AlohaTransferCube": [(0.0, 0.2)], "AlohaInsertion": [(0.1, 0.2), (-0.2, -0.1)]}
    for k, (low, high) in enumerate(ranges[name]):
        x, y, z, *quat = env_state[:, 7 * k : 7 * k + 7].T
        for value, (least, most) in ((x, (low, high)), (y, (0.4, 0.6))):
            margin = 0.03 * (most - least)
            assert least <= value.min() < least + margin
            assert most - margin < value.max() <= most
        assert (z == 0.05).all()
        assert (np.array(quat).T == (1, 0, 0, 0)).all()


@pytest.mark.parametrize("name", sorted(BUILD))
def test_the_arms_hold_their_start_and_objects_come_to_rest(name):
    sims = Simulations(compile_task(BUILD[name]()), 4)
    start = sims.part("qpos")[0].copy()
    assert start[6] == pytest.approx((0.02239 - 0.01844) / 0.03956, abs=1e-15)
    for _ in range(100):
        sims.step(start)
        assert (sims.rewards == 0).all()
    # the joints creep until their gain balances gravity: SPEC of the reference, 0.0087 rad
    assert np.abs(sims.part("qpos") - start).max() < 0.012
    assert np.abs(sims.part("qvel")).max() < 0.02


def test_a_gripper_drives_both_fingers_in_every_mode():
    for mode, x, opening in (("absolute", 1.0, 0.057), ("normalized", 1.0, 0.057),
                             ("absolute", 0.5, 0.03822), ("normalized", 0.0, 0.03822)):
        task = compile_task(aloha_transfer_cube(mode=mode))
        sims = Simulations(task)
        assert sims.actions.shape == (1, 14)
        action = np.zeros(14)
        action[[6, 13]] = x
        sims.step(action)
        data = mujoco.MjData(sims.model)
        mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
        expected = (opening, -opening, opening, -opening)
        assert np.allclose(data.ctrl[[6, 7, 14, 15]], expected, atol=1e-12)


def test_the_scripted_transfer_of_the_reference_succeeds_on_our_model():
    golden = load("AlohaTransferCube_scripted")
    sims = Simulations(compile_task(aloha_transfer_cube()), autoreset="disabled")
    data = mujoco.MjData(sims.model)
    mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
    data.qpos[:] = golden["init_qpos"]
    mujoco.mj_getState(sims.model, data, sims.core.state[0], STATE)
    rewards = []
    for action in golden["action"]:
        sims.step(action)
        rewards.append(sims.rewards[0])
    assert max(rewards) == 4
    # a finger's contact opens for single steps on either model
    assert np.mean(np.array(rewards) == golden["reward"]) > 0.9


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode must be 'absolute', 'normalized' or 'delta'"):
        aloha_transfer_cube(mode="torque")
