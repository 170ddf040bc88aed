"""Pictures and the viewer. Windows are opened under Xvfb where it is installed."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence as same

from lerobot_puffer import GYM_IDS
from lerobot_puffer.gym import LeRobotEnv, LeRobotVectorEnv
from lerobot_puffer.rendering import RenderError, choose_backend, find_camera

pytestmark = pytest.mark.no_sanitizer


def can_draw():
    try:
        choose_backend()
        mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8).close()
    except Exception as error:  # depends on the library that is missing
        return str(error)
    return ""


@pytest.fixture(scope="module")
def drawing():
    reason = can_draw()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def display():
    """The number of an X server that this module started."""
    if not shutil.which("Xvfb"):
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb libgl1)")
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24"],
                              pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as numbers:
        number = numbers.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


def run(code, display="", **env):
    """Run a program; returns what it printed."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
        env=inherited | ({"DISPLAY": display} if display else {}) | env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -------------------------------------------------------------------- pictures


@pytest.mark.parametrize("env_id", sorted(GYM_IDS))
def test_rgb_array_shows_the_scene(drawing, env_id):
    env = gymnasium.make(f"lerobot_puffer/{env_id}", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    yellow = (picture[..., 0] > 120) & (picture[..., 2] < 60)  # the arm's printed parts
    assert yellow.mean() > 0.005
    env.close()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 48), (1920, 1080), (37, 2000)])
def test_a_picture_may_have_any_size(drawing, width, height):
    env = LeRobotEnv("reach", render_mode="rgb_array", width=width, height=height)
    env.reset(seed=0)
    assert env.render().shape == (height, width, 3)
    env.close()


def test_a_picture_that_is_too_large_is_refused(drawing):
    env = LeRobotEnv("reach", render_mode="rgb_array", width=10**6, height=10**6)
    env.reset(seed=0)
    with pytest.raises(RenderError, match="cannot draw 1000000 x 1000000 pixels"):
        env.render()
    env.close()


def test_cameras_see_different_pictures(drawing):
    model = LeRobotEnv("lerobot_reach").model
    pictures = []
    for camera in [None, *range(-1, model.ncam)]:
        env = LeRobotEnv("lerobot_reach", render_mode="rgb_array", width=64, height=48,
                         camera=camera)
        env.reset(seed=0)
        pictures.append(env.render())
        env.close()
    front = model.camera("front").id
    assert np.array_equal(pictures[0], pictures[2 + front])
    assert len({p.tobytes() for p in pictures}) == model.ncam + 1


def test_a_picture_is_of_the_current_state_and_a_new_array(drawing):
    env = LeRobotEnv("reach", render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    first = env.render()
    kept = first.copy()
    for _ in range(20):
        env.step(np.ones(6))
    second = env.render()
    assert not np.array_equal(first, second) and np.array_equal(first, kept)
    other = LeRobotEnv("reach", render_mode="rgb_array", width=64, height=48)
    other.set_sim_state(env.sim_state)
    assert np.array_equal(other.render(), second)
    env.close()
    other.close()


@pytest.mark.parametrize("task", ["reach", "lerobot_goal_place"])
def test_drawing_does_not_disturb_the_simulation(drawing, task):
    env, other = LeRobotEnv(task, render_mode="rgb_array", width=1500), LeRobotEnv(task)
    assert same(env.reset(seed=0), other.reset(seed=0))
    for action in np.random.default_rng(0).uniform(-1, 1, (15, 6)):
        env.render()
        assert same(env.step(action), other.step(action))
        assert np.array_equal(env._core.get_state(), other._core.get_state())
    env.close()


def test_a_vector_draws_every_environment(drawing):
    vector = LeRobotVectorEnv(3, "reach", render_mode="rgb_array", width=64, height=48)
    vector.reset(seed=4)
    pictures = vector.render()
    for i, picture in enumerate(pictures):
        env = LeRobotEnv("reach", render_mode="rgb_array", width=64, height=48)
        env.reset(seed=4 + i)
        assert np.array_equal(picture, env.render())
        env.close()
    vector.close()


@pytest.mark.filterwarnings("ignore:.*render.*")
def test_without_a_render_mode_nothing_is_drawn():
    env = LeRobotEnv("reach")
    env.reset(seed=0)
    assert env.render() is None
    vector = LeRobotVectorEnv(2, "reach")
    assert vector.render() is None


def test_closing_frees_and_a_second_environment_still_draws(drawing):
    one, two = (LeRobotEnv("reach", render_mode="rgb_array", width=32, height=32) for _ in "ab")
    one.reset(seed=0), two.reset(seed=0)
    expected = one.render()
    assert np.array_equal(two.render(), expected)
    one.close()
    one.close()
    assert np.array_equal(two.render(), expected)
    two.close()


def test_a_camera_is_found_by_name_or_number():
    model = LeRobotEnv("lerobot_reach").model
    assert find_camera(model, "front") == model.camera("front").id
    assert find_camera(model, -1) == -1
    with pytest.raises(ValueError, match="unknown camera 'fornt'; did you mean 'front"):
        find_camera(model, "fornt")
    with pytest.raises(ValueError, match="camera must be -1"):
        find_camera(model, model.ncam)


DRAW = """
    import os
    import mujoco  # before anything could set MUJOCO_GL
    from lerobot_puffer.gym import LeRobotEnv
    env = LeRobotEnv("reach", render_mode="rgb_array", width=32, height=32)
    env.reset(seed=0)
    try:
        print(env.render().mean() > 10, os.environ["MUJOCO_GL"])
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_without_a_display_or_a_variable_it_draws_all_the_same(drawing):
    assert run(DRAW, MUJOCO_GL="") in ("True egl", "True osmesa")


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_the_variable_is_respected(backend):
    said = run(DRAW, MUJOCO_GL=backend)
    assert said == f"True {backend}" or said.startswith(f"RenderError {backend} cannot draw")


def test_drawing_with_glfw_without_a_display_says_what_to_do():
    said = run(DRAW, MUJOCO_GL="glfw")
    assert said.startswith("RenderError glfw cannot draw")
    assert "apt-get install libegl1" in said and "MUJOCO_GL=egl" in said


def test_drawing_that_is_switched_off_says_so():
    assert run(DRAW, MUJOCO_GL="off") == "RenderError drawing is switched off by MUJOCO_GL=off; " \
                                         "unset it"


def test_a_machine_without_opengl_says_what_to_install(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("lerobot_puffer.rendering._egl_devices", lambda: 0)
    monkeypatch.setattr("lerobot_puffer.rendering.find_library", lambda name: None)
    with pytest.raises(RenderError, match=r"neither EGL, a display nor OSMesa.*apt-get install"):
        choose_backend.__wrapped__()


# --------------------------------------------------------------------- windows


def test_render_to_window_opens_the_viewer_and_does_not_disturb(display):
    said = run("""
        import numpy as np
        from gymnasium.utils.env_checker import data_equivalence as same
        from lerobot_puffer.gym import LeRobotEnv
        env, other = LeRobotEnv("lerobot_reach"), LeRobotEnv("lerobot_reach")
        env.reset(seed=0), other.reset(seed=0)
        shown = [env.render_to_window()]
        for action in np.random.default_rng(0).uniform(-1, 1, (20, 6)):
            assert same(env.step(action), other.step(action))
            shown.append(env.render_to_window())
        process = env._window._process
        print(all(shown), process.poll())
        env.close()
        print(process.poll())
    """, display)
    assert said.split("\n") == ["True None", "0"]


def test_human_mode_shows_every_step_in_real_time(display):
    said = run("""
        import time
        import gymnasium, numpy as np, lerobot_puffer
        env = gymnasium.make("lerobot_puffer/Reach-v0", render_mode="human")
        env.reset(seed=0)
        start = time.monotonic()
        for _ in range(25):
            env.step(np.zeros(6))
        print(time.monotonic() - start > 0.48, env.render())
        env.close()
    """, display)
    assert said == "True None"


def test_a_closed_window_is_no_error(display):
    said = run("""
        import os, signal
        from lerobot_puffer.gym import LeRobotEnv
        env = LeRobotEnv("reach")
        env.reset(seed=0)
        print(env.render_to_window())
        env._window._process.kill()
        env._window._process.wait()
        print(env.render_to_window(), env.render_to_window())
        env.close()
    """, display)
    assert said.split("\n") == ["True", "False False"]


def test_two_windows_and_pictures_get_along(display, drawing):
    said = run("""
        from lerobot_puffer.gym import LeRobotEnv
        envs = [LeRobotEnv("reach", render_mode="rgb_array", width=32, height=32) for _ in "ab"]
        for env in envs:
            env.reset(seed=0)
        for _ in range(5):
            print(*[env.render_to_window() and env.render().mean() > 10 for env in envs])
    """, display)  # and leaves without closing anything
    assert said.split("\n") == ["True True"] * 5


@pytest.mark.parametrize("env_id", sorted(GYM_IDS))
def test_gymnasium_accepts_every_render_mode(display, drawing, env_id):
    run(f"""
        import gymnasium, lerobot_puffer
        from gymnasium.utils.env_checker import check_env
        check_env(gymnasium.make("lerobot_puffer/{env_id}", render_mode="rgb_array").unwrapped)
    """, display)


def test_a_window_without_a_display_says_what_to_do():
    said = run("""
        from lerobot_puffer.gym import LeRobotEnv
        env = LeRobotEnv("reach")
        env.reset(seed=0)
        for _ in range(2):
            try:
                env.render_to_window()
            except Exception as error:
                print(type(error).__name__, error)
    """)
    assert said.count("RenderError the viewer found no display") == 2
    assert "xvfb-run" in said and "rgb_array" in said


def test_no_process_of_the_viewer_is_left(display):
    pid = run("""
        import os
        from lerobot_puffer.gym import LeRobotEnv
        env = LeRobotEnv("reach")
        env.reset(seed=0)
        env.render_to_window()
        print(env._window._process.pid, flush=True)
        os._exit(0)
    """, display)
    process = Path("/proc") / pid / "cmdline"
    for _ in range(100):
        if not process.exists() or "lerobot_puffer.window" not in process.read_text():
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail("the viewer outlives the program that opened it")
