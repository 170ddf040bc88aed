"""`lerobot-puffer`: tasks, bench, train, eval, demo, doctor.

Each subcommand's work is in the file of its name; a user's mistake ends with one line and exit
status 2.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import lerobot_puffer
from lerobot_puffer.arguments import task_options

if TYPE_CHECKING:
    from lerobot_puffer.evaluate import Actor
    from lerobot_puffer.terms import Task

# module that a subcommand may miss -> the extra that has it
_EXTRAS = {
    "pufferlib": "train", "torch": "train", "rich": "train", "rich_argparse": "train",
    "tensorboard": "tensorboard", "ray": "ray", "wandb": "train", "mink": "expert",
    "imageio": "render", "imageio_ffmpeg": "render", "matplotlib": "render", "tqdm": "render",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    # torch's remark on a package that pufferlib's dependencies install
    warnings.filterwarnings("ignore", message="The pynvml package is deprecated")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(arguments)
    if not arguments:
        parser.print_help()
        return 0
    args = parser.parse_args(arguments)
    try:
        return _COMMANDS[args.command](args)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"lerobot-puffer {args.command} needs {error.name}: "
              f"pip install 'lerobot_puffer[{extra}]'", file=sys.stderr)
    except (ValueError, OSError, _render_error()) as error:
        print(f"lerobot-puffer {args.command}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 2


def _render_error() -> type[Exception]:
    """The error of a machine that cannot draw, where something has tried to."""
    rendering = sys.modules.get("lerobot_puffer.rendering")
    return rendering.RenderError if rendering else ValueError


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lerobot-puffer",
        description="Reinforcement-learning environments for the SO-101 and ALOHA, on PufferLib "
                    "and MuJoCo.")
    parser.add_argument("--version", action="version",
                        version=f"lerobot_puffer {lerobot_puffer.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("tasks", help="list the tasks with their spaces")

    bench = commands.add_parser(
        "bench", help="steps per second against raw MuJoCo, and the sweeps",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if arguments[:1] == ["bench"]:
        from lerobot_puffer.bench import add_arguments

        add_arguments(bench)

    train = commands.add_parser(
        "train", help="train a policy with PuffeRL",
        usage="lerobot-puffer train TASK [--train.learning-rate 0.001 ...]",
        epilog="lerobot-puffer train TASK --help lists the options with the task's defaults")
    train.add_argument("task", nargs="?")
    train.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    evaluate = commands.add_parser(
        "eval", help="success of a checkpoint or an expert on fresh episodes, and a video",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    evaluate.add_argument("task")
    evaluate.add_argument("checkpoint", nargs="?",
                          help="policy.pt or best.pt of a run; by default the newest policy.pt "
                               "under runs/, else the package's own")
    evaluate.add_argument("--policy", choices=("checkpoint", "expert"), default="checkpoint")
    evaluate.add_argument("--assets", choices=("native", "reference"), default="native",
                          help="of an expert's task; a checkpoint names its own")
    evaluate.add_argument("--options", type=task_options, default={}, metavar="NAME=VALUE,...",
                          help="of an expert's task")
    evaluate.add_argument("--episodes", type=int, default=100)
    evaluate.add_argument("--num-envs", type=int, default=128)
    evaluate.add_argument("--seed", type=int, default=1_000_000)
    evaluate.add_argument("--randomize", metavar="PRESET",
                          help="play episodes that differ from the nominal task")
    evaluate.add_argument("--video", metavar="FILE", help="write an MP4 of a few episodes")
    evaluate.add_argument("--video-episodes", type=int, default=4)
    evaluate.add_argument("--camera", help="the task's own by default")
    evaluate.add_argument("--width", type=int, default=640)
    evaluate.add_argument("--height", type=int, default=480)

    demo = commands.add_parser(
        "demo", help="benchmark, train reach, evaluate and film it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    demo.add_argument("--out", default="runs/demo", help="folder of the results")
    demo.add_argument("--seed", type=int, default=1)

    commands.add_parser("doctor", help="what is installed, what draws, what is missing")
    return parser


def _tasks(args: argparse.Namespace) -> int:
    from lerobot_puffer.compile import compile_task
    from lerobot_puffer.tasks import REGISTRY, make_task, option_defaults

    names = lerobot_puffer.GYM_IDS | lerobot_puffer.ALOHA_IDS
    ids = {task: f"   lerobot_puffer/{name}" for name, task in names.items()}
    for name in REGISTRY:
        compiled = compile_task(make_task(name))
        task, tables = compiled.task, compiled.tables
        options = option_defaults(name).items()
        limit = f"{task.episode_length} steps" if task.episode_length else "no end"
        print(f"{name}{ids.get(name, '')}\n"
              f"  {(REGISTRY[name].__doc__ or '').strip().splitlines()[0]}\n"
              f"  {1 / compiled.control_timestep:g} Hz, {limit}\n"
              f"  options {', '.join(f'{key}={value}' for key, value in options) or 'none'}\n"
              f"  action ({tables.naction},) in -1..1, {type(task.action).__name__.lower()}\n"
              f"  observation ({tables.nobs},):")
        width = max(len(entry.name) for entry in compiled.layout)
        for entry in compiled.layout:
            print(f"    {entry.start:3d}:{entry.start + entry.size:<3d} {entry.name:<{width}}  "
                  f"{entry.low:g} .. {entry.high:g}  {entry.unit}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    from lerobot_puffer.bench import run

    run(args)
    return 0


def _train(args: argparse.Namespace) -> int:
    from lerobot_puffer.options import parse_options
    from lerobot_puffer.tasks import make_task

    if args.task is None:
        raise ValueError("which task? lerobot-puffer tasks lists them")
    make_task(args.task)
    changes = parse_options(args.task, args.options)
    from lerobot_puffer.train import train

    training = train(args.task, changes)
    if training.rank:
        return 0
    success = "" if training.success_rate is None else f", success {training.success_rate:.3f}"
    share = training.rollout_seconds / (training.rollout_seconds + training.learn_seconds)
    print(f"{'stopped' if training.interrupted else 'trained'}: {training.steps:,} steps in "
          f"{training.seconds:.1f} s ({share:.0%} rollout){success}\n"
          f"checkpoint {training.checkpoint}, best.pt beside it\n"
          f"judge it: lerobot-puffer eval {args.task} {training.checkpoint}")
    return 130 if training.interrupted else 0


def _eval(args: argparse.Namespace) -> int:
    source, task, actor = (_expert if args.policy == "expert" else _checkpoint)(args)
    from lerobot_puffer.evaluate import evaluate
    from lerobot_puffer.tasks import make_task

    if args.randomize:
        task = make_task(task, randomize=args.randomize)
    result = evaluate(task, actor, args.episodes, args.seed, args.num_envs)
    print(f"{source}\n{result}")
    if args.video:
        from lerobot_puffer.video import film

        camera = args.camera
        if camera is not None and camera.lstrip("-").isdigit():
            camera = int(camera)
        frames = film(task, actor, args.video, args.video_episodes, args.seed, camera,
                      args.width, args.height)
        print(f"video {args.video} ({frames} frames)")
    return 0


def _checkpoint(args: argparse.Namespace) -> tuple[str, Task, Callable[[int], Actor]]:
    """What to print about a trained policy, its task, and what makes its actors."""
    if args.assets != "native" or args.options:
        raise ValueError("--assets and --options are of --policy expert; a checkpoint has its own")
    from lerobot_puffer import checkpoint as checkpoints
    from lerobot_puffer.policy import MeanActor
    from lerobot_puffer.tasks import make_task

    make_task(args.task)
    path = args.checkpoint or checkpoints.find_trained(args.task)
    stored = checkpoints.load(path)
    return (f"checkpoint {path}", checkpoints.match(stored, args.task),
            partial(MeanActor, stored.policy()))


def _expert(args: argparse.Namespace) -> tuple[str, Task, Callable[[int], Actor]]:
    """As `_checkpoint`, of a scripted expert."""
    if args.checkpoint is not None:
        raise ValueError(f"--policy expert takes no checkpoint, got {args.checkpoint}")
    from lerobot_puffer.experts import Expert
    from lerobot_puffer.tasks import make_task

    task = make_task(args.task, args.assets, options=args.options)
    return f"expert on {args.assets} assets", task, partial(Expert, task)


def _demo(args: argparse.Namespace) -> int:
    from lerobot_puffer.demo import demo

    return demo(args.out, args.seed)


def _doctor(args: argparse.Namespace) -> int:
    from lerobot_puffer.doctor import doctor

    return doctor()


_COMMANDS = {"tasks": _tasks, "bench": _bench, "train": _train, "eval": _eval, "demo": _demo,
             "doctor": _doctor}

if __name__ == "__main__":
    sys.exit(main())
