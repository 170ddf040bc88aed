"""Training, checkpoints, evaluation and videos."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lerobot_puffer.env")

from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer import make_task
from lerobot_puffer.checkpoint import CheckpointError
from lerobot_puffer.evaluate import Evaluation, evaluate
from lerobot_puffer.options import default_options, load_options, parse_options
from lerobot_puffer.policy import MeanActor, PolicyShape, make_policy
from lerobot_puffer.terms import Delta, Field, Task
from lerobot_puffer.train import train
from lerobot_puffer.trainer import pufferl

pytestmark = pytest.mark.no_sanitizer
# that have a configuration of their own
TASKS = ["lerobot_reach", "lerobot_goal_place", "reach", "lift", "push", "pick_place", "stack"]
EXAMPLES = Path(__file__).parent.parent / "examples"
TINY = {"env.num_envs": 16, "env.num_threads": 1, "train.total_timesteps": 1024,
        "train.minibatch_size": 256}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny training of reach."""
    return train("reach", TINY, folder=tmp_path_factory.mktemp("trained"), quiet=True)


def test_reach_is_learnt(tmp_path):
    # ends at 0.9 on 128 checked episodes, after 60k to 140k steps with the seeds tried
    training = train("reach", {"train.seed": 1, "train.target_success": 0.9,
                               "train.check_episodes": 128}, folder=tmp_path, quiet=True)
    policy = checkpoints.load(training.checkpoint).policy()
    assert training.reached
    # other episodes than the checked ones: 500 of them scatter by 0.015 about 0.9 or more
    assert evaluate("reach", partial(MeanActor, policy), 500).success_rate > 0.8


def test_training_is_reproducible(trained, tmp_path):
    again = train("reach", TINY, folder=tmp_path, quiet=True)
    first, second = (checkpoints.load(path).weights
                     for path in (trained.checkpoint, again.checkpoint))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train("reach", TINY | {"train.seed": 1}, folder=tmp_path, quiet=True)
    weights = checkpoints.load(other.checkpoint).weights
    assert not torch.equal(weights["mean.weight"], first["mean.weight"])


def test_training_counts_its_steps_and_logs_them(trained):
    assert trained.steps == 1024
    assert not trained.interrupted
    assert not trained.reached
    lines = (trained.checkpoint.parent / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["agent_steps"] == 1024


@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains(task, tmp_path):
    training = train(task, TINY, folder=tmp_path, quiet=True)
    stored = checkpoints.load(training.checkpoint)
    assert checkpoints.match(stored).name == task
    # so little training leads to no success, which would end an episode early
    played = evaluate(task, partial(MeanActor, stored.policy()), 2, num_threads=1)
    assert played.mean_length == (make_task(task).episode_length or 500)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_configuration_that_ends_returns_at_time_limits(task):
    options, own = default_options(task), default_options("own")
    assert options["env.truncation_as_terminal"] is True
    # without its file it would have the defaults
    assert options["train.total_timesteps"] != own["train.total_timesteps"]


def test_options_of_the_environment_reach_it(tmp_path):
    goal = {"target_pos": (0.25, 0.0, 0.75)}
    training = train("reach", TINY | {"env.goal": str(goal)}, folder=tmp_path, quiet=True)
    stored = checkpoints.load(training.checkpoint)
    assert stored.task == {"name": "reach", "assets": "native", "goal": goal, "options": None}
    assert checkpoints.match(stored) == make_task("reach", goal=goal)


def test_a_recurrent_policy_trains_and_acts(tmp_path):
    training = train("reach", TINY | {"rnn_name": "LSTMWrapper"}, folder=tmp_path, quiet=True)
    policy = checkpoints.load(training.checkpoint).policy()
    assert evaluate("reach", partial(MeanActor, policy), 3).episodes == 3


def test_importing_the_trainer_leaves_warnings_and_ctrl_c_alone():
    code = ("import signal; before = signal.getsignal(signal.SIGINT); import lerobot_puffer.train; "
            "assert signal.getsignal(signal.SIGINT) is before")
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ("error", None, RuntimeWarning, None, 0) not in warnings.filters
    has_cuda_kernel = torch._C._dispatch_has_kernel_for_dispatch_key(
        "pufferlib::compute_puff_advantage", "CUDA")
    assert has_cuda_kernel == pufferl.ADVANTAGE_CUDA


@pytest.mark.parametrize(("changes", "error"), [
    ({"train.learning_rat": 1}, "did you mean '--train.learning-rate'"),
    ({"train.total_timesteps": 10}, "train.total_timesteps must be at least one batch"),
    ({"train.total_timesteps": "many"}, "--train.total-timesteps must be a whole number"),
    ({"train.device": "cuda:7"}, "sees no GPU"),
    ({"train.minibatch_size": 10**6}, "PufferLib: "),
    ({"env.num_envs": 0}, "num_envs must be a whole number of at least 1"),
    ({"env.assets": "reference"}, "native assets only"),
    ({"rnn_name": "GRU"}, "rnn_name must be"),
    *(({f"train.{name}": 0}, f"--train.{name.replace('_', '-')} must be a whole number of at least "
       "1, got 0") for name in ("torch_threads", "checkpoint_interval", "check_episodes",
                                "batch_size", "bptt_horizon", "minibatch_size",
                                "max_minibatch_size", "update_epochs")),
    ({"train.minibatch_size": "auto"}, "--train.minibatch-size must be a whole number, got 'auto'"),
    ({"train.bptt_horizon": "auto"}, "--train.bptt-horizon auto needs --train.batch-size"),
    ({"train.seed": "1e999"}, "--train.seed must be a whole number, got inf"),
    ({"train.target_success": 1.5}, "--train.target-success must be within 0..1, got 1.5"),
    ({"train.target_success": -0.1}, "--train.target-success must be within 0..1, got -0.1"),
    ({"env.options": "control_rate"}, "--env.options: options of a task look like mode=delta"),
])
def test_options_that_do_not_fit_are_refused(changes, error, tmp_path):
    if "train.device" in changes and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=error):
        train("reach", TINY | changes, folder=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_options_are_read_as_pufferlib_writes_them():
    options = parse_options("reach", [
        "--train.learning-rate", "1e-4", "--train.total_timesteps=1e6", "--env.persistent",
        "--train.anneal-lr", "False", "--vec.num-workers", "2", "--tag", "first"])
    assert options["train.learning_rate"] == 1e-4
    assert options["train.total_timesteps"] == 1_000_000
    assert options["env.persistent"] is True
    assert options["train.anneal_lr"] is False
    assert options["vec.num_workers"] == 2
    assert options["tag"] == "first"
    # the rest are the task's, or those of a run that is resumed
    assert len(options) == 6 and options.items() <= load_options("reach", options).items()


@pytest.mark.parametrize("text", ["mode=delta,control_rate=50",
                                  "{'mode': 'delta', 'control_rate': 50}"])
def test_options_of_the_task_are_read_as_bench_and_eval_read_them(text):
    options = {"env.options": {"mode": "delta", "control_rate": 50}}
    assert parse_options("lift", ["--env.options", text]) == options
    assert parse_options("lift", [f"--env.options={text}"]) == options


def test_a_horizon_follows_from_the_batch(tmp_path):
    changes = {"train.bptt_horizon": "auto", "train.batch_size": 512}
    assert train("reach", TINY | changes, folder=tmp_path, quiet=True).steps == 1024


def test_checkpoints_are_tensors_and_basic_types(trained):
    content = torch.load(trained.checkpoint, weights_only=True)
    assert content["task"]["name"] == "reach"
    assert content["steps"] == 1024
    assert content["seed"] == 42
    assert content["versions"]["mujoco"] == "4.0.0"
    layout = content["interface"]["layout"]
    assert [part["name"] for part in layout][:2] == ["qpos", "qvel"]
    assert layout[1]["stop"] - layout[1]["start"] == 6
    assert content["shape"]["naction"] == 6


def test_a_checkpoint_of_another_layout_is_refused_with_the_difference(trained):
    stored = checkpoints.load(trained.checkpoint)
    task = make_task("reach")
    assert checkpoints.match(stored, task) is task
    changed = dataclasses.replace(
        task, action=Delta(step=0.2),
        observations=(Field(name="qpos", field="qpos", scale=2.0), *task.observations[2:],
                      Field(name="ctrl", field="ctrl")))
    with pytest.raises(CheckpointError) as error:
        checkpoints.match(stored, changed)
    for part in ("'qpos': scale [1.0] in the checkpoint, [2.0] in the task",
                 "'qvel': only in the checkpoint", "'ctrl': only in the task",
                 "'time': start", "action: Delta(step=0.05"):
        assert part in str(error.value)
    with pytest.raises(CheckpointError, match="of task 'reach', not of 'lerobot_reach'"):
        checkpoints.match(stored, "lerobot_reach")


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harmed"),)

    code = pickle.dumps(Harmful(), protocol=2)
    for name, content in (("text", b"hello"), ("empty", b""), ("code", code)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a checkpoint"):
            checkpoints.load(tmp_path / name)
    torch.save({"weights": {}}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        checkpoints.load(tmp_path / "other")
    assert not (tmp_path / "harmed").exists()


def test_the_newest_checkpoint_is_found(trained, tmp_path):
    with pytest.raises(CheckpointError, match="lerobot-puffer train reach"):
        checkpoints.find_newest("reach", tmp_path)
    for age, name in enumerate(("b", "a", "c")):
        path = tmp_path / "reach" / name / "policy.pt"
        checkpoints.save(path, checkpoints.load(trained.checkpoint))
        os.utime(path, (1000 - age, 1000 - age))
    assert checkpoints.find_newest("reach", tmp_path).parent.name == "b"


@pytest.mark.parametrize(("task", "rate"), [
    ("reach", 0.95), ("lift", 0.95), ("push", 0.85), ("pick_place", 0.9), ("stack", 0.8)])
def test_a_checkpoint_that_comes_with_the_package_acts(task, rate, tmp_path):
    path = checkpoints.find_trained(task, tmp_path)
    assert path == checkpoints.packaged(task)
    stored = checkpoints.load(path)
    policy = checkpoints.match(stored, task) and stored.policy()
    # lower than of many episodes by three standard deviations or more
    assert evaluate(task, partial(MeanActor, policy), 100).success_rate >= rate


def test_a_task_without_a_checkpoint_says_how_to_get_one(tmp_path):
    with pytest.raises(CheckpointError, match="lerobot-puffer train lerobot_reach"):
        checkpoints.find_trained("lerobot_reach", tmp_path)


def test_evaluation_plays_the_asked_episodes_whatever_the_number_of_environments(trained):
    actor = partial(MeanActor, checkpoints.load(trained.checkpoint).policy())
    for episodes, num_envs in ((5, 2), (3, 128), (4, 4)):
        result = evaluate("reach", actor, episodes, num_envs=num_envs)
        assert result.episodes == episodes
        assert 5 <= result.mean_length <= 150
    assert evaluate("reach", actor, 6, seed=1) == evaluate("reach", actor, 6, seed=1)


def test_the_success_rates_interval_is_wilsons():
    for successes in (0, 49, 50):
        # its ends are where (x - p)^2 = z^2 x (1 - x) / n
        p, n, z = successes / 50, 50, 1.959964
        ends = sorted(np.roots([1 + z * z / n, -2 * p - z * z / n, p * p]))
        assert np.allclose(Evaluation(50, successes, 0, 0).interval, ends, atol=1e-12)


def test_the_actor_forgets_only_the_ended_episodes():
    policy = make_policy(PolicyShape(4, 2, {"hidden_size": 8}, {"hidden_size": 8}))
    actor = MeanActor(policy, 3)
    actor(np.ones((3, 4), np.float32))
    actor.forget(np.array([True, False, True]))
    assert (actor.state["lstm_h"][[0, 2]] == 0).all()
    assert (actor.state["lstm_h"][1] != 0).any()


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    command = [sys.executable, "-u", "-m", "lerobot_puffer.cli", "train", "reach",
               "--train.total-timesteps", "1000000000", "--train.target-success", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert "steps" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Ctrl-C: stopping after this update" in out
    assert "Traceback" not in err
    stored = checkpoints.load(checkpoints.find_newest("reach", tmp_path / "runs"))
    assert stored.steps > 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_example_of_an_own_task_trains(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import own_task

    (task,) = (value for value in vars(own_task).values() if isinstance(value, Task))
    training = train(task, TINY, folder=tmp_path, quiet=True)
    stored = checkpoints.load(training.checkpoint)
    assert checkpoints.match(stored, task) is task
    with pytest.raises(CheckpointError, match="pass the Task itself"):
        checkpoints.match(stored)
    lines = (EXAMPLES / "own_task.py").read_text().splitlines()
    assert len(lines) <= 60


def test_the_benchmark_opens_its_file_before_it_trains(tmp_path, monkeypatch):
    training = pytest.importorskip("training")
    file = tmp_path / "results" / "reach.jsonl"

    def stopped(*args, **kwargs):
        assert file.is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stopped)
    monkeypatch.setattr(sys, "argv", ["training.py", "--task", "reach", "--jsonl", str(file)])
    with pytest.raises(KeyboardInterrupt):
        training.main()
