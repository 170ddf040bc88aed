"""The generator against its published test vectors, and its use against simple statistics."""

import numpy as np
import pytest
from harness import Simulations, toy

from lerobot_puffer._core import philox_block
from lerobot_puffer.terms import Box, Field, GoalPosition, RandomChoice, RandomGoal, Sector

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # kat_vectors of Random123 1.14 (Salmon et al., SC 2011)
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_equals_its_published_vectors(counter, key, expected):
    assert philox_block(counter, key) == expected


def goals(region, n=4000):
    task = toy(
        resets=(RandomGoal("goal", region, marker="marker"),),
        observations=(GoalPosition(name="goal", goal="goal"),),
    )
    return Simulations(task, n).observations


def test_box_goals_are_uniform_in_the_box():
    x = goals(Box((-1.0, 2.0, 0.5), (1.0, 4.0, 0.5), origin=(10.0, 0.0, 0.0)))
    assert x[:, 2].min() == x[:, 2].max() == 0.5
    for column, low, high in ((0, 9, 11), (1, 2, 4)):
        assert low <= x[:, column].min() and x[:, column].max() < high
        # standard errors: 0.577 / sqrt(4000) = 0.009 of the mean; five of them
        assert abs(x[:, column].mean() - (low + high) / 2) < 0.046
        assert abs(x[:, column].std() - 2 / 12**0.5) < 0.03
    assert abs(np.corrcoef(x[:, 0], x[:, 1])[0, 1]) < 0.08


def test_sector_goals_lie_in_their_shell():
    x = goals(Sector((0.2, 0.3), (-0.5, 0.5), (0.1, 0.2), origin=(1.0, 2.0, 3.0)))
    x = x - (1.0, 2.0, 3.0)
    radius, angle = np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])
    for value, low, high in ((radius, 0.2, 0.3), (angle, -0.5, 0.5), (x[:, 2], 0.1, 0.2)):
        assert low - 1e-12 <= value.min() and value.max() <= high + 1e-12
        assert abs(value.mean() - (low + high) / 2) < 0.03 * (high - low)


def test_choices_are_uniform_and_can_be_fixed():
    from lerobot_puffer.terms import OneHot

    def draws(fixed):
        task = toy(
            resets=(RandomChoice("k", 3, fixed=fixed),),
            observations=(OneHot(name="k", choice="k"),),
        )
        return Simulations(task, 3000).observations

    free = draws(None)
    assert (free.sum(axis=1) == 1).all()
    assert np.abs(free.mean(axis=0) - 1 / 3).max() < 0.045
    assert (draws(2) == (0, 0, 1)).all()


def test_noise_is_normal_with_its_scale():
    task = toy(observations=(Field(name="q", field="qpos", of=("shoulder",), noise=0.5),))
    x = Simulations(task, 8000).observations[:, 0]
    assert abs(x.mean()) < 0.03
    assert abs(x.std() - 0.5) < 0.025
    assert abs((x**3).mean() / 0.125) < 0.3
    assert abs((x**4).mean() / 0.0625 - 3) < 0.6


def test_streams_and_seeds_differ_and_repeat():
    region = Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    task = toy(
        resets=(RandomGoal("goal", region),), observations=(GoalPosition(name="goal", goal="goal"),)
    )
    first = Simulations(task, 100, seed=1).observations
    assert len(np.unique(first)) == 300
    assert not np.isin(Simulations(task, 100, seed=2).observations, first).any()
    assert (Simulations(task, 100, seed=1).observations == first).all()
    assert (Simulations(task, 10, seed=1).observations == first[:10]).all()
