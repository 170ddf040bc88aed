"""Randomisation against plain MuJoCo loops on models edited by hand with the drawn values."""

import copy
import multiprocessing

import mujoco
import numpy as np
import pytest
from harness import STATE, Simulations, Text, toy
from test_step import loop

from lerobot_puffer.compile import compile_task
from lerobot_puffer.signals import Body, Contact, Site
from lerobot_puffer.terms import (
    Box,
    Delay,
    Field,
    ObservationNoise,
    Position,
    Push,
    RandomField,
    RandomJoints,
    RandomPose,
    SignalValue,
)

JOINTS = ("shoulder", "elbow")
ROBUST = toy(
    resets=(RandomJoints(JOINTS, (0.1, -0.2), noise=0.5),
            RandomPose("box", Box((-0.3, -0.7, 0.1), (0.3, -0.4, 0.1)), yaw=(-1.0, 1.0))),
    observations=(Field(name="qpos", field="qpos"), Field(name="qvel", field="qvel"),
                  Position(name="tip", point=Site("tip")), Position(name="box", point=Body("box")),
                  SignalValue(name="floor", signal=Contact(("floor",), ("box",)))),
    substeps=2,
)
XML = Text().xml.replace('damping="0.1"/>', 'damping="0.1" armature="0.02" frictionloss="0.05"/>'
                         ).replace("ctrlrange=", 'forcerange="-1 1" ctrlrange=')


def randomized(*terms, **changes):
    """The toy task with terms; its joints have all that can be drawn."""
    values = {f: getattr(ROBUST, f) for f in ("resets", "observations", "substeps")}
    return toy(**({"scene": Text(XML), "randomize": terms} | values | changes))


def drawn(sims, name, sim=0):
    """The numbers that a simulation drew for a quantity."""
    entry = next(e for e in sims.compiled.randomized if e.name == name)
    return sims.core.memory[sim, entry.slice]


def arrays(model):
    """Every array of a model, and the scalars that mj_setConst writes."""
    found = {name: value for name in dir(model) if not name.startswith("_")
             and isinstance(value := getattr(model, name), np.ndarray)}
    stat = {f"stat.{name}": getattr(model.stat, name) for name in ("meaninertia", "meanmass")}
    return found | {"gravity": model.opt.gravity} | stat


def scale(field, rows, columns=slice(None)):
    def edit(model, x):
        getattr(model, field).reshape(len(getattr(model, field)), -1)[rows, columns] *= x
    return edit


def edit_mass(model, x):
    model.body_mass[[1, 2, 3, 4]] *= x
    model.body_inertia[[1, 2, 3, 4]] *= x[:, None]


def edit_size(model, x):
    box, geom = model.body("box").id, model.geom("box").id
    model.geom_size[geom] *= x
    model.body_inertia[box] *= x * x


def edit_kp(model, x):
    model.actuator_gainprm[:, 0] *= x
    model.actuator_biasprm[:, 1] *= x


def edit_joint_offset(model, x):
    model.qpos0[:2] += x
    model.qpos_spring[:2] += x
    model.jnt_range[:2] += x[:, None]


def edit_gravity(model, x):
    model.opt.gravity[:] += x


# a term, the model edited by hand with what it drew, and what besides mj_setConst's constants moves
PHYSICAL = {
    "mass": (RandomField(quantity="mass", scale=(0.5, 2.0), log=True), edit_mass),
    "size": (RandomField(quantity="size", of=("box",), scale=(0.6, 1.5)), edit_size),
    "friction": (RandomField(quantity="friction", of=("ball", "floor"), scale=(0.2, 1.4)),
                 lambda m, x: scale("geom_friction", [m.geom(g).id for g in ("ball", "floor")])(
                     m, x[:, None])),
    "damping": (RandomField(quantity="damping", scale=(0.5, 2.0)), scale("dof_damping", [0, 1], 0)),
    "armature": (RandomField(quantity="armature", of=("elbow",), scale=(0.5, 2.0)),
                 scale("dof_armature", [1])),
    "frictionloss": (RandomField(quantity="frictionloss", scale=(0.5, 2.0), together=True),
                     scale("dof_frictionloss", [0, 1])),
    "joint_offset": (RandomField(quantity="joint_offset", add=(-0.1, 0.1)), edit_joint_offset),
    "kp": (RandomField(quantity="kp", scale=(0.5, 2.0)), edit_kp),
    "kv": (RandomField(quantity="kv", of=("elbow",), scale=(0.5, 2.0)),
           scale("actuator_biasprm", [1], 2)),
    "force_limit": (RandomField(quantity="force_limit", scale=(0.1, 0.3)),
                    lambda m, x: scale("actuator_forcerange", [0, 1])(m, x[:, None])),
    "gravity": (RandomField(quantity="gravity", add=(-1.0, 1.0)), edit_gravity),
}


def by_hand(sims, names, sim):
    """The nominal model edited with what a simulation drew, and its constants computed."""
    model = copy.copy(sims.model)
    for name in names:
        PHYSICAL[name][1](model, drawn(sims, name, sim))
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def matches_plain_loop(sims, names, steps=60):
    """Whether states follow plain loops on models edited by hand, bit for bit."""
    rng = np.random.default_rng(3)
    n = len(sims.actions)
    actions = rng.uniform(-1.5, 1.5, (steps, *sims.actions.shape))
    start = sims.core.state.copy()
    models = [by_hand(sims, names, i) for i in range(n)]
    seen = []
    for action in actions:
        sims.step(action)
        seen.append(sims.core.state.copy())
    for i in range(n):
        for state, (row, _) in zip(seen, loop(sims.compiled, start[i], actions[:, i], models[i]),
                                   strict=True):
            assert np.array_equal(state[i], row)


@pytest.mark.parametrize("name", PHYSICAL)
def test_a_quantity_changes_its_numbers_and_nothing_else(name):
    sims = Simulations(randomized(PHYSICAL[name][0]), 4, 2)
    term, _ = PHYSICAL[name]
    values = np.array([drawn(sims, name, i) for i in range(4)])
    low, high = term.scale or term.add
    assert (values >= low).all() and (values <= high).all()
    assert len(np.unique(values)) == values.size
    model, nominal = copy.copy(sims.model), arrays(sims.model)
    for i in range(4):
        sims.core.write_model(i, model)
        expected = arrays(by_hand(sims, [name], i))
        found = arrays(model)
        assert [key for key in expected if not np.array_equal(found[key], expected[key])] == []
        assert [key for key in found if not np.array_equal(found[key], nominal[key])]


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", PHYSICAL)
def test_a_quantity_steps_as_a_plain_loop_on_a_model_edited_by_hand(name, persistent):
    matches_plain_loop(
        Simulations(randomized(PHYSICAL[name][0]), 3, 2, persistent=persistent), [name])


def test_all_quantities_together_step_as_a_plain_loop():
    sims = Simulations(randomized(*(term for term, _ in PHYSICAL.values())), 3, 2)
    matches_plain_loop(sims, PHYSICAL)
    sims.core.reset()
    matches_plain_loop(sims, PHYSICAL)


def test_models_after_an_autoreset_have_the_new_draws_and_their_constants():
    names = ("mass", "joint_offset", "size")
    sims = Simulations(randomized(*(PHYSICAL[n][0] for n in names), episode_length=5), 4, 2)
    model, before = copy.copy(sims.model), sims.core.memory.copy()
    sims.core.episode["steps"] = [0, 1, 2, 3]
    for step in range(1, 5):
        sims.step(0.3)
        for i in range(4):
            began = sims.truncations[i]
            assert began == (step + i == 5)
            assert np.array_equal(sims.core.memory[i, :2], before[i, :2]) == (step + i < 5)
            sims.core.write_model(i, model)
            expected, found = arrays(by_hand(sims, names, i)), arrays(model)
            assert all(np.array_equal(found[key], expected[key]) for key in expected)
    sims.core.episode["steps"] = 0
    matches_plain_loop(sims, names, steps=4)


def test_the_first_observation_sees_the_drawn_model():
    sims = Simulations(randomized(PHYSICAL["joint_offset"][0], PHYSICAL["size"][0]), 6, 2)
    for i in range(6):
        data = mujoco.MjData(by_hand(sims, ("joint_offset", "size"), i))
        mujoco.mj_setState(data.model, data, sims.core.state[i], STATE)
        mujoco.mj_forward(data.model, data)
        assert np.array_equal(sims.part("tip")[i], data.site("tip").xpos)
    tips = sims.part("tip").copy()
    sims.step()
    assert not np.array_equal(tips, sims.part("tip"))


def test_zeros_have_no_field_of_their_own_unless_something_is_added_to_them():
    sized = compile_task(randomized(PHYSICAL["size"][0]))
    assert not {"geom_pos", "body_ipos"} & set(sized.tables.fields)
    sims = Simulations(randomized(RandomField(quantity="gravity", add=(-1.0, 1.0)),
                                  RandomField(quantity="gravity", scale=(2.0, 2.0))))
    model = copy.copy(sims.model)
    sims.core.write_model(0, model)
    expected = (sims.model.opt.gravity + sims.core.memory[0, :3]) * 2
    assert (expected != 0).all() and np.array_equal(model.opt.gravity, expected)


def test_an_observed_joint_position_is_the_true_one_and_the_offset():
    sims = Simulations(randomized(PHYSICAL["joint_offset"][0]), 5)
    data = mujoco.MjData(sims.model)
    for i in range(5):
        offset = drawn(sims, "joint_offset", i)
        mujoco.mj_setState(sims.model, data, sims.core.state[i], STATE)
        assert np.array_equal(sims.part("qpos")[i, :2], data.qpos[:2])
        data.qpos[:2] -= offset
        mujoco.mj_kinematics(sims.model, data)
        # (reading - offset) - 0 against reading - (0 + offset): the same but for one rounding
        assert np.allclose(sims.part("tip")[i], data.site("tip").xpos, atol=1e-15)


def test_a_body_of_another_size_is_what_mujoco_compiles_and_stands_on_the_ground():
    term = RandomField(quantity="size", of=("box", "ball"), scale=(2.0, 2.0))
    sims = Simulations(randomized(term, resets=()), 1)
    model = copy.copy(sims.model)
    sims.core.write_model(0, model)
    big = mujoco.MjModel.from_xml_string(
        XML.replace('size=".1" mass', 'size=".2" mass').replace(".1 .1 .1", ".2 .2 .2"))
    for name, expected in arrays(big).items():
        # the compiler has the inertia from a formula, we from a product
        assert np.allclose(getattr(model, name, expected), expected, rtol=1e-14, atol=0), name
    assert np.allclose(sims.core.state[0][[5, 12]], 0.2, atol=1e-15)
    shrunk = Simulations(randomized(
        RandomField(quantity="size", of=("box",), scale=(0.5, 0.9))), 20)
    assert np.allclose(shrunk.part("box")[:, 2], 0.1 * shrunk.core.memory[:, 0], atol=1e-15)


@pytest.mark.parametrize(("of", "followed"), [
    (("ball", "floor"), 0), (("floor", "ball"), 1), (("floor",), 0), (("ball",), 0)])
def test_explicit_pairs_follow_the_friction_of_their_geoms(of, followed):
    pairs = '<contact><pair geom1="floor" geom2="ball" friction="1 .9 .1 .02 .03"/><pair ' \
            'geom1="lower" geom2="box"/></contact><actuator>'
    scene = Text(XML.replace("<actuator>", pairs))
    for way, rows in (({"scale": (0.2, 1.4)}, slice(5)), ({"add": (0.1, 0.5)}, slice(2))):
        sims = Simulations(randomized(RandomField(quantity="friction", of=of, **way),
                                      scene=scene), 2)
        model, nominal = copy.copy(sims.model), sims.model.pair_friction
        for i in range(2):
            sims.core.write_model(i, model)
            expected, x = nominal.copy(), drawn(sims, "friction", i)[followed]
            expected[0, rows] = expected[0, rows] * x if "scale" in way else expected[0, rows] + x
            assert np.array_equal(model.pair_friction, expected)


def test_log_and_together_are_what_they_say():
    wide = RandomField(quantity="kp", scale=(0.1, 10.0), log=True)
    many = Simulations(randomized(wide), 3000)
    x = np.log10(many.core.memory[:, :2])
    # standard error of the mean 0.577 / sqrt(6000) = 0.0075; five of them
    assert abs(x.mean()) < 0.038 and x.min() < -0.98 and x.max() > 0.98
    one = Simulations(randomized(RandomField(quantity="kp", scale=(0.5, 2.0), together=True)))
    assert one.compiled.randomized[0].size == 1
    model = copy.copy(one.model)
    one.core.write_model(0, model)
    assert np.array_equal(model.actuator_gainprm[:, 0], 20 * np.full(2, drawn(one, "kp")[0]))


EVERYTHING = (*(term for term, _ in PHYSICAL.values()), Delay((0, 3)), Push("box", 0.2, (0.0, 3.0)),
              ObservationNoise("qpos", 0.01))


def play(sims, steps, first=0, count=None):
    """Rows of the first `count` simulations, with actions that depend on the step alone."""
    out = []
    for step in range(first, first + steps):
        sims.step(np.random.default_rng(step).uniform(-1, 1, (64, 2))[:len(sims.actions)])
        out.append(np.concatenate([sims.observations, sims.rewards[:, None]], axis=1)[:count])
    return np.array(out)


def test_trajectories_do_not_depend_on_threads_batch_persistence_or_neighbours():
    task = compile_task(randomized(*EVERYTHING, episode_length=9))
    expected = play(Simulations(task, 3, 1, seed=2), 40)
    assert np.isfinite(expected).all()
    for n, threads, persistent in ((3, 2, False), (3, 3, True), (33, 2, False), (64, 3, True)):
        sims = Simulations(task, n, threads, seed=2, persistent=persistent)
        sims.core.reset(range(3, n, 4))
        assert np.array_equal(play(sims, 40, count=3), expected)


@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
def test_a_restored_state_goes_on_bit_for_bit_with_what_it_drew(autoreset):
    task = compile_task(randomized(*EVERYTHING, episode_length=13))
    sims = Simulations(task, 5, 2, seed=4, autoreset=autoreset)
    play(sims, 7)
    snapshot = sims.core.get_state()
    expected = play(sims, 30, first=7)
    other = Simulations(task, 5, 1, seed=99, autoreset=autoreset)
    play(other, 11)
    other.core.set_state(snapshot)
    assert np.array_equal(play(other, 30, first=7), expected)
    # back in the first, and only some, in another order
    sims.core.set_state(snapshot[[3, 1]], [3, 1])
    assert np.array_equal(play(sims, 30, first=7)[:, [1, 3]], expected[:, [1, 3]])


def _play_on(sims, out):
    out.put(play(sims, 20, first=5))


@pytest.mark.no_sanitizer
def test_a_forked_child_goes_on_with_the_drawn_models():
    sims = Simulations(compile_task(randomized(*EVERYTHING, episode_length=13)), 4, 2)
    play(sims, 5)
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    process = context.Process(target=_play_on, args=(sims, out))
    process.start()
    theirs = out.get(timeout=60)
    process.join(30)
    assert process.exitcode == 0
    assert np.array_equal(theirs, play(sims, 20, first=5))
