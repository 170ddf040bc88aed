"""Randomisation beside the model: delay, pushes, noise, pictures, presets, errors."""

import copy

import gymnasium
import mujoco
import numpy as np
import pytest
from harness import STATE, Simulations, toy
from test_randomization import JOINTS, randomized
from test_rendering import can_draw
from test_step import loop

from lerobot_puffer.compile import TaskError, compile_task
from lerobot_puffer.gym import LeRobotEnv, LeRobotVectorEnv
from lerobot_puffer.rendering import Camera
from lerobot_puffer.tasks import REGISTRY, make_task
from lerobot_puffer.terms import (
    PRESETS,
    Delay,
    Delta,
    Field,
    ObservationNoise,
    Push,
    RandomField,
)


@pytest.mark.parametrize("action", [Delta(step=0.2, leash=0.3), None])
def test_a_delayed_action_acts_that_many_steps_late(action):
    changes = {"action": action} if action else {}
    sims = Simulations(randomized(Delay((0, 3)), **changes), 24, 2)
    late = sims.core.memory[:, sims.compiled.randomized[0].start].astype(int)
    assert set(late) == {0, 1, 2, 3}
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (30, 24, 2))
    start, states = sims.core.state.copy(), []
    for row in actions:
        sims.step(row)
        states.append(sims.core.state.copy())
    for i in range(24):
        # until the first action arrives, the controls stay
        held, data = start[i].copy(), mujoco.MjData(sims.model)
        mujoco.mj_setState(sims.model, data, held, STATE)
        for step in range(late[i]):
            for _ in range(sims.compiled.task.substeps):
                mujoco.mj_step(sims.model, data)
            mujoco.mj_getState(sims.model, data, held, STATE)
            assert np.array_equal(states[step][i], held)
        rest = loop(sims.compiled, held, actions[:30 - late[i], i])
        for step, (row, _) in enumerate(rest):
            assert np.array_equal(states[late[i] + step][i], row)


def test_a_push_is_a_force_for_one_step_and_nothing_else():
    sims = Simulations(randomized(Push("ball", 0.3, (2.0, 5.0)), Push("lower", 1.0, (0.5, 0.5))),
                       40, 2)
    data = mujoco.MjData(sims.model)
    start, forces = sims.core.state.copy(), []
    rows = mujoco.MjData(sims.model)
    for _ in range(25):
        before = sims.core.state.copy()
        sims.step(0.2)
        for i in range(40):
            mujoco.mj_setState(sims.model, rows, sims.core.state[i], STATE)
            forces.append(rows.xfrc_applied.copy())
            mujoco.mj_setState(sims.model, data, before[i], STATE)
            data.ctrl[:] = 0.2
            data.xfrc_applied[:] = forces[-1]
            for _ in range(sims.compiled.task.substeps):
                mujoco.mj_step(sims.model, data)
            out = np.empty_like(start[i])
            mujoco.mj_getState(sims.model, data, out, STATE)
            assert np.array_equal(sims.core.state[i], out)
    bodies = [sims.model.body(name).id for name in ("ball", "lower")]
    ball, lower = np.array(forces)[:, bodies].swapaxes(0, 1)
    assert (np.delete(forces, bodies, axis=1) == 0).all() and (ball[:, 3:] == 0).all()
    size = np.linalg.norm(ball[:, :3], axis=1)
    pushed = size > 0
    # 1000 draws: standard error 0.0145; five of them
    assert abs(pushed.mean() - 0.3) < 0.073
    assert size[pushed].min() >= 2 - 1e-12 and size[pushed].max() <= 5 + 1e-12
    assert np.allclose(np.linalg.norm(lower[:, :3], axis=1), 0.5, atol=1e-12)
    # directions: mean 0, standard error 0.018 a component
    assert np.abs(lower[:, :3].mean(axis=0) / 0.5).max() < 0.092


def test_observation_noise_is_in_the_terms_unit_and_only_there():
    field = Field(name="qpos", field="qpos", of=JOINTS, scale=-4.0)
    exact = Field(name="same", field="qpos", of=JOINTS, scale=-4.0)
    task = toy(observations=(field, exact), randomize=(ObservationNoise("qpos", 0.05),))
    sims = Simulations(task, 4000)
    error = sims.part("qpos") - sims.part("same")
    assert abs(error.std() - 0.2) < 0.01  # standard error 0.2 / sqrt(2 * 8000) = 0.0016
    assert (sims.part("same") == 0).all()
    (entry,) = sims.compiled.randomized
    assert (entry.name, entry.of, entry.low, entry.unit) == ("noise", ("qpos",), 0.05,
                                                              "rad or m")


PICTURES = {
    "camera_position": (RandomField(quantity="camera_position", of=("near",), add=(-0.05, 0.05)),
                        {"cam_pos"}),
    "camera_rotation": (RandomField(quantity="camera_rotation", of=("near",), add=(-0.1, 0.1)),
                        {"cam_quat"}),
    "camera_fovy": (RandomField(quantity="camera_fovy", of=("near",), add=(-5.0, 5.0)),
                    {"cam_fovy"}),
    "light_position": (RandomField(quantity="light_position", add=(-0.5, 0.5)), {"light_pos"}),
    "light_brightness": (RandomField(quantity="light_brightness", scale=(0.3, 0.6)),
                         {"light_diffuse"}),  # the scene's lights have no ambient part
    "color": (RandomField(quantity="color", add=(-0.3, 0.3)), {"geom_rgba"}),
    "joint_offset": (RandomField(quantity="joint_offset", add=(-0.2, 0.2)), {"qpos0"}),
}


def differing(a, b):
    """Names of the arrays in which two models differ."""
    return {name for name in dir(a) if not name.startswith("_")
            and isinstance(value := getattr(a, name), np.ndarray)
            and not np.array_equal(value, getattr(b, name))}


@pytest.mark.parametrize("name", PICTURES)
def test_a_drawn_model_has_the_draws_of_its_simulation_and_nothing_else(name):
    term, fields = PICTURES[name]
    compiled = compile_task(make_task("reach", randomize=(term,)))
    sims = Simulations(compiled, 3)
    model, nominal = compiled.visual_model, make_task("reach").scene.compile()
    looks = []
    for i in (0, 1, 2, 0):
        compiled.apply_draws(model, sims.core.memory[i])
        changed = differing(model, nominal)
        assert changed == fields
        looks.append(getattr(model, min(fields)).copy())
    assert np.array_equal(looks[0], looks[3]) and not np.array_equal(looks[0], looks[1])
    entry = compiled.randomized[0]
    x = sims.core.memory[0, entry.slice]
    camera = nominal.camera("near").id
    if name == "camera_rotation":
        turned = np.empty(9)
        mujoco.mju_quat2Mat(turned, model.cam_quat[camera])
        before = np.empty(9)
        mujoco.mju_quat2Mat(before, nominal.cam_quat[camera])
        turn = np.empty(4)
        mujoco.mju_mat2Quat(turn, (before.reshape(3, 3).T @ turned.reshape(3, 3)).ravel())
        # about the camera's own axes, by the length of the vector drawn
        assert np.allclose(2 * np.arccos(turn[0]) * turn[1:] / np.linalg.norm(turn[1:]), x)
    elif name == "camera_position":
        assert np.array_equal(model.cam_pos[camera], nominal.cam_pos[camera] + x)
    elif name == "light_brightness":
        expected = (nominal.light_diffuse * x[:, None]).astype(np.float32)
        assert np.array_equal(model.light_diffuse, expected)
    elif name == "color":
        # of a geom that takes its material's: the drawn colour is the material's and the draw
        geom = int(np.argmax(nominal.geom_matid >= 0))
        seen = nominal.mat_rgba[nominal.geom_matid[geom], :3]
        assert np.allclose(model.geom_rgba[geom, :3], seen + x.reshape(-1, 3)[geom], atol=1e-6)
    if name not in ("joint_offset",):
        # the simulation does not notice
        assert compiled.tables.fields == () and not compiled.tables.derive


@pytest.mark.no_sanitizer
def test_pictures_show_what_was_drawn():
    if reason := can_draw():
        pytest.skip(reason)
    terms = tuple(term for term, _ in PICTURES.values())
    env = LeRobotEnv("reach", randomize=terms, render_mode="rgb_array", width=64, height=48)
    plain = LeRobotEnv("reach", render_mode="rgb_array", width=64, height=48)
    env.reset(seed=1)
    plain.reset(seed=1)
    first = env.render()
    assert np.array_equal(env.render(), first)
    plain.set_sim_state(env.sim_state)
    assert not np.array_equal(plain.render(), first)
    # without the draws it is the nominal picture of the same state
    memory = env._core.memory[0].copy()
    offsets, neutral = env._batch.compiled.tables.neutral
    memory[offsets] = neutral
    camera = Camera(env._batch.compiled, 64, 48)
    assert np.abs(camera.render(env._core.state[0], memory).astype(int) - plain.render()).max() <= 1
    assert np.array_equal(env.render(), first)
    vector = LeRobotVectorEnv(2, "reach", randomize=terms, obs_type="pixels", cameras=("near",),
                              observation_width=64, observation_height=48)
    seen = vector.reset(seed=1)[0]["near"]
    assert np.array_equal(seen[0], first) and not np.array_equal(seen[0], seen[1])
    camera.close()
    vector.close()
    env.close()
    plain.close()


def test_the_gymnasium_environments_take_it_and_list_it():
    env = gymnasium.make("lerobot_puffer/Reach-v0", randomize="strong").unwrapped
    vector = LeRobotVectorEnv(3, "reach", randomize="strong")
    assert env.randomized == vector.randomized != ()
    env.reset(seed=5)
    vector.reset(seed=5)
    action = np.full((3, 6), 0.3)
    for _ in range(20):
        one, many = env.step(action[0]), vector.step(action)
        assert all(np.array_equal(one[0][key], many[0][key][0]) for key in one[0])
    # poses are of the drawn model
    state, model = env.sim_state, copy.copy(env.model)
    env._core.write_model(0, model)
    gripper = env.model.body("gripper").id
    for poses_of, equal in ((model, True), (env.model, False)):
        data = mujoco.MjData(poses_of)
        data.qpos[:] = state.qpos
        mujoco.mj_kinematics(poses_of, data)
        assert np.array_equal(data.xpos[gripper], state.xpos[gripper]) == equal
    env.close()
    vector.close()


def test_the_puffer_environment_takes_it_and_lists_it():
    pytest.importorskip("pufferlib")
    from lerobot_puffer import LeRobotPuffer

    env = LeRobotPuffer("reach", num_envs=2, randomize=(Delay((2, 2)), RandomField(
        quantity="mass", of=("gripper",), scale=(1.5, 1.5))))
    env.reset()
    assert [(e.name, e.of, e.how, e.low, e.high, e.unit) for e in env.randomized] == [
        ("delay", ("action",), "steps", 2, 2, "control steps"),
        ("mass", ("gripper",), "scale", 1.5, 1.5, "factor")]
    gripper = env.model.body("gripper").id
    assert env.data(1).model.body_mass[gripper] == 1.5 * env.model.body_mass[gripper]
    env.close()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", sorted(REGISTRY))
def test_presets_run_on_every_task_and_stay_in_its_space(task, preset):
    sims = Simulations(compile_task(make_task(task, randomize=preset)), 6, 2, double=False)
    low, high = sims.compiled.bounds()
    rng = np.random.default_rng(0)
    for _ in range(60):
        sims.step(rng.uniform(-1, 1, sims.actions.shape))
        assert np.isfinite(sims.observations).all()
        assert (sims.observations >= low.astype(np.float32)).all()
        assert (sims.observations <= high.astype(np.float32)).all()
    names = {entry.name for entry in sims.compiled.randomized}
    assert {"mass", "friction", "kp", "delay"} <= names
    # the arms of the other tasks follow their hands: no position actuator reads an encoder
    assert ("joint_offset" in names) != task.endswith("_ee")
    assert all(entry.unit and entry.of for entry in sims.compiled.randomized)


def test_randomize_takes_the_place_of_the_tasks_own():
    own = randomized(Delay((1, 2)))
    assert make_task(own) is own
    assert make_task(own, randomize=False).randomize == ()
    assert make_task(own, randomize=True).randomize == PRESETS["mild"]
    assert make_task("reach").randomize == ()
    assert make_task("reach", randomize=(Delay((0, 1)),)).randomize == (Delay((0, 1)),)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (RandomField(quantity="weight", scale=(1.0, 2.0)), "unknown quantity 'weight'"),
        (RandomField(quantity="mass", of=("bal",), scale=(1, 2)), "unknown body 'bal'; .*'ball'"),
        (RandomField(quantity="mass"), "give one of scale and add, got neither"),
        (RandomField(quantity="kp", scale=(1, 2), add=(0, 1)), "got scale and add"),
        (RandomField(quantity="mass", add=(0.0, 1.0)), "mass takes scale, got add"),
        (RandomField(quantity="mass", scale=(0.0, 1.0)), r"scale must be above 0, got \(0.0, 1.0"),
        (RandomField(quantity="mass", scale=(2.0, 1.0)), r"must be \(lowest, highest\)"),
        (RandomField(quantity="gravity", add=(-1, 1), log=True), "log is of scale"),
        (RandomField(quantity="gravity", of=("ball",), scale=(1, 2)), "leave `of` out"),
        (RandomField(quantity="mass", of=("box", "box"), scale=(1, 2)), "names in `of` must"),
        (RandomField(quantity="size", of=("upper",), scale=(1, 2)), "must have no bodies on it"),
        (RandomField(quantity="armature", scale=(1, 2)), "leave the term out"),
        (RandomField(quantity="armature", of=("elbow",), scale=(1, 2)), "other than 0"),
        (RandomField(quantity="joint_offset", of=("shoulders",), add=(0, 1)), "'shoulder'"),
        (RandomField(quantity="camera_fovy", of=("front",), add=(0, 1)), "unknown camera"),
        (RandomField(quantity="mass", of="box", scale=(1, 2)), r"a tuple of names, as \('box',\)"),
        (RandomField(quantity="mass", scale=1.1), r"scale must be two numbers, \(least, most\)"),
        (Delay(2), r"steps must be two numbers, \(least, most\), got 2"),
        (Push("ball", 0.1, "hard"), "force must be two numbers"),
        (Delay((2, 1)), r"steps must be whole numbers \(fewest, most\)"),
        (Delay((0.0, 1.5)), "steps must be whole numbers"),
        (Push("bal", 0.1, (0, 1)), "unknown body 'bal'"),
        (Push("ball", 1.1, (0, 1)), "probability must be 0 .. 1, got 1.1"),
        (Push("ball", 0.1, (2, 1)), "force must be"),
        (Push("world", 0.1, (0, 1)), "must be able to move"),
        (ObservationNoise("qpo", 0.1), "unknown observation 'qpo'; did you mean 'qpos'"),
        (ObservationNoise("qpos", -0.1), "std must be 0 or more, got -0.1"),
    ],
)
def test_a_bad_term_is_refused_with_the_rule_and_the_repair(term, message):
    with pytest.raises(TaskError, match=f"randomize {type(term).__name__}: .*{message}"):
        compile_task(toy(randomize=(term,)))


def test_bad_randomize_arguments_are_refused():
    with pytest.raises(ValueError, match="'mildly'; did you mean 'mild'"):
        make_task("reach", randomize="mildly")
    with pytest.raises(ValueError, match="must hold RandomField, Delay, Push or"):
        make_task("reach", randomize=(0.1,))
    with pytest.raises(TaskError, match=r"randomize: .* must hold RandomField, Delay, Push or"):
        compile_task(toy(randomize=(0.1,)))
    assert compile_task(toy(randomize="mild")).randomized
    with pytest.raises(TaskError, match="one Delay, got two"):
        compile_task(toy(randomize=(Delay((0, 1)), Delay((1, 1)))))
    with pytest.raises(TaskError, match="one Push, got two"):
        compile_task(toy(randomize=(Push("ball", 0.1, (0, 1)),) * 2))
