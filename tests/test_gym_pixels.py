"""Pictures as observations in Gymnasium, and gym-aloha's interface."""

import importlib.util
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_checker import data_equivalence as same
from harness import TOY, Text, toy
from test_rendering import can_draw

from lerobot_puffer import ALOHA_IDS
from lerobot_puffer.gym import LeRobotEnv, LeRobotVectorEnv
from lerobot_puffer.rendering import Camera, Pictures
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.signals import Above, Below, JointPosition
from lerobot_puffer.terms import Delta, Field, RandomJoints, Success

pytestmark = pytest.mark.no_sanitizer

OLD = issubclass(gymnasium.vector.VectorEnv, gymnasium.Env)
MODES = getattr(gymnasium.vector, "AutoresetMode", None)
IDS = [f"lerobot_puffer/{name}" for name in ALOHA_IDS]
ROOT = Path(__file__).parents[1]
SMALL = {"observation_width": 24, "observation_height": 16}
# the start of both arms, grippers nearly closed: held, nothing moves or touches
HOLD = np.array([*ALOHA.home[:6], 0.0998] * 2)


@pytest.fixture(scope="module", autouse=True)
def drawing():
    reason = can_draw()
    if reason:
        pytest.skip(reason)


def episodes(**changes):
    """Short episodes before two cameras that end in success, failure and the time limit."""
    values = {
        "scene": Text(TOY.replace("</worldbody>", """
            <camera name="side" pos="0 -2 1" xyaxes="1 0 0 0 0.4 1"/>
            <camera name="above" pos="0 0 3"/></worldbody>""")),
        "action": Delta(step=0.2), "substeps": 20, "episode_length": 8,
        "resets": (RandomJoints(("shoulder", "elbow"), (0.0, 0.0), noise=0.3),),
        "success": Success((Above(JointPosition("elbow"), 0.5),), hold=2),
        "failure": (Below(JointPosition("elbow"), -0.5),),
        "agent_pos": Field(name="joints", field="qpos", of=("shoulder", "elbow")),
        "description": "Bend the elbow.", "render_camera": "side",
    }
    return toy(**(values | changes))


def picture_space(width, height):
    return Box(0, 255, (height, width, 3), np.uint8)


# ----------------------------------------------------------------- gym-aloha's interface


@pytest.mark.parametrize("env_id", IDS)
def test_the_ids_have_the_references_arguments_and_spaces(env_id):
    env = gymnasium.make(env_id)
    assert env.observation_space == Dict({"top": picture_space(640, 480)})
    assert env.action_space == Box(-1, 1, (14,), np.float32)
    assert env.metadata["render_fps"] == 50 and env.render_mode == "rgb_array"
    assert env.spec.max_episode_steps == 300
    env = gymnasium.make(env_id, obs_type="pixels_agent_pos", render_mode="rgb_array",
                         observation_width=84, observation_height=60, visualization_width=32,
                         visualization_height=24)
    agent_pos = env.observation_space["agent_pos"]
    assert agent_pos.shape == (14,) and agent_pos.dtype == np.float64
    assert env.observation_space == Dict({
        "pixels": Dict({"top": picture_space(84, 60)}), "agent_pos": agent_pos})
    state = gymnasium.make(env_id, obs_type="state").observation_space
    objects = 7 if "Transfer" in env_id else 14
    assert {name: part.shape for name, part in state.items()} == {
        "qpos": (14,), "qvel": (14,), "env_state": (objects,)}


@pytest.mark.parametrize("env_id", IDS)
def test_the_reference_quickstart_runs(env_id):
    env = gymnasium.make(env_id, **SMALL, visualization_width=40, visualization_height=30)
    observation, info = env.reset()
    assert info["is_success"] is False
    for _ in range(2):
        observation, reward, terminated, _, info = env.step(env.action_space.sample())
        image = env.render()
        assert observation in env.observation_space
        assert image.shape == (30, 40, 3) and image.dtype == np.uint8 and image.std() > 10
        assert reward in (0, 1, 2, 3, 4)
        assert info["is_success"] == terminated == (reward == 4)
    env.close()


@pytest.mark.parametrize(("options", "steps"), [({}, 300), ({"max_episode_steps": 400}, 400)])
def test_only_gymnasiums_time_limit_ends_an_episode(options, steps):
    env = gymnasium.make(IDS[1], obs_type="state", **options)
    env.reset(seed=0)
    ends = [env.step(HOLD)[2:4] for _ in range(steps)]
    assert ends == [(False, False)] * (steps - 1) + [(False, True)]


@pytest.mark.parametrize("name", sorted(ALOHA_IDS))
def test_an_id_is_its_task(name):
    env = gymnasium.make(f"lerobot_puffer/{name}", obs_type="state", options={"mode": "delta"})
    other = LeRobotEnv(ALOHA_IDS[name], options={"mode": "delta"})
    assert same(env.reset(seed=3), other.reset(seed=3))
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 14)):
        assert same(env.step(action), other.step(action))
    assert env.unwrapped.task == other.task == ALOHA_IDS[name]
    assert env.unwrapped.task_description == other.task_description != ""


# -------------------------------------------------------------------------- observations


def test_every_camera_is_drawn_at_the_size_asked_for():
    cameras = ("top", "angle", "front_close", "left_pillar", "right_pillar", "left_wrist",
               "right_wrist")
    env = gymnasium.make(IDS[0], obs_type="pixels_agent_pos", cameras=cameras, **SMALL)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert list(observation["pixels"]) == list(env.observation_space["pixels"]) == list(cameras)
    assert len({p.tobytes() for p in observation["pixels"].values()}) == len(cameras)
    compiled, state = env.unwrapped._batch.compiled, env.unwrapped._core.state[0]
    for name in ("angle", "right_wrist"):
        camera = Camera(compiled, 24, 16, name)
        assert np.array_equal(observation["pixels"][name], camera.render(state))
        camera.close()
    env.close()


def test_a_seed_reproduces_pictures_and_another_does_not():
    # a cube is less than a pixel of the small pictures
    size = {"observation_width": 96, "observation_height": 72}
    envs = [gymnasium.make(IDS[1], obs_type="pixels_agent_pos", **size) for _ in "ab"]
    first, second = (env.reset(seed=7)[0] for env in envs)
    assert same(first, second)
    move = HOLD + np.linspace(-0.3, 0.3, 14)
    assert same(envs[0].step(move), envs[1].step(move))
    assert same(envs[0].reset(seed=7)[0], first)
    assert not np.array_equal(envs[1].reset(seed=8)[0]["pixels"]["top"], first["pixels"]["top"])
    for env in envs:
        env.close()


@pytest.mark.parametrize(("task", "camera", "size"), [
    ("reach", "near", 6), ("lerobot_reach", "front", 6), ("lerobot_goal_place", "front", 6),
    ("aloha_insertion", "top", 14), (episodes(), "side", 2)])
def test_any_task_shows_pictures_and_the_robots_own_state(task, camera, size):
    env = LeRobotEnv(task, obs_type="pixels_agent_pos", **SMALL)
    state = LeRobotEnv(task)
    assert list(env.observation_space["pixels"]) == [camera]
    observation, _ = env.reset(seed=1)
    state.reset(seed=1)
    for _ in range(2):
        assert observation in env.observation_space
        assert observation["agent_pos"].shape == (size,)
        row = state._observation()
        joints = row["qpos"] if size == 14 else state.sim_state.qpos[:size]
        assert np.array_equal(observation["agent_pos"], joints)
        action = np.full(env.action_space.shape, 0.3)
        observation = env.step(action)[0]
        state.step(action)
    assert np.array_equal(env.sim_state.qvel, state.sim_state.qvel)
    env.close()


@pytest.mark.parametrize(("size", "drawn"), [((24, 16), 0), ((25, 16), 3)])
def test_each_camera_is_drawn_once_a_step_and_no_other(monkeypatch, size, drawn):
    shots = []

    def count(self, states, *rest, draw=Pictures.draw):
        shots.append((len(states), self.cameras))
        return draw(self, states, *rest)

    monkeypatch.setattr(Pictures, "draw", count)
    task = episodes()
    env = LeRobotEnv(task, obs_type="pixels", cameras=("above", "side"), render_mode="rgb_array",
                     width=size[0], height=size[1], **SMALL)
    side, above = (env.model.camera(name).id for name in ("side", "above"))
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.ones(2))
    assert shots == [(1, (above, side))] * 4
    shots.clear()
    for _ in range(3):
        env.render()
    assert shots == [(1, (side,))] * drawn
    env.close()
    shots.clear()
    LeRobotEnv(task, render_mode="rgb_array").reset()
    assert shots == []


def test_render_shows_the_observed_picture_again():
    env = LeRobotEnv(episodes(), obs_type="pixels", render_mode="rgb_array", width=24, height=16,
                     **SMALL)
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert np.array_equal(picture, observation["side"])
    assert np.array_equal(picture, env._camera.render(env._core.state[0]))
    observation["side"][:] = 0
    picture[:] = 1
    assert env.render().std() > 10
    recorded = env.sim_state
    for _ in range(3):
        observation = env.step(np.ones(2))[0]
    assert np.array_equal(env.render(), observation["side"])
    again = env.set_sim_state(recorded)[0]
    assert np.array_equal(env.render(), again["side"])
    assert not np.array_equal(observation["side"], again["side"])
    env.close()


def test_a_diverged_simulation_has_a_picture_too():
    env = LeRobotEnv(episodes(), obs_type="pixels_agent_pos", **SMALL)
    env.reset(seed=0)
    env.evaluate_state(env.model.qpos0, np.full(env.model.nv, 1e12))
    observation, _, terminated, truncated, _ = env.step(np.zeros(2))
    assert truncated and not terminated and observation in env.observation_space
    assert env.reset(seed=0)[0] in env.observation_space
    env.close()


@pytest.mark.parametrize(("options", "error"), [
    ({"obs_type": "pixel"}, r"obs_type must be one of \['state', 'pixels', 'pixels_agent_pos'\]"),
    ({"cameras": ("top",)}, "obs_type='state' draws nothing, got cameras=.*'pixels'"),
    ({"obs_type": "pixels", "cameras": ("tpo",)}, "unknown camera 'tpo'; did you mean 'top'"),
    ({"obs_type": "pixels", "cameras": "top"}, r"different names, as in .*, got 'top'.*'angle'"),
    ({"obs_type": "pixels", "cameras": ()}, r"cameras must be different names.*got \(\)"),
    ({"obs_type": "pixels", "cameras": ("top", "top")}, "cameras must be different names"),
    ({"obs_type": "pixels", "cameras": (0,)}, "cameras must be different names"),
    ({"obs_type": "pixels", "observation_width": 0}, "observation_width must be .*1, got 0"),
    ({"obs_type": "pixels", "observation_height": 1.5}, "observation_height must be .*, got 1.5"),
])
@pytest.mark.parametrize("kind", [LeRobotEnv, lambda task, **k: LeRobotVectorEnv(2, task, **k)])
def test_bad_arguments_are_refused(kind, options, error):
    with pytest.raises(ValueError, match=error):
        kind("aloha_insertion", **options)


def test_a_task_without_a_camera_or_a_state_of_the_robot_says_so():
    with pytest.raises(ValueError, match=r"cameras must be .* got None; task 'toy' has \['side', "):
        LeRobotEnv(episodes(render_camera=None), obs_type="pixels")
    with pytest.raises(ValueError, match=r"agent_pos of task 'toy' is an unknown observation "
                                         r"'qops'; did you mean 'qpos'"):
        LeRobotEnv(episodes(agent_pos="qops"), obs_type="pixels_agent_pos")


@pytest.mark.filterwarnings("ignore:.*A Box observation space.*")
def test_gymnasium_accepts_the_environment():
    env = gymnasium.make(IDS[0], obs_type="pixels_agent_pos", **SMALL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped, skip_render_check=True)
    # a joint that turns without end has no bounds
    said = [str(w.message) for w in caught if "infinity" not in str(w.message)]
    assert said == []
    env.close()


# ----------------------------------------------------------------------- vectors


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
@pytest.mark.parametrize("obs_type", ["pixels", "pixels_agent_pos"])
def test_the_vector_equals_gymnasiums_own(obs_type, mode):
    if OLD and mode == "next_step":
        pytest.skip("gymnasium 0.29.1 has same-step autoreset only")
    options = {"obs_type": obs_type, "cameras": ("side", "above"), **SMALL}
    modes = {} if OLD else {"autoreset_mode": MODES(mode.title().replace("_", ""))}
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: LeRobotEnv(episodes(), **options)] * 2, **modes)
    ours = LeRobotVectorEnv(2, episodes(), autoreset_mode=mode, **options)
    assert ours.observation_space == theirs.observation_space
    assert ours.single_observation_space == theirs.single_observation_space
    assert equal(ours.reset(seed=5), theirs.reset(seed=5))
    ends = 0
    for actions in np.random.default_rng(0).uniform(-1, 1, (24, 2, 2)):
        observations, *rest, infos = ours.step(actions)
        their_observations, *their_rest, expected = theirs.step(actions)
        assert observations in ours.observation_space
        assert equal(observations, their_observations) and same(rest, their_rest)
        ends += np.sum(rest[1] | rest[2])
        final = "final_observation" if OLD else "final_obs"
        assert (final in infos) == (final in expected)
        for a, b in zip(infos.get(final, ()), expected.get(final, ()), strict=True):
            assert equal(a, b)
    assert ends > 3
    ours.close()
    theirs.close()


def equal(a, b):
    """Whether nested observations are the same; gymnasium 0.29.1 makes ordered dicts of some."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return all(equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and np.array_equal(a, b)


def test_rewards_and_ends_of_a_vector_with_pictures_are_the_callers_to_keep():
    env = LeRobotVectorEnv(2, episodes(success=None, failure=()), obs_type="pixels", copy=False,
                           **SMALL)
    env.reset(seed=0)
    for _ in range(8):
        _, rewards, _, truncations, _ = env.step(np.zeros((2, 2)))
    assert truncations.all() and rewards.all()
    env.close()


@pytest.mark.skipif(OLD, reason="gymnasium 0.29.1 has no vector_entry_point mode")
def test_make_vec_takes_the_arguments_of_the_id():
    env = gymnasium.make_vec(IDS[0], num_envs=2, obs_type="pixels_agent_pos", **SMALL)
    assert isinstance(env.unwrapped, LeRobotVectorEnv)
    assert env.unwrapped._batch.compiled.task.episode_length == 300
    assert env.single_observation_space["pixels"]["top"] == picture_space(24, 16)
    env.close()


# ------------------------------------------------------------------------------- the example


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="needs the checkout")
def test_the_quickstart_films_and_the_readme_shows_it(tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    example = ROOT / "examples" / "aloha_quickstart.py"
    spec = importlib.util.spec_from_file_location("aloha_quickstart", example)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.film(str(tmp_path / "aloha.mp4"), episodes=1, steps=3) == 3
    with imageio.get_reader(tmp_path / "aloha.mp4") as video:
        assert video.count_frames() == 3
        meta = video.get_meta_data()
    assert meta["size"] == (320, 240) and meta["fps"] == 50
    assert example.read_text().rstrip() in (ROOT / "README.md").read_text()
