"""Environment steps per second of so101-nexus 0.10's tasks and of ours, in turns.

    python benchmarks/so101_nexus.py --json results/so101_nexus.json

Makes .cache/venvs/so101-nexus with Python 3.12, which that package needs; where none is found, the
variable PYTHON says where it is. Each of its tasks is first swept briefly over what its
documentation offers, one environment, Gymnasium's vectors and its mjbatch backend, and the fastest
of each kind then runs against ours.

Both sides have its control rate and substeps (50 Hz, 4 of 5 ms), actions that move held joint
targets, drawn uniformly beforehand, and episodes of 300 steps with the resets inside the timed
steps. compare.py has what the comparisons share.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import Any

from compare import (
    OURS,
    Setting,
    Side,
    Stepper,
    Workers,
    add_arguments,
    open_native,
    race,
    report,
    serve,
    threads_text,
    uniform,
    workers,
)

NEXUS = Side("so101-nexus", ("so101-nexus[mjbatch]==0.10.0", "mujoco<4"), pythons=("3.12",),
             shown=("so101-nexus", "mjbatch", "mujoco", "gymnasium", "numpy"))
# heading, its environment, the same on its batch backend, ours
TASKS = (
    ("Lift", "MuJoCoPickLift-v1", "MJBatchPickLift-v1", "lift"),
    ("Stack", "MuJoCoStackCube-v1", "MJBatchStackCube-v1", "stack"),
)
# its mode that moves a held target, as our delta actions do
CONTROL = "pd_joint_target_delta_pos"
EPISODE = 300


def open_nexus(num_envs: int, env_id: str, kind: str, **options: Any) -> Stepper:
    """Environments of so101-nexus; with one of kind "single", reset by hand as it does not itself.

    Args:
      num_envs: how many.
      env_id: of Gymnasium's registry.
      kind: "single", "sync", "async" or "mjbatch".
      options: of its batch backend.
    """
    import gymnasium
    import so101_nexus.mjbatch
    import so101_nexus.mujoco  # noqa: F401  both register their ids

    options |= {"control_mode": CONTROL, "max_episode_steps": EPISODE}
    actions = uniform(num_envs, [-1.0] * 6, 1.0)
    if kind == "single":
        env = gymnasium.make(env_id, **options)
        env.reset(seed=0)

        def step(rows: Any) -> None:
            ended = env.step(rows[0])[2:4]
            if any(ended):
                env.reset()

        return Stepper(step, actions, None, env.close)
    if kind == "mjbatch":
        envs = gymnasium.make_vec(env_id, num_envs=num_envs, **options)
    else:
        make = partial(gymnasium.make, env_id, **options)
        vector = {"sync": gymnasium.vector.SyncVectorEnv,
                  "async": gymnasium.vector.AsyncVectorEnv}[kind]
        envs = vector([make] * num_envs)
    envs.reset(seed=0)
    # all have the same age: begin in the middle of the episode
    return Stepper(envs.step, actions, None, envs.close, settle=EPISODE // 2)


def nexus_clock(num_envs: int, env_id: str) -> dict[str, float]:
    """Seconds of a `mj_step` of one of its environments, and how many a step makes."""
    import gymnasium
    import so101_nexus.mujoco  # noqa: F401  registers its ids

    env = gymnasium.make(env_id).unwrapped
    timestep = env.model.opt.timestep
    found = {"timestep": timestep, "substeps": round(env.control_dt / timestep)}
    env.close()
    return found


def open_ours(num_envs: int, num_threads: int, task: str, options: dict) -> Stepper:
    """`LeRobotPuffer`."""
    from lerobot_puffer.tasks import make_task

    return open_native(num_envs, num_threads, make_task(task, options=options), EPISODE)


OPENERS = {"nexus": open_nexus, "clock": nexus_clock, "ours": open_ours}


def candidates(heading: str, env_id: str, batch_id: str, args: argparse.Namespace
               ) -> dict[str, list[Setting]]:
    """The ways to run one of its tasks, by kind."""
    def setting(label: str, num_envs: int, kind: str, name: str = env_id, **options: Any
                ) -> Setting:
        return Setting(heading, NEXUS.name, f"{name}, {label}", "nexus", num_envs,
                       {"env_id": name, "kind": kind} | options)

    return {
        "single": [setting("one environment", 1, "single")],
        "vector": [
            *(setting("SyncVectorEnv", n, "sync") for n in (4, 16)),
            *(setting("AsyncVectorEnv", n, "async")
              for n in sorted({args.threads, 2 * args.threads, 8 * args.threads})),
        ],
        "mjbatch": [
            setting(threads_text(count), n, "mjbatch", batch_id, num_threads=count)
            for n in (4, 16, 64) for count in sorted({1, args.threads})
        ],
    }


def best(running: Workers, kind: str, settings: list[Setting], seconds: float,
         swept: list[dict]) -> Setting:
    """The fastest of the settings; the rates go to `swept`."""
    if len(settings) == 1:
        return settings[0]
    # closed after the block: this many open environments would use memory and caches
    rates = [running.ask(replace(setting, reopen=True), seconds) for setting in settings]
    for setting, rate in zip(settings, rates, strict=True):
        swept.append({"table": setting.table, "kind": kind, "label": setting.label,
                      "num_envs": setting.num_envs, "steps_per_second": round(rate)})
        print(f"sweep {setting.label}, {setting.num_envs}: {rate:,.0f}", file=sys.stderr)
    return settings[rates.index(max(rates))]


def main() -> None:
    """Run the comparison, or one of its workers."""
    if serve((NEXUS,), OPENERS):
        return
    from lerobot_puffer.arguments import task_options
    from lerobot_puffer.tasks import make_task

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", nargs=len(TASKS), metavar="TASK",
                        default=[task for *_, task in TASKS],
                        help="our tasks, one for each of its")
    parser.add_argument("--options", type=task_options, default={"control_rate": 50},
                        metavar="NAME=VALUE,...", help="of our tasks")
    parser.add_argument("--num-envs", type=int, default=256, help="ours")
    add_arguments(parser)
    args = parser.parse_args()
    try:
        ours = [make_task(task, options=args.options) for task in args.ours]
    except ValueError as error:
        parser.error(str(error))
    settings: list[Setting] = []
    swept: list[dict] = []
    notes = []
    with workers(__file__, (NEXUS,)) as running:
        for (heading, env_id, batch_id, _), task in zip(TASKS, ours, strict=True):
            clock = running.ask(Setting(heading, NEXUS.name, "", "clock", 1, {"env_id": env_id}))
            own = {"timestep": task.scene.physics.timestep, "substeps": task.substeps}
            if own != clock:
                raise SystemExit(f"both sides need the same clock: {env_id} has {clock}, "
                                 f"{task.name} has {own}; --options chooses it")
            notes.append(f"{heading}: {clock['substeps']} substeps of {clock['timestep']:g} s, "
                         f"{1 / clock['timestep'] / clock['substeps']:g} Hz, on both sides.")
            for kind, ways in candidates(heading, env_id, batch_id, args).items():
                settings.append(best(running, kind, ways, args.seconds, swept))
            settings += [
                Setting(heading, OURS, f"ours, {task.name}, {threads_text(count)}", "ours",
                        args.num_envs, {"task": task.name, "options": args.options,
                                        "num_threads": count})
                for count in sorted({1, args.threads})
            ]
        rows = race(running, settings, args.repeats, args.seconds)
    report(args, running.versions, {"rows": rows, "swept": swept, "notes": notes})


if __name__ == "__main__":
    main()
