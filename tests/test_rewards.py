"""Every reward term against its formula."""

import dataclasses

import mujoco
import numpy as np
import pytest
from harness import MOTION, POSE, STATE, Simulations, toy

from lerobot_puffer.signals import (
    Above,
    Below,
    Height,
    JointPosition,
    Site,
)
from lerobot_puffer.terms import (
    Gaussian,
    Indicator,
    Negative,
    Stages,
    Success,
    SuccessBonus,
    Tanh,
    Tolerance,
)


def rewarded(*rewards, state=None, **changes):
    sims = Simulations(toy(rewards=rewards, **changes), 1)
    data = sims.place(**(state or {"qpos": POSE, "qvel": MOTION}))
    return sims.rewards[0], data


TIP = Height(Site("tip"))


def test_shaped_rewards_follow_their_formulas():
    _, data = rewarded(Negative(name="x", signal=TIP))
    x = data.site("tip").xpos[2]
    cases = [
        (Negative(name="x", signal=TIP), -x),
        (Gaussian(name="x", signal=TIP, variance=0.3), np.exp(-x * x / 0.6)),
        (Tanh(name="x", signal=TIP, width=0.2), 1 - np.tanh(x / 0.2)),
        (Tolerance(name="x", signal=TIP, lower=x - 0.1, upper=x + 0.1), 1.0),
        (Tolerance(name="x", signal=TIP, upper=x - 0.1), 0.0),
        (Tolerance(name="x", signal=TIP, upper=x - 0.2, margin=0.2), 0.1),
        (
            Tolerance(
                name="x", signal=TIP, lower=x + 0.1, upper=9, margin=0.2, value_at_margin=0.5
            ),
            0.5**0.25,
        ),
        (Indicator(name="x", when=(Above(TIP, x - 0.1), Below(TIP, x + 0.1))), 1.0),
        (Indicator(name="x", when=(Above(TIP, x - 0.1), Below(TIP, x - 0.05))), 0.0),
    ]
    for term, expected in cases:
        assert rewarded(term)[0] == pytest.approx(expected, rel=1e-13), term
        doubled = dataclasses.replace(term, weight=-2.0)
        assert rewarded(doubled)[0] == pytest.approx(-2 * expected, rel=1e-13)


def test_terms_add_up_and_gates_close():
    elbow = JointPosition("elbow")
    value, data = rewarded(
        Negative(name="a", signal=TIP),
        Negative(name="b", signal=elbow, weight=0.5, when=(Below(elbow, 0.0),)),
        Negative(name="c", signal=elbow, weight=9.0, when=(Above(elbow, 0.0),)),
    )
    assert value == pytest.approx(-data.site("tip").xpos[2] + 0.35, rel=1e-15)


def test_stages_take_the_last_level_that_holds():
    elbow = JointPosition("elbow")  # -0.7

    def stages(*levels):
        return rewarded(Stages(name="s", levels=levels))[0]

    low, high = (Below(elbow, 0.0),), (Above(elbow, 0.0),)
    assert stages((1.0, low), (2.0, high), (3.0, low), (4.0, high)) == 3
    assert stages((1.0, high), (2.0, low + high)) == 0
    assert stages((4.0, low), (1.0, low)) == 1


def test_progress_is_the_change_of_the_weighed_term():
    term = Negative(name="p", signal=TIP, weight=2.0, progress=True)
    sims = Simulations(toy(rewards=(term,), substeps=10, episode_length=30), 1)
    heights = [sims.compiled.model.site_pos[0][2] + 0.5]
    total = 0.0
    for step in range(30):
        last = sims.core.memory[0].copy()
        sims.step([0.4, 0.4])
        total += sims.rewards[0]
        if step < 29:
            data = mujoco.MjData(sims.model)
            mujoco.mj_setState(sims.model, data, sims.core.state[0], STATE)
            mujoco.mj_kinematics(sims.model, data)
            heights.append(data.site("tip").xpos[2])
            assert sims.rewards[0] == pytest.approx(2 * (heights[-2] - heights[-1]), abs=1e-14)
            assert not np.array_equal(last, sims.core.memory[0])
    assert abs(total) > 0.1
    sims.step([0.0, 0.0])
    assert abs(sims.rewards[0]) < 0.01  # measured from the new episode's first state


def test_success_bonus_pays_where_success_holds():
    success = Success((Below(JointPosition("elbow"), 0.0),), terminate=False)
    assert rewarded(SuccessBonus(weight=3.0), success=success)[0] == 3
