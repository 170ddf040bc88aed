"""What ends the tasks with cubes, from states made for it, and what their rewards pay."""

import copy

import mujoco
import numpy as np
import pytest
from harness import Simulations

from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks import make_task
from lerobot_puffer.tasks import manipulation as m
from lerobot_puffer.terms import (
    SuccessBonus,
)

TASKS = ("lift", "push", "pick_place", "stack")
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
        sims.core.memory[0, sims.compiled.latches] = 1


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
    mujoco.mj_step(model, data, 200)  # until the arm no longer sinks
    return {"qpos": data.qpos, "qvel": data.qvel, "ctrl": data.ctrl}


@pytest.mark.parametrize("task", ["push", "pick_place"])
def test_a_fixed_target_lies_on_the_table_and_the_cube_keeps_away(task):
    made = make_task(task, goal={"target_pos": (X, Y, m.LYING)})
    sims = Simulations(compile_task(made), 200)
    at = sims.compiled.goals["target_pos"]
    assert (sims.core.memory[:, at:at + 3] == (X, Y, m.LYING)).all()
    cubes = sims.core.state[:, 7:9]  # after the time and six joints
    assert np.linalg.norm(cubes - (X, Y), axis=1).min() >= 0.06
    with pytest.raises(ValueError, match=r"on the table, at z = 0\.6125 m"):
        make_task(task, goal={"target_pos": (X, Y, 0.7)})
    for x, y, found in ((3.0, 0.0, "2.96 m"), (0.0388, 0.0, "0 m"), (-0.16, 0.0, "3.14 rad")):
        with pytest.raises(ValueError, match=f"in reach, 0.14 .. 0.26 m .* {found}"):
            make_task(task, goal={"target_pos": (x, y, m.LYING)})


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("task", TASKS)
def test_the_control_rate_is_an_option_that_keeps_seconds(task, rate):
    made = make_task(task, options={"control_rate": rate})
    compiled = compile_task(made)
    assert compiled.control_timestep == pytest.approx(1 / rate, rel=1e-15)
    assert 3 <= made.episode_length / rate <= 10
    assert made.action.step * rate == pytest.approx(1.25)
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


def test_push_pays_for_the_way_only_of_a_cube_that_was_raised():
    sims = simulations("push")
    motion = np.zeros(12)
    motion[7] = -1.4

    def paid(latch):
        """Rewards of a cube that slides away from the gripper to its target, after the first."""
        place(sims, [(X, Y - 0.06, m.LYING)], target=(X, Y - 0.16, m.LYING), qvel=motion,
              latch=latch)
        return [sims.step() or float(sims.rewards[0]) for _ in range(8)][1:]

    assert sum(paid(latch=False)) < 0  # only what the gripper is now further away
    assert sum(paid(latch=True)) > 0.2


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
    # up and down again, twice: what the way up pays, the way down takes;
    # a latch pays the first time
    paid = []
    for _ in range(3):
        paid.append(0.0)
        for shoulder in np.repeat((-0.1, 0.1, 0.0), 10):
            sims.step((0, shoulder, 0, 0, 0, 0))
            paid[-1] += sims.rewards[0]
    # one jaw's touch, 0.025, may flicker; the cube turns in the jaws by a few degrees
    assert np.allclose(paid[1:], 0, atol=0.04)
