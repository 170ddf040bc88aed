"""Training from scratch on several seeds: steps, wall time, success on fresh episodes.

    python benchmarks/training.py --task lift --seeds 1,2,3,4,5 --jsonl results/lift.jsonl

prints a Markdown table and appends a line a seed to the file. Each seed is
`lerobot-puffer train TASK --train.seed SEED`, then fresh episodes with the mean action. Checkpoints
go to runs/; `--best FILE` copies the best one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from statistics import fmean

from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.bench import cpu
from lerobot_puffer.evaluate import evaluate
from lerobot_puffer.options import parse_options
from lerobot_puffer.policy import MeanActor
from lerobot_puffer.train import train


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="lift")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--jsonl", type=Path)
    parser.add_argument("--best", type=Path, help="where to copy the best checkpoint")
    args, options = parser.parse_known_args()
    changes = parse_options(args.task, options)
    for path in filter(None, (args.jsonl, args.best)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if args.jsonl is not None:
        # a file that cannot be written is to cost no training
        args.jsonl.open("a").close()
    command = " ".join(["lerobot-puffer", "train", args.task, *options])
    print("| seed | steps | wall time | environment's share | success |\n" + 5 * "|---:" + "|")
    lines: list[dict] = []
    best: tuple[float, Path] | None = None
    for seed in map(int, args.seeds.split(",")):
        run = train(args.task, changes | {"train.seed": seed}, quiet=True)
        stored = checkpoints.load(run.checkpoint)
        task = checkpoints.match(stored, args.task)
        result = evaluate(task, partial(MeanActor, stored.policy()), args.episodes)
        rate = result.success_rate
        with (run.checkpoint.parent / "log.jsonl").open(encoding="utf-8") as log:
            *_, last = map(json.loads, log)
        # training's rate over the one of the environment alone, on the same states
        share = last["performance/env"] / (last["performance/eval"] + last["performance/train"])
        if best is None or rate > best[0]:
            best = rate, run.checkpoint
        lines.append({
            "task": args.task, "seed": seed, "train_steps": run.steps,
            "train_seconds": round(run.seconds, 1),
            "rollout_seconds": round(run.rollout_seconds, 1),
            "learn_seconds": round(run.learn_seconds, 1), "environment_share": round(share, 3),
            "reached_target": run.reached,
            "episodes": args.episodes, "success_rate": rate,
            "mean_length": round(result.mean_length, 1), "cpu": cpu(), "cpus": os.cpu_count(),
            "versions": stored.versions, "command": f"{command} --train.seed {seed}"})
        print(f"| {seed} | {run.steps:,} | {run.seconds:.0f} s | {share:.2f} | {rate:.3f} |",
              flush=True)
        if args.jsonl is not None:
            with args.jsonl.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    rates = [line["success_rate"] for line in lines]
    print(f"\nmean {fmean(rates):.3f}, lowest {min(rates):.3f} on {args.episodes} fresh episodes "
          f"each; {cpu()}; `{' '.join(['python', *sys.argv])}`")
    if args.best is not None and best is not None:
        shutil.copy(best[1], args.best)


if __name__ == "__main__":
    main()
