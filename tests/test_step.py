"""The step against a plain mj_step loop, bit for bit, and what a trajectory may not depend on."""

import mujoco
import numpy as np
import pytest
from harness import STATE, Simulations, Text, toy

from lerobot_puffer.signals import Above, Below, Distance, Fixed, Height, JointPosition, Site
from lerobot_puffer.tasks import REGISTRY
from lerobot_puffer.terms import (
    Absolute,
    Delta,
    Field,
    Negative,
    Normalized,
    Pose,
    RandomJoints,
    Success,
    SuccessBonus,
    TargetError,
    TimeFraction,
)

TASKS = sorted(REGISTRY)


def control(compiled, data, action):
    """The controls of an action, written out; mocap bodies are moved."""
    model, action = compiled.model, np.asarray(action, float)
    low, high = model.actuator_ctrlrange.T
    term = compiled.task.action
    if isinstance(term, Pose):
        for k, hand in enumerate(term.hands):
            body = model.body(hand.body).mocapid[0]
            pos, pose = data.mocap_pos[body], action[8 * k : 8 * k + 7]
            target = np.clip(pose[:3], hand.low, hand.high)
            length = np.sqrt(sum(x * x for x in target - pos))
            data.mocap_pos[body] = (
                target if length <= hand.step else pos + hand.step / length * (target - pos))
            data.mocap_quat[body] = pose[3:] / np.sqrt(sum(x * x for x in pose[3:]))
        grips = [(action[8 * k + 7], end) for k, hand in enumerate(term.hands)
                 for end in zip(hand.gripper.low, hand.gripper.high, strict=True)]
        return np.clip([x * (last - first) + first for x, (first, last) in grips], low, high)
    if isinstance(term, Absolute) and term.coupled:
        joints = [model.joint(j).name for j in model.actuator_trnid[:, 0]]
        ends = {
            j: (c, lo, hi)
            for c in term.coupled
            for j, lo, hi in zip(c.joints, c.low, c.high, strict=True)
        }
        owners = list(dict.fromkeys(ends[j][0] if j in ends else j for j in joints))
        out = []
        for joint in joints:
            owner, first, last = ends.get(joint, (joint, 0.0, 1.0))
            out.append(action[owners.index(owner)] * (last - first) + first)
        return np.clip(out, low, high)
    if isinstance(term, Absolute):
        return np.clip(action, low, high)
    if isinstance(term, Normalized):
        return np.clip(np.clip(action, -1, 1) * 0.5 * (high - low) + 0.5 * (low + high), low, high)
    joint = model.actuator_trnid[:, 0]
    q = data.qpos[model.jnt_qposadr[joint]]
    step, leash = np.full((2, model.nu), [[term.step], [term.leash]])
    for name, one_step, one_leash in term.overrides:
        step[model.actuator(name).id], leash[model.actuator(name).id] = one_step, one_leash
    low, high = (
        np.maximum(low, model.jnt_range[joint, 0]),
        np.minimum(high, model.jnt_range[joint, 1]),
    )
    return np.clip(
        np.clip(data.ctrl + step * np.clip(action, -1, 1), q - leash, q + leash), low, high
    )


def loop(compiled, state, actions, model=None):
    """States after each step of a plain loop over one MjData, from `state`."""
    model = model or compiled.model
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, state, STATE)
    for action in actions:
        data.ctrl[:] = control(compiled, data, action)
        for _ in range(compiled.task.substeps):
            mujoco.mj_step(model, data)
        out = np.empty_like(state)
        mujoco.mj_getState(model, data, out, STATE)
        yield out, data


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("task", TASKS)
def test_step_matches_mj_step_bitwise(task, threads, persistent):
    sims = Simulations(task, 5, threads, persistent=persistent)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.2, 1.2, (60, 5, sims.actions.shape[1]))
    start = sims.core.state.copy()
    seen = []
    for action in actions:
        sims.step(action)
        assert not (sims.terminals | sims.truncations).any()
        seen.append((sims.core.state.copy(), sims.observations.copy()))
    forces = next((e for e in sims.compiled.layout if e.name == "actuator_force"), None)
    for i in range(5):
        expected = loop(sims.compiled, start[i], actions[:, i])
        for (state, observation), (row, data) in zip(seen, expected, strict=True):
            assert np.array_equal(state[i], row)
            if forces is not None:
                assert np.array_equal(
                    observation[i, forces.slice],
                    np.clip(data.actuator_force, forces.low, forces.high),
                )


@pytest.mark.parametrize("task", TASKS)
def test_trajectories_do_not_depend_on_threads_batch_or_persistence(task):
    def run(num_envs, threads, persistent):
        sims = Simulations(task, num_envs, threads, seed=3, double=False, persistent=persistent)
        rng = np.random.default_rng(1)
        out = []
        for _ in range(170):
            sims.step(rng.uniform(-1, 1, (64, sims.actions.shape[1]))[:num_envs])
            out.append(
                (
                    sims.observations[:4].copy(),
                    sims.rewards[:4].copy(),
                    sims.terminals[:4].copy(),
                    sims.truncations[:4].copy(),
                )
            )
        return [np.array(column) for column in zip(*out, strict=True)]

    expected = run(4, 1, False)
    for settings in ((4, 2, False), (4, 3, True), (64, 2, False), (33, 3, False)):
        for a, b in zip(expected, run(*settings), strict=True):
            assert np.array_equal(a, b)


def test_a_trajectory_does_not_depend_on_its_neighbours_resets():
    alone = Simulations("reach", 1, seed=5)
    crowd = Simulations("reach", 8, seed=5)
    rng = np.random.default_rng(2)
    for step in range(200):
        action = rng.uniform(-1, 1, 6)
        alone.step(action)
        crowd.step(np.concatenate([[action], rng.uniform(-1, 1, (7, 6))]))
        if step % 7 == 0:
            crowd.core.reset([2, 5])
        assert np.array_equal(alone.observations[0], crowd.observations[0])
        assert alone.rewards[0] == crowd.rewards[0]


def test_float32_and_float64_buffers_hold_the_same_numbers():
    wide, narrow = Simulations("reach", 3), Simulations("reach", 3, double=False)
    rng = np.random.default_rng(3)
    for _ in range(160):
        action = rng.uniform(-1, 1, (3, 6)).astype(np.float32)
        wide.step(action)
        narrow.step(action)
        assert np.array_equal(wide.observations.astype(np.float32), narrow.observations)
        assert np.array_equal(wide.rewards.astype(np.float32), narrow.rewards)


@pytest.mark.parametrize(
    "action",
    [
        Absolute(),
        Normalized(),
        Delta(step=0.1),
        Delta(step=0.2, leash=0.05, overrides=(("elbow", 0.5, 1.0),)),
    ],
)
def test_actions_become_controls(action):
    sims = Simulations(toy(action=action, substeps=3), 1)
    rng = np.random.default_rng(4)
    data = mujoco.MjData(sims.model)
    for _ in range(40):
        row = sims.core.state[0].copy()
        mujoco.mj_setState(sims.model, data, row, STATE)
        x = rng.uniform(-2.5, 2.5, 2)
        expected = control(sims.compiled, data, x)
        sims.step(x)
        mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
        assert np.array_equal(data.ctrl, expected)


def test_a_delta_starts_from_where_the_joint_stands():
    task = toy(
        action=Delta(step=0.1),
        observations=(TargetError(name="error"), Field(name="ctrl", field="ctrl")),
        resets=(RandomJoints(("shoulder", "elbow"), (0.4, -0.3), noise=0.2),),
    )
    sims = Simulations(task, 50)
    assert (sims.part("error") == 0).all()
    assert np.ptp(sims.part("ctrl")[:, 0]) > 0.3
    assert np.abs(sims.part("ctrl") - (0.4, -0.3)).max() <= 0.2


def ended(autoreset, **changes):
    task = toy(
        observations=(Field(name="qpos", field="qpos"), TimeFraction(name="time")),
        episode_length=5,
        **changes,
    )
    return Simulations(task, 3, autoreset=autoreset)


def test_same_step_autoreset_returns_the_next_episode_and_keeps_the_last_row():
    sims = ended("same_step")
    first = sims.observations.copy()
    for step in range(1, 6):
        sims.step(0.5)
        assert sims.truncations.all() == (step == 5)
    assert not sims.terminals.any()
    assert np.array_equal(sims.observations, first)
    assert (sims.final_observations[:, -1] == 1).all()
    assert (sims.final_observations[:, 0] != first[:, 0]).all()
    sims.step(0.5)
    assert not sims.truncations.any()
    assert (sims.part("time") == 0.2).all()


def test_next_step_autoreset_resets_instead_of_stepping():
    sims = ended("next_step")
    first = sims.observations.copy()
    for _ in range(5):
        sims.step(0.5)
    assert sims.truncations.all() and (sims.part("time") == 1).all()
    sims.step(0.5)
    assert not sims.truncations.any() and (sims.rewards == 0).all()
    assert np.array_equal(sims.observations, first)


def test_without_autoreset_the_simulation_goes_on():
    sims = ended("disabled")
    for _ in range(7):
        sims.step(0.5)
    assert sims.truncations.all() and (sims.part("time") == 1).all()  # clipped to its range
    assert sims.core.log()["n"] == 3
    sims.core.reset([1])
    assert sims.truncations.tolist() == [True, False, True]


def test_truncation_as_terminal_sets_both_flags():
    task = toy(episode_length=2)
    sims = Simulations(task, 1, truncation_as_terminal=True)
    sims.step()
    sims.step()
    assert sims.terminals[0] and sims.truncations[0]


def test_success_must_hold_and_ends_the_episode():
    task = toy(
        rewards=(SuccessBonus(weight=2.0),),
        action=Delta(step=0.2),
        substeps=20,
        success=Success((Above(JointPosition("elbow"), 0.5),), hold=3),
    )
    sims = Simulations(task, 1, autoreset="disabled")
    above = 0
    for _ in range(100):
        sims.step([0.0, 1.0])
        above += sims.observations[0, 1] > 0.5
        assert sims.terminals[0] == (above >= 3)
        assert sims.rewards[0] == (2.0 if above >= 3 else 0.0)
        if sims.terminals[0]:
            break
    assert above == 3
    log = sims.core.log()
    assert log["success"] == log["n"] == 1


def test_failure_ends_the_episode_without_success():
    task = toy(
        action=Delta(step=0.2),
        substeps=20,
        failure=(Below(JointPosition("elbow"), -0.5),),
        success=Success((Above(JointPosition("elbow"), 1.0),)),
    )
    sims = Simulations(task, 1)
    for _ in range(100):
        sims.step([0.0, -1.0])
        if sims.terminals[0]:
            break
    assert sims.terminals[0] and not sims.truncations[0]
    assert sims.core.log()["success"] == 0


def test_rewards_and_observations_see_the_new_state():
    task = toy(
        rewards=(Negative(name="d", signal=Distance(Site("tip"), Fixed((0, 0, 0)))),), substeps=5
    )
    sims = Simulations(task, 1)
    for _ in range(20):
        sims.step([0.7, -0.9])
        data = mujoco.MjData(sims.model)
        mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
        mujoco.mj_kinematics(sims.model, data)
        assert np.array_equal(sims.observations[0], data.qpos)
        # np.linalg.norm sums in another order
        assert sims.rewards[0] == pytest.approx(-np.linalg.norm(data.site("tip").xpos), rel=1e-15)


def test_the_log_holds_means_over_ended_episodes():
    task = toy(
        rewards=(
            Negative(name="h", signal=Height(Site("tip"))),
            Negative(name="q", signal=JointPosition("elbow"), weight=3.0),
        ),
        episode_length=4,
    )
    sims = Simulations(task, 2)
    totals = np.zeros(2)
    for step in range(8):
        sims.step([[0.1, 0.2], [0.3, -0.4]])
        totals += sims.rewards
        if step == 2:
            assert sims.core.log() is None
    log = sims.core.log()
    assert log["n"] == 4 and log["episode_length"] == 16
    assert log["episode_return"] == pytest.approx(totals.sum())
    assert log["terms"].sum() == pytest.approx(totals.sum())
    assert sims.core.log() is None


# one of each: ball joint, spring, armature, gravity compensation, weld, joint equality, mocap,
# friction loss, site actuator, velocity actuator, condim 1 to 6, capsule, cylinder, ellipsoid
MENAGERIE = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.004" integrator="{integrator}" cone="{cone}" density="1.2" wind="1 0 0">
    <flag eulerdamp="{eulerdamp}"/>
  </option>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1" condim="4"/>
    <body pos="0 0 .6" gravcomp="0.5">
      <joint name="a" axis="0 1 0" stiffness="2" damping=".1" armature=".01" frictionloss=".05"/>
      <geom type="capsule" size=".03" fromto="0 0 0 .2 0 0"/>
      <body pos=".2 0 0">
        <joint name="b" type="ball" damping=".02"/>
        <geom type="cylinder" size=".03 .1" condim="6"/>
        <site name="tip" pos="0 0 -.1"/>
      </body>
    </body>
    <body name="ball" pos=".1 .4 .2"><freejoint/><geom type="ellipsoid" size=".05 .07 .1"/></body>
    <body name="box" pos=".15 .4 .5"><freejoint/>
      <geom type="box" size=".06 .06 .06" condim="1"/></body>
    <body pos="0 -.5 .3"><joint name="c" type="slide" axis="0 0 1" range="-.2 .2" limited="true"/>
      <geom size=".05"/></body>
    <body name="hand" mocap="true" pos=".1 .4 .6"/>
  </worldbody>
  <equality>
    <weld body1="hand" body2="box" solref="0.1 1"/>
    <joint joint1="a" joint2="c" polycoef="0 .1 0 0 0"/>
  </equality>
  <actuator>
    <position name="a" joint="a" kp="5" kv=".5"/>
    <velocity name="c" joint="c" kv="3"/>
    <general name="tip" site="tip" gear="0 0 1 0 0 0"/>
  </actuator>
</mujoco>
"""


@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
@pytest.mark.parametrize(
    ("integrator", "eulerdamp"),
    [("Euler", "enable"), ("Euler", "disable")]
    + [(name, "enable") for name in ("implicit", "implicitfast", "RK4", "discrete")],
)
def test_a_model_of_many_parts_steps_as_mj_step(integrator, eulerdamp, cone):
    scene = Text(MENAGERIE.format(integrator=integrator, eulerdamp=eulerdamp, cone=cone))
    task = toy(scene=scene, rewards=(Negative(name="h", signal=Height(Site("tip"))),), substeps=2)
    sims = Simulations(task, 3, 2)
    assert sims.compiled.tables.stages == (integrator not in ("RK4", "discrete"))
    data = mujoco.MjData(sims.model)
    mujoco.mj_setState(sims.model, data, sims.core.state[1], STATE)
    rng = np.random.default_rng(0)
    touched = 0
    for _ in range(200):
        action = rng.uniform(-1, 1, (3, 3))
        sims.step(action)
        data.ctrl[:] = action[1]
        mujoco.mj_step(sims.model, data, nstep=2)
        touched += data.ncon
        row = np.empty_like(sims.core.state[1])
        mujoco.mj_getState(sims.model, data, row, STATE)
        assert np.array_equal(sims.core.state[1], row)
    assert touched > 100
    assert not sims.truncations.any()
