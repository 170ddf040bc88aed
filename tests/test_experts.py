"""The scripted experts solve their tasks, on either scene and from other starts."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from math import pi

import mujoco
import numpy as np
import pytest
from harness import STATE, Simulations, needs, toy

pytest.importorskip("mink", reason="needs the extra expert")

from lerobot_puffer.aloha import (
    ALOHA_INSERTION_REFERENCE,
    ALOHA_TRANSFER_CUBE_REFERENCE,
    finger_geoms,
)
from lerobot_puffer.experts import SCRIPTS, Expert
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import RandomPose

needs_reference = needs(ALOHA_INSERTION_REFERENCE, ALOHA_TRANSFER_CUBE_REFERENCE)


def play(task, num_envs, steps=300, **options):
    """Simulations after an expert's steps, the best reward of each, and the actions."""
    sims = Simulations(task, num_envs, double=False, autoreset="disabled", **options)
    expert = Expert(task, num_envs)
    best, actions = np.zeros(num_envs), []
    for _ in range(steps):
        actions.append(expert(sims.observations))
        sims.step(actions[-1])
        best = np.maximum(best, sims.rewards)
    return sims, best, np.array(actions)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_ten_of_ten_episodes_succeed(name):
    _, best, actions = play(make_task(name), 10)
    assert (best == 4).all()
    arms = np.delete(actions, (6, 13), axis=2)
    # rad/s, which the robot's servos reach; an arm that changes its branch is far above
    assert np.abs(np.diff(arms, axis=0)).max() * 50 < pi
    assert set(np.unique(actions[..., (6, 13)])) == {0, 1}


@needs_reference
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_episodes_on_the_published_scene_succeed(name):
    _, best, _ = play(make_task(name, "reference"), 5, seed=1)
    assert (best == 4).all()


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_turned_objects_and_other_starts_of_the_arms_are_seen(name):
    task = make_task(name)
    task = replace(task, resets=tuple(
        replace(term, yaw=(-pi, pi)) if isinstance(term, RandomPose) else replace(term, noise=0.1)
        for term in task.resets))
    _, best, _ = play(task, 5, seed=2)
    assert (best == 4).all()


def test_the_cube_ends_in_the_left_hand_alone():
    sims, _, _ = play(make_task("aloha_transfer_cube"), 1)
    data = mujoco.MjData(sims.model)
    mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
    mujoco.mj_forward(sims.model, data)
    names = [{sims.model.geom(int(geom)).name for geom in pair} for pair in data.contact.geom]
    touching = set().union(*(pair for pair in names if "box/box" in pair)) - {"box/box"}
    both = set(finger_geoms("left", "left")), set(finger_geoms("left", "right"))
    assert all(touching & finger for finger in both)
    assert touching <= set.union(*both)


def test_environments_do_not_disturb_each_other():
    task = make_task("aloha_insertion")
    rows = Simulations(task, 3, double=False).observations
    together, alone = Expert(task, 3), Expert(task, 1)
    for _ in range(60):
        assert np.array_equal(together(rows)[1:2], alone(rows[1:2]))


def test_forget_starts_the_ended_episodes_anew():
    task = make_task("aloha_transfer_cube")
    rows = Simulations(task, 2, double=False).observations
    expert = Expert(task, 2)
    first = expert(rows)
    later = [expert(rows) for _ in range(40)][-1]
    expert.forget(np.array([True, False]))
    again = expert(rows)
    assert np.array_equal(again[0], first[0])
    assert not np.array_equal(again[1], first[1])
    assert np.abs(again[1] - later[1]).max() < 0.1


def test_tasks_without_an_expert_are_refused():
    with pytest.raises(ValueError, match="no expert plays task 'reach'; known: 'aloha_"):
        Expert("reach", 1)
    with pytest.raises(ValueError, match="is Normalized: build it with mode='absolute'"):
        Expert(make_task("aloha_insertion", options={"mode": "normalized"}), 1)
    with pytest.raises(ValueError, match=r"read the observations qpos and env_state; .* shows"):
        Expert(toy(name="aloha_insertion"), 1)


@pytest.mark.no_sanitizer
def test_an_expert_is_filmed(tmp_path):
    pytest.importorskip("lerobot_puffer.env")
    pytest.importorskip("imageio")
    from lerobot_puffer.video import film

    task = replace(make_task("aloha_transfer_cube"), episode_length=3)
    video = tmp_path / "film.mp4"
    # and 0.4 s of the last picture
    assert film(task, partial(Expert, task), video, 1, width=64, height=48) == 3 + 20
    assert video.stat().st_size > 0


def test_eval_plays_an_expert(capsys):
    pytest.importorskip("lerobot_puffer.env")
    from lerobot_puffer.cli import main

    assert main(["eval", "aloha_transfer_cube", "--policy", "expert", "--episodes", "2"]) == 0
    assert "expert on native assets\nsuccess 1.000" in capsys.readouterr().out


def test_eval_refuses_what_an_expert_does_not_take(capsys):
    pytest.importorskip("lerobot_puffer.env")
    from lerobot_puffer.cli import main

    for arguments, message in (
        (("policy.pt", "--policy", "expert"), "--policy expert takes no checkpoint, got policy.pt"),
        (("--assets", "reference"), "--assets and --options are of --policy expert"),
        (("--policy", "expert", "--options", "mode=delta"), "is Delta: build it with"),
    ):
        assert main(["eval", "aloha_insertion", *arguments]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.no_sanitizer
def test_a_missing_mink_is_named():
    code = ("import sys; sys.modules['mink'] = None\n"
            "from lerobot_puffer import cli\n"
            "sys.exit(cli.main(['eval', 'aloha_insertion', '--policy', 'expert']))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 2
    assert "needs mink: pip install 'lerobot_puffer[expert]'" in done.stderr
