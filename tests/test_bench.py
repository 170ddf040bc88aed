"""`lerobot-puffer bench`: what it compares and writes, at tiny numbers; no speed is asserted."""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from lerobot_puffer import bench, sweep
from lerobot_puffer._bench import Race
from lerobot_puffer.tasks import REGISTRY


def arguments(*options):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args([str(option) for option in options])


def bound(task="reach", num_envs=5, num_threads=2):
    return bench.Bound.make(bench.compiled_task(task), num_envs, num_threads)


@pytest.mark.parametrize("task", sorted(REGISTRY))
def test_raw_batches_follow_the_environment_bitwise(task):
    race = bound(task).race((False, True))
    seconds = race.run(7, 3)
    assert seconds.shape == (3, 3)
    assert (seconds > 0).all()
    assert race.matched


@pytest.mark.parametrize("num_threads", [1, 3])
def test_raw_batches_follow_through_resets(num_threads):
    one = bound(num_envs=4, num_threads=num_threads)
    one.core.episode["steps"] = (149, 147, 140, 0)
    race = one.race((False, True))
    race.run(12, 1)
    assert race.matched
    assert one.core.log()["n"] == 3


def test_race_steps_as_the_core_does():
    one, other = bound(), bound()
    one.race().step(4)
    for k in range(4):
        other.actions[:] = other.ring[k]
        other.core.step()
    np.testing.assert_array_equal(one.core.state, other.core.state)
    np.testing.assert_array_equal(one.observations, other.observations)


def test_race_rejects_what_does_not_fit():
    one = bound()
    with pytest.raises(ValueError, match="array that is bound"):
        Race(one.core, one.actions.copy(), one.ring)
    for ring in (one.ring.astype(np.float64), one.ring[0], one.ring[:, :4], one.ring[:0]):
        with pytest.raises(ValueError, match="ring must be float32"):
            Race(one.core, one.actions, ring)
    with pytest.raises(ValueError, match="finite"):
        Race(one.core, one.actions, np.full_like(one.ring, np.nan))
    with pytest.raises(ValueError, match="at least 1"):
        one.race().run(0, 1)


def test_settled_copies_have_their_own_generators(monkeypatch):
    monkeypatch.setattr(bench, "SETTLE_ENVS", 3)
    monkeypatch.setattr(bench, "SETTLE_STEPS", 4)
    many = bench.settled(bench.compiled_task("reach"), 7, 1)
    np.testing.assert_array_equal(many.core.state[:3], many.core.state[3:6])
    many.core.reset()
    assert len(np.unique(many.core.state, axis=0)) == 7


def test_measure_returns_both_rates(monkeypatch):
    monkeypatch.setattr(bench, "SETTLE_STEPS", 2)
    monkeypatch.setattr(bench, "BLOCK_SECONDS", 0.001)
    result = bench.measure("reach", num_envs=4, num_threads=1, seconds=0.02, repeats=5)
    assert result["matched"]
    assert result["env_steps_per_second"] > 0
    assert result["raw_steps_per_second"] > 0
    assert result["mj_steps_per_second"] == 4 * result["env_steps_per_second"]
    low, high = result["ratio_range"]
    assert low <= result["ratio"] <= high
    with pytest.raises(ValueError, match="repeats"):
        bench.measure("reach", repeats=4)


def test_bench_prints_and_writes_every_setting(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "SETTLE_STEPS", 2)
    monkeypatch.setattr(bench, "BLOCK_SECONDS", 0.001)
    path = tmp_path / "new" / "bench.jsonl"
    bench.run(arguments("--task", "reach", "--num-envs", "2,3", "--num-threads", "1,2",
                        "--seconds", 0.01, "--repeats", 5, "--jsonl", path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["num_envs"], line["num_threads"]) for line in lines] == [
        (2, 1), (2, 2), (3, 1), (3, 2)]
    assert all(line["versions"]["mujoco"] and line["cpu"] and line["command"] for line in lines)
    assert "4.0.0" in capsys.readouterr().out


@pytest.mark.no_sanitizer
def test_construction_reports_time_and_memory():
    # in a process of its own: this one may have freed more than it takes
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = pool.submit(bench.construction, "reach", 8192, 1).result(timeout=120)
    assert made["num_envs"] == 8192
    assert made["seconds"] > 0
    # the states, and two rows of observations each
    tables = bench.compiled_task("reach").tables
    rows = 8192 * (8 * tables.init.size + 2 * 4 * tables.nobs)
    assert made["resident_bytes"] > 0.8 * rows


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("backend", sweep.BACKENDS)
def test_sweep_counts_environments(backend, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    if backend != "gym":
        pytest.importorskip("pufferlib")
    bench.run(arguments("--backend", backend, "--sweep-num-envs", "1,2", "--num-workers",
                        "1,2", "--num-steps", 40, "--plot-path", tmp_path))
    names = [f"throughput_{backend}" + suffix for suffix in (
        [""] if backend == "gym" else ["_num_w_1", "_num_w_2"])]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name + end for name in names for end in (".jsonl", ".png"))
    for name in names:
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert [line["num_envs"] for line in lines] == [1, 2]
        for line in lines:
            assert set(line) == {"env_id", "backend", "num_envs", "num_workers",
                                 "steps_per_second"}
            assert line["env_id"] == "lerobot_puffer/LeRobot-v0"
            assert line["steps_per_second"] > 0


@pytest.mark.parametrize(("options", "message"), [
    (("--sweep-num-envs", "2"), "choose its --backend native, puffer, gym"),
    (("--backend", "gym", "--options", "physics=fast"), "a sweep takes a task as it is"),
])
def test_options_without_effect_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bench.run(arguments(*options))


def test_a_task_is_found_by_its_id_also_one_of_pictures():
    assert sweep.env_id("reach") == "lerobot_puffer/Reach-v0"
    assert sweep.env_id("aloha_insertion") == "lerobot_puffer/AlohaInsertion-v0"


def test_a_task_without_an_id_is_swept_by_its_name():
    pytest.importorskip("pufferlib")
    line = sweep.measure("native", "aloha_insertion_ee", 2, 1, 4, lambda count: None)
    assert line["env_id"] == "aloha_insertion_ee" and line["steps_per_second"] > 0
    with pytest.raises(ValueError, match="'aloha_insertion_ee' has no Gymnasium id"):
        sweep.open_backend("gym", "aloha_insertion_ee", 2, 1)


def test_workers_share_the_environments_evenly():
    assert [sweep.divisor(n, 4) for n in (1, 2, 6, 8, 7)] == [1, 2, 3, 4, 1]


def test_counts_are_checked():
    with pytest.raises(SystemExit):
        arguments("--num-envs", "4,0")
    with pytest.raises(SystemExit):
        arguments("--sweep-num-envs", "few")
