"""Episode statistics: the core's sums as the dict of means that trainers log."""

from __future__ import annotations

from lerobot_puffer.compile import CompiledTask


def means(sums: dict | None, compiled: CompiledTask) -> dict[str, float]:
    """Means over the `n` episodes that ended; empty if none did.

    `score` is the success rate where the task has a success, else the episode return.
    """
    if sums is None:
        return {}
    n = sums["n"]
    log = {
        "score": 0.0,
        "episode_return": sums["episode_return"] / n,
        "episode_length": sums["episode_length"] / n,
        "success_rate": sums["success"] / n,
        "physics_resets": sums["physics_resets"],
        "n": n,
    }
    log["score"] = log["success_rate" if compiled.task.success else "episode_return"]
    for name, total in zip(compiled.reward_names, sums["terms"], strict=True):
        log[f"reward_{name}"] = float(total) / n
    return log
