"""Environment steps per second with pictures as observations: gym-aloha 0.1.5 and this package.

gym-aloha draws three pictures of 640x480 a step, whatever is asked for; ours draws one, on its
scene and on our own. Then ours by size of the picture, cameras and processes, and what share of a
picture is OpenGL's: the rest is copying the state, kinematics, and MuJoCo's list of geoms.

    .venv/bin/python benchmarks/rendering.py --json runs/rendering.json

MUJOCO_GL chooses what draws (egl by default). Actions are those of a scripted hand-over.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from compare import OURS, Setting, Stepper, add_arguments, report, serve, workers
from reference import GYM_ALOHA, scripted

TASK = "aloha_transfer_cube"
CAMERAS = ("top", "angle", "front_close")
SIZES = ((84, 84), (128, 128), (224, 224), (640, 480))
WRAPPER = "One environment, camera `top`, 640x480"


def open_wrapper(num_envs: int) -> Stepper:
    """One environment of gym-aloha with its pictures."""
    import gym_aloha  # noqa: F401  registers its ids
    import gymnasium

    env = gymnasium.make("gym_aloha/AlohaTransferCube-v0", obs_type="pixels_agent_pos")
    env.reset(seed=0)
    return Stepper(lambda rows: env.step(rows[0]), scripted(1), env.reset, env.close)


def open_pixels(num_envs: int, processes: int, **options: Any) -> Stepper:
    """`LeRobotPuffer` with pictures, in this process or under pufferlib.vector's Multiprocessing.
    """
    from lerobot_puffer import LeRobotPuffer

    arguments = {"task": TASK, "num_envs": num_envs // processes, "obs_type": "pixels"} | options
    if processes == 1:
        env = LeRobotPuffer(**arguments)
        env.reset(seed=0)
        return Stepper(env.step, scripted(num_envs), None, env.close)
    import pufferlib.vector as vector

    envs = vector.make(LeRobotPuffer, env_kwargs=arguments, num_envs=processes,
                       num_workers=processes, backend=vector.Multiprocessing)
    envs.reset(seed=0)
    # pufferlib refuses actions outside their space
    return Stepper(envs.step, scripted(num_envs).clip(-1, 1), None, envs.close)


def opengl_share(num_envs: int, width: int, height: int) -> dict[str, Any]:
    """Share of OpenGL in the time of a picture, and what draws."""
    import mujoco
    import numpy as np

    from lerobot_puffer import LeRobotPuffer
    from lerobot_puffer.rendering import Pictures, opengl

    env = LeRobotPuffer(TASK, num_envs=num_envs)
    env.reset(seed=0)
    state = env.core.state
    pictures = Pictures(env.compiled, CAMERAS[:1], width, height)
    pixels = np.empty((num_envs, *pictures.shape), np.uint8)
    model = env.compiled.visual_model
    data, scene = mujoco.MjData(model), mujoco.MjvScene(model, 10000)
    option, camera = mujoco.MjvOption(), mujoco.MjvCamera()

    def prepare() -> None:
        mujoco.mj_setState(model, data, state[0], mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mjv_updateScene(model, data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)

    def seconds(call: Callable[[], None], times: int) -> float:
        call()
        found = []
        for _ in range(times):
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
        return statistics.median(found)

    whole = seconds(lambda: pictures.draw(state, pixels), 20)
    with opengl() as gl:
        return {"share": 1 - seconds(prepare, 100) / whole, "picture_ms": 1000 * whole,
                "draws": f"{gl.backend}, {gl.renderer}, {gl.version}"}


OPENERS = {"wrapper": open_wrapper, "pixels": open_pixels, "share": opengl_share}


def settings(processes: list[int]) -> list[Setting]:
    """What takes turns: the wrapper and ours beside it, then ours by size."""
    one = {"processes": 1, "width": 640, "height": 480, "cameras": CAMERAS[:1]}
    found = [
        Setting(WRAPPER, GYM_ALOHA.name, "gym-aloha 0.1.5 (draws three cameras)", "wrapper", 1, {}),
        Setting(WRAPPER, OURS, "ours, its scene", "pixels", 1, one | {"assets": "reference"}),
        Setting(WRAPPER, OURS, "ours, native scene", "pixels", 1, one),
    ]
    for width, height in SIZES:
        for cameras in (1, 3):
            for count in processes:
                found.append(Setting(
                    f"{width}x{height}", OURS, f"{cameras}, {count}", "pixels", 2,
                    {"processes": count, "width": width, "height": height,
                     "cameras": CAMERAS[:cameras]}, reopen=count > 1))
    return found


def rows(compared: list[Setting], rates: list[list[float]]) -> list[dict]:
    """A row a setting, with its rate over the wrapper's."""
    return [
        {"table": setting.table, "label": setting.label, "num_envs": setting.num_envs,
         "cameras": len(setting.options.get("cameras", CAMERAS)),
         "steps_per_second": round(statistics.median(found), 1),
         "range": [round(min(found), 1), round(max(found), 1)],
         "ratio": statistics.median(a / b for a, b in zip(found, rates[0], strict=True))}
        for setting, found in zip(compared, rates, strict=True)
    ]


def by_size(found: list[dict], processes: list[int]) -> str:
    """The Markdown table of pictures/s by size, cameras and processes."""
    columns = [(cameras, count) for cameras in (1, 3) for count in processes]
    lines = ["| pictures/s | " + " | ".join(
        f"{cameras} camera{'s' * (cameras > 1)}, {count} process{'es' * (count > 1)}"
        for cameras, count in columns) + " |", "|---|" + "---:|" * len(columns)]
    for width, height in SIZES:
        size = f"{width}x{height}"
        cells = {row["label"]: row["steps_per_second"] * row["cameras"]
                 for row in found if row["table"] == size}
        lines.append(f"| {size} | " + " | ".join(
            f"{cells[f'{cameras}, {count}']:,.0f}" for cameras, count in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison, or one of its workers."""
    if serve((GYM_ALOHA,), OPENERS):
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args()
    processes = sorted({1, args.threads})
    compared = settings(processes)
    rates: list[list[float]] = [[] for _ in compared]
    gl = os.environ.get("MUJOCO_GL") or "egl"
    # a process that has drawn cannot fork others that draw
    with workers(__file__, (GYM_ALOHA,), gl) as running, workers(__file__, (), gl) as forking:
        for repeat in range(args.repeats):
            for setting, found in zip(compared, rates, strict=True):
                asked = forking if setting.reopen else running
                found.append(asked.ask(setting, args.seconds))
                print(f"{repeat + 1}/{args.repeats} {setting.table}: {setting.label}: "
                      f"{found[-1]:,.1f}", file=sys.stderr)
        shares = {
            f"{width}x{height}": running.ask(Setting("", OURS, "", "share", 1,
                                                     {"width": width, "height": height}))
            for width, height in SIZES}
    measured = rows(compared, rates)
    drawn = "; ".join(f"{size} {found['share']:.1%} of {found['picture_ms']:.1f} ms"
                      for size, found in shares.items())
    report(args, running.versions, {
        "rows": [row for row in measured if row["table"] == WRAPPER],
        "sizes": [row for row in measured if row["table"] != WRAPPER], "opengl": shares,
        "notes": [by_size(measured, processes),
                  f"OpenGL's share of a picture: {drawn}; {shares['84x84']['draws']}"]})


if __name__ == "__main__":
    main()
