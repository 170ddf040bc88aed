"""What every registered task promises."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from harness import Simulations

import lerobot_puffer
from lerobot_puffer.compile import compile_task
from lerobot_puffer.tasks import REGISTRY, make_task

TASKS = sorted(REGISTRY)


def play(sims, steps, seed=0):
    """Observations, rewards and ends of random actions, copied."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(steps):
        sims.step(rng.uniform(-1, 1, sims.actions.shape))
        rows.append([sims.observations.copy(), sims.rewards.copy(), sims.terminals.copy(),
                     sims.truncations.copy()])
    return [np.array(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("task", TASKS)
def test_observations_are_finite_and_in_their_space_and_buffers_stay(task):
    sims = Simulations(task, 6, 2, double=False)
    low, high = sims.compiled.bounds()
    arrays = (sims.observations, sims.final_observations, sims.rewards, sims.terminals,
              sims.truncations, sims.actions)
    pointers = [array.ctypes.data for array in arrays]
    first = sims.observations.copy()
    observations, rewards, _, _ = play(sims, 320)
    for rows in (first, *observations, sims.final_observations):
        assert np.isfinite(rows).all()
        assert (rows >= low.astype(np.float32)).all()
        assert (rows <= high.astype(np.float32)).all()
    assert np.isfinite(rewards).all()
    assert [array.ctypes.data for array in arrays] == pointers


@pytest.mark.parametrize("task", TASKS)
def test_the_layout_covers_the_row_and_names_its_parts(task):
    compiled = compile_task(make_task(task))
    ends = [entry.start + entry.size for entry in compiled.layout]
    assert [entry.start for entry in compiled.layout] == [0, *ends[:-1]]
    assert ends[-1] == compiled.tables.nobs
    assert len({entry.name for entry in compiled.layout}) == len(compiled.layout)
    assert all(entry.unit for entry in compiled.layout)
    assert (REGISTRY[task].__doc__ or "").strip()


@pytest.mark.parametrize("task", TASKS)
def test_a_time_limit_truncates_every_episode(task):
    short = compile_task(replace(make_task(task), episode_length=7))
    sims = Simulations(short, 4)
    _, _, terminals, truncations = play(sims, 21)
    ended = terminals | truncations
    assert ended[[6, 13, 20]].all()
    assert ended.sum() == 12


@pytest.mark.parametrize("task", [t for t in TASKS if make_task(t).success])
def test_success_terminates_and_is_counted(task):
    # thresholds that every state meets, through the task's own conditions
    made = make_task(task)
    loose = tuple(
        replace(c, threshold=-1e9 if type(c).__name__ == "Above" else 1e9)
        for c in made.success.conditions)
    sims = Simulations(compile_task(replace(made, success=replace(made.success, conditions=loose))))
    for step in range(1, made.success.hold + 1):
        sims.step(0.0)
        assert sims.terminals[0] == (step == made.success.hold)
    assert not sims.truncations[0]
    log = sims.core.log()
    assert log["n"] == log["success"] == 1


def _play_in_a_process(task, out):
    out.put(play(Simulations(task, 3, 1, seed=4, double=False), 160))


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("task", TASKS)
def test_trajectories_are_the_same_in_another_process(task):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_play_in_a_process, args=(task, out))
    process.start()
    theirs = out.get(timeout=120)
    process.join(60)
    assert process.exitcode == 0
    for a, b in zip(play(Simulations(task, 3, 2, seed=4, double=False), 160), theirs, strict=True):
        assert np.array_equal(a, b)


def test_gymnasium_ids_are_of_registered_tasks():
    assert set(lerobot_puffer.GYM_IDS.values()) <= set(REGISTRY)
    assert set(lerobot_puffer.ALOHA_IDS.values()) <= set(REGISTRY)
