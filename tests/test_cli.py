"""The command line as a stranger types it."""

import subprocess
import sys

import pytest

import lerobot_puffer
from lerobot_puffer.cli import main


def run(capsys, *arguments):
    """Exit status, stdout and stderr of `lerobot-puffer ARGUMENTS`."""
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_no_arguments_print_the_help(capsys):
    status, out, _ = run(capsys)
    assert status == 0
    for command in ("tasks", "bench", "train", "eval", "demo"):
        assert command in out


def test_the_version_is_the_packages(capsys):
    assert run(capsys, "--version") == (0, f"lerobot_puffer {lerobot_puffer.__version__}\n", "")


def test_tasks_lists_every_task_with_its_layout(capsys):
    status, out, _ = run(capsys, "tasks")
    assert status == 0
    for name, task in (lerobot_puffer.GYM_IDS | lerobot_puffer.ALOHA_IDS).items():
        assert f"{task}   lerobot_puffer/{name}" in out
    assert "gripper_pos" in out
    assert "options control_rate=25\n" in out and "options none\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "invalid choice: 'fly'"),
        (("tasks", "--loud"), "unrecognized arguments: --loud"),
        (("train",), "which task?"),
        (("train", "raech"), "unknown task 'raech'; did you mean 'reach'?"),
        (("eval", "reach", "nowhere.pt"), "no checkpoint at nowhere.pt"),
        (("eval", "raech"), "unknown task 'raech'; did you mean 'reach'?"),
        (("eval", "Lift-v0"), "as a Gymnasium id it is the task 'lift'"),
        (("bench", "--task", "raech"), "invalid choice: 'raech'"),
        (("bench", "--num-envs", "0"), "whole numbers from 1 on"),
        (("bench", "--task", "lift", "--options", "control_rate=30"), "must be 25 or 50 Hz"),
        (("bench", "--task", "lift", "--options", "mode=delta"), "has no option 'mode'"),
    ],
)
def test_mistakes_end_with_one_line_and_status_2(capsys, arguments, message):
    if arguments[0] in ("train", "eval"):
        pytest.importorskip("torch")
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert message in err
    assert not out
    assert "Traceback" not in err


def test_unknown_training_options_list_close_ones(capsys):
    pytest.importorskip("pufferlib")
    status, _, err = run(capsys, "train", "reach", "--train.learning-rat", "0.1")
    assert status == 2
    assert "did you mean '--train.learning-rate'" in err
    status, _, err = run(capsys, "train", "reach", "--train.seed", "x")
    assert status == 2
    assert "--train.seed must be a whole number, got 'x'" in err


def test_train_help_lists_pufferlibs_options(capsys):
    pytest.importorskip("pufferlib")
    status, out, _ = run(capsys, "train", "reach", "--help")
    assert status == 0
    assert "--train.learning-rate" in out and "--vec.backend" in out


@pytest.mark.no_sanitizer
def test_a_missing_extra_is_named():
    code = ("import sys; sys.modules['pufferlib'] = None\n"
            "import importlib.util as u; find = u.find_spec\n"
            "from lerobot_puffer import cli, options\n"
            "options.find_spec = lambda name: None\n"
            "sys.exit(cli.main(['train', 'reach']))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 2
    assert "pip install 'lerobot_puffer[train]'" in done.stderr


@pytest.mark.no_sanitizer
def test_the_native_environment_names_the_extra_that_it_lacks():
    code = ("import sys; sys.modules['pufferlib'] = None\n"
            "from lerobot_puffer import LeRobotPuffer\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=False)
    assert "LeRobotPuffer needs pufferlib: pip install 'lerobot_puffer[puffer]'" in done.stderr
