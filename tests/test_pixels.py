"""Pictures as observations: what is drawn, of which state, where to, and in which process."""

import os
import subprocess
import sys
import textwrap
import warnings

import mujoco
import numpy as np
import pytest

pytest.importorskip("pufferlib")

from harness import STATE, Text, toy
from test_rendering import can_draw

from lerobot_puffer import LeRobotPuffer, rendering
from lerobot_puffer.compile import compile_task
from lerobot_puffer.rendering import Pictures, RenderError, opengl
from lerobot_puffer.signals import Below, Height, Site
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import RandomField, Success

pytestmark = pytest.mark.no_sanitizer

# what a scene may hold beside geoms: each is drawn, or decides where the camera stands
ODDITIES = """
<mujoco>
  <visual><quality shadowsize="256" offsamples="0"/></visual>
  <worldbody>
    <light pos="0 0 3"/>
    <light name="follows" mode="targetbody" target="ball" pos="1 1 2"/>
    <camera name="fixed" pos="0 -2 1" xyaxes="1 0 0 0 .5 1"/>
    <camera name="com" mode="trackcom" pos="1 -2 1" xyaxes="1 0 0 0 .5 1"/>
    <camera name="target" mode="targetbodycom" target="rod" pos="-1 -1 1"/>
    <geom type="plane" size="0 0 .1"/>
    <body name="rod" pos="0 0 1">
      <joint name="hinge" axis="0 1 0"/>
      <geom type="capsule" size=".05" fromto="0 0 0 .6 0 0"/>
      <site name="tip" pos=".6 0 0" size=".03"/>
      <site name="eye" pos=".3 0 -.06" size=".02" zaxis="0 0 -1"/>
    </body>
    <body name="ball" pos="0 .5 .5">
      <freejoint/><geom size=".1" rgba="1 0 0 .5"/><site name="hook" size=".03"/>
    </body>
  </worldbody>
  <tendon><spatial width=".01"><site site="tip"/><site site="hook"/></spatial></tendon>
  <actuator><position joint="hinge" kp="5"/></actuator>
  <sensor><rangefinder site="eye"/></sensor>
</mujoco>
"""
WITHOUT_TENDON = ODDITIES.replace(
    '<tendon><spatial width=".01"><site site="tip"/><site site="hook"/></spatial></tendon>', ""
).replace('<sensor><rangefinder site="eye"/></sensor>', "")


@pytest.fixture(scope="module", autouse=True)
def drawing():
    reason = can_draw()
    if reason:
        pytest.skip(reason)


def pixels(task="reach", num_envs=2, **options):
    values = {"width": 24, "height": 16, "num_threads": 1} | options
    return LeRobotPuffer(task, num_envs=num_envs, obs_type="pixels", **values)


def pictures_of(env, states):
    """Pictures by mujoco.Renderer after mj_forward, as `env` should have drawn them."""
    model, (cameras, height, width, _) = env.compiled.visual_model, env.observations.shape[1:]
    data = mujoco.MjData(model)
    out = np.empty((len(states), cameras, height, width, 3), np.uint8)
    with mujoco.Renderer(model, height, width) as renderer:
        for state, row in zip(states, out, strict=True):
            mujoco.mj_setState(model, data, state, STATE)
            mujoco.mj_forward(model, data)
            for camera, picture in zip(env._pictures.cameras, row, strict=True):
                renderer.update_scene(data, camera)
                picture[:] = renderer.render()
    return out


def actions(env, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *env.actions.shape)).astype("f4")


def run(code):
    """Run a program in a process that has not drawn; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True,
                          text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("name", ["lerobot_reach", "aloha_insertion"])
def test_pictures_equal_mujoco_renderers_bit_for_bit(name):
    task = make_task(name)
    every = tuple(range(-1, compile_task(task).model.ncam))
    env = pixels(task, cameras=every)
    env.reset(seed=0)
    for action in actions(env, 6):
        env.step(action)
    assert np.array_equal(env.observations, pictures_of(env, env.core.state))
    env.close()


@pytest.mark.parametrize("xml", [ODDITIES, WITHOUT_TENDON], ids=["tendon, ray", "plain"])
def test_every_part_that_moves_is_where_mj_forward_has_it(xml):
    scene = toy(scene=Text(xml), substeps=10)
    env = pixels(scene, cameras=(-1, "fixed", "com", "target"), width=64, height=48)
    env.reset(seed=0)
    first = env.observations.copy()
    for action in actions(env, 4):
        env.step(action)
    assert np.array_equal(env.observations, pictures_of(env, env.core.state))
    assert all(not np.array_equal(a, b) for a, b in zip(first[0], env.observations[0],
                                                        strict=True))
    env.close()


def test_only_the_cameras_asked_for_are_drawn_and_in_their_order():
    both, one = pixels("lerobot_reach", cameras=("front", "birdview")), pixels("lerobot_reach")
    both.reset(seed=0), one.reset(seed=0)
    assert both.observations.shape == (2, 2, 16, 24, 3) and one.observations.shape[1] == 1
    assert np.array_equal(both.observations[:, :1], one.observations)  # the task's own is front
    other = pixels("lerobot_reach", cameras=("birdview",))
    other.reset(seed=0)
    assert np.array_equal(both.observations[:, 1:], other.observations)
    assert not np.array_equal(one.observations, other.observations)


def test_two_drawings_of_one_state_are_identical():
    env = pixels("aloha_transfer_cube", cameras=("top", "left_wrist"), width=64, height=48)
    env.reset(seed=3)
    again = np.zeros_like(env.observations)
    for _ in range(3):
        env._pictures.draw(env.core.state, again)
        assert np.array_equal(again, env.observations)
    env.close()


# ---------------------------------------------------------------------- episodes


def test_the_simulation_is_the_same_as_without_pictures():
    env, other = pixels(), LeRobotPuffer("reach", num_envs=2, num_threads=1)
    env.reset(seed=5), other.reset(seed=5)
    for action in actions(env, 10):
        got, wanted = env.step(action), other.step(action)
        assert np.array_equal(env.states, other.observations)
        assert all(np.array_equal(a, b) for a, b in zip(got[1:4], wanted[1:4], strict=True))
    assert env.get_state().tobytes() == other.get_state().tobytes()
    env.close()


def test_buffers_are_written_in_place():
    env = pixels()
    kept = env.observations, env.final_observations, env.states, env.rewards
    address = env.observations.ctypes.data
    assert env.reset(seed=0)[0] is kept[0]
    assert all(env.step(action)[0] is kept[0] for action in actions(env, 3))
    now = env.observations, env.final_observations, env.states, env.rewards
    assert all(a is b for a, b in zip(now, kept, strict=True))
    assert env.observations.ctypes.data == address
    assert env.single_observation_space.contains(env.observations[0])
    env.close()


def test_the_last_picture_of_an_episode_is_kept_and_the_next_ones_first_is_shown():
    env = pixels(toy(episode_length=3), num_envs=2, cameras=(-1,))
    endless = pixels(toy(), num_envs=2, cameras=(-1,))
    env.reset(seed=0), endless.reset(seed=0)
    first = env.observations.copy()
    for step, action in enumerate(actions(env, 6)):
        if step == 3:
            endless.reset()
        env.step(action), endless.step(action)
        if step in (2, 5):
            assert env.truncations.all()
            assert np.array_equal(env.final_observations, endless.observations)
            assert np.array_equal(env.final_states, endless.states)
            assert np.array_equal(env.observations, first)
        else:
            assert np.array_equal(env.observations, endless.observations)
    assert not np.array_equal(env.final_observations, first)
    env.close(), endless.close()


def test_only_the_episodes_that_ended_get_a_last_picture():
    task = toy(success=Success((Below(Height(Site("tip")), 0.45),)))
    env = pixels(task, num_envs=3, cameras=(-1,))
    env.reset(seed=0)
    acts = np.zeros_like(env.actions)
    acts[1] = 1.0
    while not env.step(acts)[2].any():
        pass
    assert env.terminals.tolist() == [False, True, False]
    assert env.final_observations[1].any()
    assert not env.final_observations[[0, 2]].any()
    env.close()


@pytest.mark.parametrize("persistent", [False, True])
def test_a_diverged_episode_ends_with_its_last_picture_before_that(persistent):
    env = pixels(toy(), num_envs=2, cameras=(-1,), persistent=persistent)
    env.reset(seed=0)
    for action in actions(env, 3):
        env.step(action)
    env.core.state[0, 1:3] += 0.3
    snapshot = env.get_state()
    nq = env.model.nq
    snapshot[0, 1 + nq] = 1e9  # a joint velocity beyond what the step survives
    env.set_state(snapshot)
    before = env.observations.copy()
    env.step(np.zeros_like(env.actions))
    assert env.truncations.tolist() == [True, False]
    assert np.array_equal(env.final_observations[0], before[0])
    env.close()


def test_a_restored_environment_shows_the_same_pictures():
    env = pixels("reach", num_envs=3)
    env.reset(seed=0)
    for action in actions(env, 4):
        env.step(action)
    snapshot, shown = env.get_state(), env.observations.copy()
    tail = [env.step(action)[0].copy() for action in actions(env, 4, seed=1)]
    env.set_state(snapshot[[1, 0]], np.array([1, 0]))
    assert np.array_equal(env.observations[:2], shown[:2])
    assert np.array_equal(env.observations[2], tail[-1][2])
    env.set_state(snapshot)
    assert np.array_equal(env.observations, shown)
    for action, wanted in zip(actions(env, 4, seed=1), tail, strict=True):
        assert np.array_equal(env.step(action)[0], wanted)
    env.close()


# ---------------------------------------------------------------------- processes


@pytest.mark.parametrize("backend", ["Serial", "Multiprocessing", "PufferEnv"])
def test_vectorization_gives_the_pictures_of_one_process(backend):
    workers = "num_envs=2, num_workers=2, " if backend == "Multiprocessing" else "num_envs=2, "
    if backend == "PufferEnv":
        workers = ""
    said = run(f"""
        import zlib
        import numpy as np
        from lerobot_puffer import LeRobotPuffer
        import pufferlib.vector as pv
        options = dict(task="reach", num_envs=2, obs_type="pixels", width=24, height=16,
                       num_threads=1)
        vec = pv.make(LeRobotPuffer, env_kwargs=options, {workers}seed=0, backend=pv.{backend})
        rows, _ = vec.reset(seed=0)
        rng = np.random.default_rng(0)
        acts = rng.uniform(-1, 1, (3, *vec.action_space.shape)).astype(np.float32)
        for action in acts:
            rows = vec.step(action)[0]
        rows = np.array(rows)
        vec.close()
        wanted = []
        for k in range(len(rows) // 2):
            env = LeRobotPuffer(**options)
            env.reset(seed=k)
            for action in acts:
                env.step(action[2 * k:2 * k + 2])
            wanted.append(env.observations)
        print(rows.dtype, rows.shape, np.array_equal(rows, np.concatenate(wanted)))
    """)
    rows = 2 if backend == "PufferEnv" else 4
    assert said.split("\n")[-1] == f"uint8 ({rows}, 1, 16, 24, 3) True"


def test_pictures_are_the_same_in_another_process():
    env = pixels("aloha_transfer_cube", cameras=("top", "angle"))
    env.reset(seed=2)
    said = run("""
        from lerobot_puffer import LeRobotPuffer
        env = LeRobotPuffer("aloha_transfer_cube", num_envs=2, obs_type="pixels",
                            cameras=("top", "angle"), width=24, height=16)
        env.reset(seed=2)
        print(env.observations.tobytes().hex())
    """)
    assert said == env.observations.tobytes().hex()
    env.close()


def test_a_fork_of_a_process_that_has_drawn_says_what_to_do_and_leaves_it_alone():
    env = pixels()
    env.reset(seed=0)
    shown = env.observations.copy()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            env.step(np.zeros_like(env.actions))
        except RenderError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        assert "forked from one that had drawn" in said.read()
    os.waitpid(child, 0)
    env.reset(seed=0)
    assert np.array_equal(env.observations, shown)
    env.close()


def test_a_process_has_one_context_and_any_thread_may_draw():
    said = run("""
        import threading
        import numpy as np
        from lerobot_puffer import rendering
        made = []
        from lerobot_puffer import LeRobotPuffer
        started = rendering._start
        rendering._start = lambda: made.append(1) or started()
        envs = [LeRobotPuffer("reach", num_envs=2, obs_type="pixels", width=w, height=16)
                for w in (16, 24, 24)]
        def work(env):
            for seed in range(5):
                env.reset(seed=seed)
        threads = [threading.Thread(target=work, args=(env,)) for env in envs]
        [t.start() for t in threads]
        [t.join() for t in threads]
        envs[2].reset(seed=4)
        print(len(made), np.array_equal(envs[1].observations, envs[2].observations))
    """)
    assert said == "1 True"


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("options", "message"), [
    ({"obs_type": "pixel"}, "obs_type must be one of state, pixels; got 'pixel'; did you mean"),
    ({"cameras": ("frnt",)}, "unknown camera 'frnt'; did you mean 'front'"),
    ({"cameras": "front"}, "cameras must be a tuple of at least one name or id"),
    ({"cameras": ()}, "cameras must be a tuple of at least one name or id"),
    ({"cameras": (99,)}, "camera must be -1"),
    ({"width": 0}, "width must be a whole number of at least 1, got 0"),
    ({"height": 8.5}, "height must be a whole number of at least 1, got 8.5"),
    ({"obs_type": "state", "cameras": ("front",)}, "are for obs_type='pixels'"),
])
def test_a_wrong_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        LeRobotPuffer("lerobot_reach", **({"obs_type": "pixels"} | options))


def test_the_painter_refuses_buffers_that_do_not_fit():
    env = pixels()
    env.reset(seed=0)
    states = env.core.state
    with pytest.raises(ValueError, match=r"pixels must be uint8 \(2, 1, 16, 24, 3\)"):
        env._pictures.draw(states, np.zeros((2, 1, 24, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="states must be float64"):
        env._pictures.draw(np.zeros((2, 3)), env.observations)
    with pytest.raises(ValueError, match="ids must lie in 0"):
        env._pictures.draw(states, env.observations, np.array([2], np.int32))
    env.close()


# ------------------------------------------------------------------------ backend


def test_software_drawing_beside_a_gpu_warns_once_with_the_repair(monkeypatch):
    with opengl() as gl:
        if not gl.software or gl.backend != "egl":
            pytest.skip("needs EGL in software")
    monkeypatch.setattr(rendering, "has_nvidia", lambda: True)
    monkeypatch.setattr(rendering, "_opengl", None)
    pictures = Pictures(compile_task(make_task("reach")), (-1,), 8, 8)
    with pytest.warns(UserWarning, match=r"10_nvidia\.json.*libEGL_nvidia\.so\.0"):
        pictures.open()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.open()
    pictures.close()


def test_each_environment_is_drawn_as_its_episode_looks():
    env = pixels(width=32, height=24, randomize=(RandomField(quantity="color", scale=(0.2, 1.0)),))
    env.reset(0)
    env.core.state[1] = env.core.state[0]  # so that only what was drawn differs
    camera = rendering.Camera(env.compiled, 32, 24)
    assert not np.array_equal(*map(camera.render, env.core.state, env.core.memory))
    for _ in range(env.compiled.task.episode_length):
        memory = env.core.memory.copy()
        env.step(np.zeros((2, 6), np.float32))
    assert env.truncations.all()
    for i, (now, last) in enumerate(zip(env.observations, env.final_observations, strict=True)):
        assert np.array_equal(now[0], camera.render(env.core.state[i], env.core.memory[i]))
        assert np.array_equal(last[0], camera.render(env._last[i], memory[i]))
    env.close()
