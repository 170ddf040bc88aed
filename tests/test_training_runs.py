"""Trainings that go on, that log elsewhere, and that run in several processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lerobot_puffer.env")

from lerobot_puffer import LeRobotPuffer
from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.cli import main
from lerobot_puffer.evaluate import evaluate
from lerobot_puffer.policy import MeanActor, Normalizer, PolicyShape, make_policy
from lerobot_puffer.train import _Run, train
from lerobot_puffer.trainer import Trainer, World

pytestmark = pytest.mark.no_sanitizer
TINY = {"env.num_envs": 16, "env.num_threads": 1, "train.total_timesteps": 1024,
        "train.minibatch_size": 256}
NORMALIZED = TINY | {"policy.normalize": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny training of reach with normalised observations."""
    return train("reach", NORMALIZED, folder=tmp_path_factory.mktemp("trained"), quiet=True)


def logged_steps(folder):
    lines = (Path(folder) / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["agent_steps"] for line in lines]


def test_weights_of_a_checkpoint_start_another_training(trained, tmp_path):
    changes = NORMALIZED | {"load_model_path": str(trained.checkpoint), "train.learning_rate": 0.0}
    more = train("reach", changes, folder=tmp_path, quiet=True)
    old, new = (checkpoints.load(path).weights for path in (trained.checkpoint, more.checkpoint))
    assert all(torch.equal(old[name], new[name]) for name in old if "normalizer" not in name)
    assert new["normalizer.count"] == 2 * old["normalizer.count"]


def test_a_run_is_resumed_where_it_ended(trained, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(trained.checkpoint.parent, folder)
    before = torch.load(folder / "trainer.pt", weights_only=True)
    changes = {"resume": str(folder), "train.total_timesteps": 2048, "train.learning_rate": 0.0}
    seeds = []
    reset = LeRobotPuffer.reset
    monkeypatch.setattr(LeRobotPuffer, "reset",
                        lambda env, seed=None: seeds.append(seed) or reset(env, seed))
    more = train("reach", changes, quiet=True)
    after = torch.load(folder / "trainer.pt", weights_only=True)
    assert more.checkpoint == folder / "policy.pt"
    assert (before["steps"], more.steps, after["steps"]) == (1024, 2048, 2048)
    updates = [state["optimizer"]["state"][0]["step"] for state in (before, after)]
    assert updates[1] == 2 * updates[0] > 0
    # the options of the first part hold for the second
    assert checkpoints.load(more.checkpoint).options["env.num_envs"] == 16
    assert logged_steps(folder)[0] <= 1024
    assert logged_steps(folder)[-1] == 2048
    # its episodes are not those of the first part again
    assert seeds[0] == checkpoints.load(more.checkpoint).seed + before["epoch"]


def test_trainings_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *args: "20260101-000000")
    changes = TINY | {"train.data_dir": str(tmp_path)}
    for name in ("20260101-000000", "20260101-000000-2", "20260101-000000-3"):
        path = train("reach", changes, quiet=True).checkpoint
        assert path == tmp_path / "reach" / name / "policy.pt"
        assert logged_steps(path.parent)[-1] == 1024
        assert checkpoints.find_newest("reach", tmp_path) == path


def test_a_run_that_has_its_steps_is_not_resumed(trained, tmp_path, capsys):
    folder = tmp_path / "reach" / "run"
    shutil.copytree(trained.checkpoint.parent, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["train", "reach", "--resume", "latest", "--train.data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"lerobot-puffer train: the run in {folder} has its 1,024 steps; to go on, raise "
        "--train.total-timesteps above 1,024\n")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"hello", {"optimizer": {}}])
def test_a_damaged_state_of_the_trainer_is_refused(content, trained, tmp_path):
    shutil.copy(trained.checkpoint, tmp_path / "policy.pt")
    if isinstance(content, dict):
        torch.save(content, tmp_path / "trainer.pt")
    else:
        (tmp_path / "trainer.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"trainer\.pt is damaged.*Weights alone: load_model_path"):
        train("reach", {"resume": str(tmp_path), "train.total_timesteps": 2048}, quiet=True)


@pytest.mark.parametrize("recent", [1000.0, None])
def test_a_resumed_run_goes_on_with_its_success_rate(recent, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.checkpoint.parent, folder)
    state = torch.load(folder / "trainer.pt", weights_only=True)
    state |= {"success_rate": 0.9, "recent": recent}
    if recent is None:
        # as runs of earlier versions
        del state["recent"]
    torch.save(state, folder / "trainer.pt")
    more = train("reach", {"resume": str(folder), "train.total_timesteps": 2048}, quiet=True)
    # a few new episodes, none a success, weigh little beside a thousand
    assert more.success_rate > 0.8 if recent else more.success_rate == 0
    assert torch.load(folder / "trainer.pt", weights_only=True)["recent"] > 0


def test_a_folder_without_the_trainers_state_is_not_resumed(trained, tmp_path):
    shutil.copy(trained.checkpoint, tmp_path / "policy.pt")
    with pytest.raises(ValueError, match=r"there is no .*trainer\.pt. Weights alone: load_model"):
        train("reach", TINY | {"resume": str(tmp_path)}, quiet=True)
    # the optimizer is that of another policy
    best = trained.checkpoint.with_name("best.pt")
    with pytest.raises(ValueError, match=r"a run's folder or its policy\.pt, got .*best\.pt\. Wei"):
        train("reach", TINY | {"resume": str(best)}, quiet=True)


def test_the_best_checkpoint_is_kept(tmp_path, monkeypatch):
    rates = {256: 0.2, 512: 0.6, 768: 0.4, 1024: 0.4, 1280: 0.5}
    save = _Run._save

    def save_with_rate(run, trainer):
        run.success_rate = rates[trainer.steps]
        return save(run, trainer)

    monkeypatch.setattr(_Run, "_save", save_with_rate)
    changes = TINY | {"train.checkpoint_interval": 1}
    training = train("reach", changes, folder=tmp_path, quiet=True)
    # a resumed run knows the best of its first part
    for budget in (1024, 1280):
        if budget > 1024:
            training = train("reach", changes | {
                "resume": str(tmp_path), "train.total_timesteps": budget}, quiet=True)
        best, last = (checkpoints.load(tmp_path / name) for name in ("best.pt", "policy.pt"))
        assert (best.steps, best.success_rate) == (512, 0.6)
        assert (last.steps, last.success_rate) == (training.steps, rates[budget])
        assert not torch.equal(best.weights["mean.weight"], last.weights["mean.weight"])


def test_statistics_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(3.0, [0.1, 1.0, 20.0], (4, 8, 5, 3)).astype(np.float32)
    normalizer = Normalizer(3)
    for part in rows:
        normalizer.update(torch.tensor(part), World())
    every = rows.reshape(-1, 3).astype(float)
    # float32 sums in another order
    assert np.allclose(normalizer.mean, every.mean(0), rtol=1e-5)
    assert np.allclose(normalizer.var, every.var(0), rtol=1e-5)
    scaled = normalizer(torch.tensor(every).float()).numpy()
    assert np.allclose(scaled, (every - every.mean(0)) / every.std(0), atol=1e-3)
    assert normalizer(torch.full((1, 3), 1e6)).max() == 10


def test_statistics_travel_in_the_checkpoint_and_acting_does_not_change_them(trained):
    stored = checkpoints.load(trained.checkpoint)
    policy = stored.policy()
    evaluate("reach", partial(MeanActor, policy), 2)
    assert stored.weights["normalizer.count"] == 1024
    assert torch.equal(policy.state_dict()["normalizer.mean"], stored.weights["normalizer.mean"])
    plain = make_policy(PolicyShape(4, 2))
    assert not any("normalizer" in name for name in plain.state_dict())


def test_tensorboard_gets_the_numbers_of_the_log(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train("reach", TINY | {"tensorboard": True}, folder=tmp_path, quiet=True)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    rates = events.Scalars("learning_rate")
    assert [event.step for event in rates] == logged_steps(tmp_path)


@pytest.mark.parametrize("backend", ["Multiprocessing", "Ray"])
def test_pufferlibs_workers_train(backend, tmp_path):
    if backend == "Ray":
        pytest.importorskip("ray")
    workers = 2 if backend == "Ray" else 1  # processes that spin, on as few cores as there may be
    vec = {"vec.backend": backend, "vec.num_envs": 2, "vec.num_workers": workers,
           "vec.batch_size": 2}
    assert train("reach", TINY | vec, folder=tmp_path, quiet=True).steps == 1024


# the command, which says at its end whether both processes have the same weights
COMPARED = """
import sys
import torch
from lerobot_puffer.cli import main
from lerobot_puffer.trainer import Trainer

close = Trainer.close

def compare(trainer):
    mine = torch.cat([part.detach().flatten() for part in trainer.uncompiled_policy.parameters()])
    every = [torch.empty_like(mine) for _ in range(2)]
    torch.distributed.all_gather(every, mine)
    if trainer.world.rank == 0:
        print(f"equal weights: {torch.equal(*every)}", flush=True)
    close(trainer)

Trainer.close = compare
sys.exit(main(sys.argv[1:]))
"""


def test_two_processes_train_one_policy(tmp_path):
    (tmp_path / "compared.py").write_text(COMPARED)
    flags = [f"--{name}={value}" for name, value in NORMALIZED.items()]
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "compared.py", "train", "reach", "--train.target-success", "0", *flags],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("trained: 1,024 steps") == 1
    assert run.stdout.count("equal weights: True") == 1, run.stdout
    (folder,) = (tmp_path / "runs" / "reach").iterdir()
    stored = checkpoints.load(folder / "policy.pt")
    assert logged_steps(folder)[-1] == stored.steps == 1024
    # both processes' rows went into the statistics
    assert stored.weights["normalizer.count"] == 1024


def test_a_run_is_resumed_from_the_command_line_with_its_options(trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained.checkpoint.parent, folder)
    assert main(["train", "reach", "--resume", str(folder),
                 "--train.total-timesteps", "1536"]) == 0
    assert "trained: 1,536 steps" in capsys.readouterr().out
    options = checkpoints.load(folder / "policy.pt").options
    assert {name: options[name] for name in NORMALIZED} == NORMALIZED | {
        "train.total_timesteps": 1536}


@pytest.mark.parametrize("anneal", [True, False])
def test_the_schedule_of_a_resumed_run_is_that_of_its_options(anneal):
    def trainer(budget, lr):
        made = Trainer.__new__(Trainer)
        made.optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        made.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(made.optimizer, budget)
        made.config, made.world = {"anneal_lr": anneal}, World()
        made.epoch = made.global_step = 0
        return made

    def update(made):
        made.optimizer.step()
        if anneal:
            made.scheduler.step()
        made.epoch += 1
        return made.optimizer.param_groups[0]["lr"]

    first, fresh, more = trainer(4, 0.1), trainer(10, 0.02), trainer(10, 0.02)
    for _ in range(4):
        first_lr, _ = update(first), update(fresh)
    assert first_lr == (0 if anneal else 0.1)
    more.resume(first.state_dict())
    # the recursion of the schedule rounds otherwise than its formula
    for _ in range(6):
        assert update(more) == pytest.approx(update(fresh), rel=1e-12)
    assert more.optimizer.param_groups[0]["lr"] == pytest.approx(0 if anneal else 0.02)


def test_options_are_stored_in_types_that_can_be_read_again(trained, tmp_path):
    changes = {"load_model_path": trained.checkpoint, "tag": np.float64(0.5),
               "env.goal": {"target_pos": np.array([0.2, 0.0, 0.7])}}
    more = train("reach", NORMALIZED | changes, folder=tmp_path, quiet=True)
    stored = checkpoints.load(more.checkpoint)
    assert stored.options["load_model_path"] == str(trained.checkpoint)
    assert stored.options["tag"] == 0.5
    assert stored.task["goal"] == {"target_pos": [0.2, 0.0, 0.7]}
    checkpoints.match(stored)
    with pytest.raises(ValueError, match=r"^tag must be made of numbers, texts, lists and dicts"):
        train("reach", TINY | {"tag": {1, 2}}, folder=tmp_path, quiet=True)
