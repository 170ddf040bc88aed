"""The options of training: PufferLib's default.ini, then ours, then the task's, then the user's.

Names are PufferLib's own: `train.learning_rate` in Python, `--train.learning-rate` on the command
line. `train.py` hands them to PuffeRL. Nothing here imports torch or pufferlib.
"""

from __future__ import annotations

import argparse
import ast
import configparser
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lerobot_puffer.arguments import check_count, task_options
from lerobot_puffer.names import close

# values of several types: PufferLib's files say which
Options = dict[str, Any]

# options without a section: those of PufferLib that we have, and resume and tensorboard
_LOOSE: Options = {
    "load_model_path": None,
    # the folder of a run to go on with, or "latest"
    "resume": None,
    "tensorboard": False,
    "rnn_name": None,
    "tag": None,
    "wandb": False,
    "wandb_project": "lerobot_puffer",
    "wandb_group": "debug",
    "neptune": False,
    "neptune_name": "pufferai",
    "neptune_project": "ablations",
}
# [base] chooses among PufferLib's environments, [sweep] belongs to its own command
_SECTIONS = ("vec", "env", "policy", "rnn", "train")
# at least 1; "auto" where `_convert` lets it through
_COUNTS = ("torch_threads", "checkpoint_interval", "check_episodes", "batch_size", "bptt_horizon",
           "minibatch_size", "max_minibatch_size", "update_epochs")


def default_options(task: str) -> Options:
    """Every option by its dotted name, with its value for a task.

    Args:
      task: a name; without `config/<task>.ini`, as for a user's own task, the general defaults.

    Raises:
      ModuleNotFoundError: pufferlib is not installed.
    """
    spec = find_spec("pufferlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'pufferlib'", name="pufferlib")
    parser = configparser.ConfigParser()
    parser.read(Path(spec.submodule_search_locations[0]) / "config" / "default.ini")
    ours = files("lerobot_puffer") / "config"
    for name in ("default", task):
        file = ours / f"{name}.ini"
        if file.is_file():
            parser.read_string(file.read_text(), source=str(file))
    options = dict(_LOOSE)
    for section in _SECTIONS:
        for key, text in parser[section].items():
            options[f"{section}.{key}"] = _literal(text)
    return options


def load_options(task: str, changes: Mapping[str, object] | None = None) -> Options:
    """The options of a task with changes, e.g. `{"train.total_timesteps": 20_000}`.

    Values may be texts, as they come from a command line; `env.options` also NAME=VALUE,...

    Raises:
      ValueError: an option is unknown (the message lists close matches) or its value does not fit.
    """
    options = default_options(task)
    for given, value in (changes or {}).items():
        name = given.replace("-", "_")
        if name not in options:
            raise ValueError(f"unknown option {_flag(name)}"
                             + close(_flag(name), map(_flag, options)))
        options[name] = _convert(name, value, options[name])
    _check(options)
    return options


def parse_options(task: str, arguments: Sequence[str]) -> Options:
    """The options that a command line changes; `--help` prints all of the task's and exits.

    Raises:
      ValueError: as `load_options`, and where an argument is no option or a value is missing.
    """
    if "-h" in arguments or "--help" in arguments:
        _describe(task).print_help()
        raise SystemExit(0)
    switches = {name for name, value in default_options(task).items() if isinstance(value, bool)}
    changes: Options = {}
    rest = list(arguments)
    while rest:
        flag, equals, text = rest.pop(0).partition("=")
        if not flag.startswith("--"):
            raise ValueError(f"options look like --train.seed 1, got {flag!r}")
        name = flag[2:].replace("-", "_")
        if not equals:
            if rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            elif name in switches:
                text = "True"
            elif name in default_options(task):
                raise ValueError(f"{flag} needs a value")
        changes[name] = text
    options = load_options(task, changes)
    return {name: options[name] for name in changes}


def section(options: Options, name: str) -> Options:
    """The options of one section, without its name in front."""
    return {key.partition(".")[2]: value for key, value in options.items()
            if key.startswith(f"{name}.")}


def _describe(task: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"lerobot-puffer train {task}", add_help=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=40),
        usage="%(prog)s [--option VALUE ...]",
        description="Train with PuffeRL. The options are PufferLib's; [default for this task].")
    groups = {name: parser.add_argument_group(name) for name in ("general", *_SECTIONS)}
    for name, value in default_options(task).items():
        first, dot, _ = name.partition(".")
        groups[first if dot else "general"].add_argument(
            _flag(name), metavar=type(value).__name__ if value is not None else "value",
            help=f"[{value}]".replace("%", "%%"))
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check(options: Options) -> None:
    """Refuse numbers with which a training would fail later, and less clearly."""
    for name in (f"train.{count}" for count in _COUNTS):
        if options[name] != "auto":
            check_count(_flag(name), options[name], 1)
    if options["train.batch_size"] == options["train.bptt_horizon"] == "auto":
        raise ValueError("--train.bptt-horizon auto needs --train.batch-size, got auto for both")
    target = options["train.target_success"]
    if not 0 <= target <= 1:
        raise ValueError(f"--train.target-success must be within 0..1, got {target!r}")


def _convert(name: str, value: Any, default: Any) -> Any:
    """The value in the type of the default."""
    value = _literal(value) if isinstance(value, str) else value
    if name == "env.options" and isinstance(value, str):
        try:
            return task_options(value)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{_flag(name)}: {error}") from error
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if default is None or default == "auto" or (name, value) == ("train.bptt_horizon", "auto"):
        return value
    if isinstance(default, bool):
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
    elif isinstance(default, int) and number and float(value).is_integer():
        return int(value)
    elif isinstance(default, float) and number:
        return float(value)
    elif isinstance(default, str):
        return str(value)
    kind = {bool: "True or False", int: "a whole number", float: "a number"}[type(default)]
    raise ValueError(f"{_flag(name)} must be {kind}, got {value!r}")
