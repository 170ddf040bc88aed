"""`lerobot-puffer demo`: benchmark, train reach until it succeeds, evaluate, film, sum up."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from lerobot_puffer import checkpoint as checkpoints
from lerobot_puffer.bench import measure
from lerobot_puffer.evaluate import evaluate
from lerobot_puffer.policy import MeanActor
from lerobot_puffer.rendering import RenderError
from lerobot_puffer.tasks import make_task
from lerobot_puffer.train import train

TASK = "reach"
TARGET_SUCCESS = 0.99
EPISODES = 100


def demo(out: str | Path = "runs/demo", seed: int = 1) -> int:
    """Run the demonstration and write `summary.json`, `policy.pt` and `reach.mp4` to a folder.

    Returns:
      exit status: 0 if the policy succeeds in at least 90 of 100 fresh episodes, else 1.
    """
    out = Path(out)
    print(f"1/3  benchmark of {TASK}, a few seconds", flush=True)
    speed = measure(TASK, seconds=4.0)
    print(f"2/3  training {TASK} until it succeeds", flush=True)
    training = train(TASK, {"train.seed": seed, "train.target_success": TARGET_SUCCESS},
                     folder=out)
    if training.interrupted:
        print(f"stopped; the checkpoint is {training.checkpoint}")
        return 130
    print(f"3/3  {EPISODES} fresh episodes, and a video", flush=True)
    actor = partial(MeanActor, checkpoints.load(training.checkpoint).policy())
    result = evaluate(TASK, actor, EPISODES)
    video = out / f"{TASK}.mp4"
    try:
        from lerobot_puffer.video import film

        film(make_task(TASK), actor, video)
        filmed = str(video)
    except (RenderError, ModuleNotFoundError) as error:
        filmed = f"none: {error}"
    env_rate, raw_rate = speed["env_steps_per_second"], speed["raw_steps_per_second"]
    summary = {
        "success_rate": result.success_rate,
        "train_seconds": training.seconds,
        "train_steps": training.steps,
        "env_steps_per_second": env_rate,
        "raw_steps_per_second": raw_rate,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"""
{TASK} with {speed["num_envs"]} environments on {speed["num_threads"]} threads
  environment  {env_rate:>11,.0f} steps/s, {env_rate / raw_rate:.2f} of raw MuJoCo
  training     {training.steps:>11,} steps in {training.seconds:.1f} s
  success      {result.successes:>11} of {result.episodes} fresh episodes
checkpoint  {training.checkpoint}
video       {filmed}
summary     {out / "summary.json"}""")
    return 0 if result.success_rate >= 0.9 else 1
