"""The ALOHA station against the reference's numbers, hulls and free-space trajectory.

``data/aloha_*`` hold facts of gym-aloha 0.1.5 under MuJoCo 4.0.0; their ``meta`` says how each was
made. ``test_models.py`` has what concerns every scene.
"""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from lerobot_puffer.aloha import (
    ALOHA_INSERTION,
    ALOHA_INSERTION_EE,
    ALOHA_INSERTION_REFERENCE,
    ALOHA_TRANSFER_CUBE,
    ALOHA_TRANSFER_CUBE_EE,
    ALOHA_TRANSFER_CUBE_REFERENCE,
    finger_geoms,
)
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.scene import Physics, SceneError

DATA = Path(__file__).parent / "data"
FAST = Physics(timestep=0.005, integrator="implicitfast", cone="elliptic")
OPEN, SHUT = 0.057, 0.021

SCENES = [
    pytest.param(ALOHA_TRANSFER_CUBE, "transfer_cube", id="transfer_cube"),
    pytest.param(ALOHA_INSERTION, "insertion", id="insertion"),
]
HANDS = [
    pytest.param(ALOHA_TRANSFER_CUBE_EE, "transfer_cube", id="transfer_cube"),
    pytest.param(ALOHA_INSERTION_EE, "insertion", id="insertion"),
]


@pytest.fixture(scope="module")
def station():
    return ALOHA_TRANSFER_CUBE.compile()


@pytest.fixture(scope="module")
def facts():
    return json.loads((DATA / "aloha_reference.json").read_text())


def at_home(model):
    data = mujoco.MjData(model)
    data.qpos[:16] = ALOHA.home
    if model.nu == 16:
        data.ctrl[:] = ALOHA.home
    else:
        data.ctrl[:] = np.reshape(ALOHA.home, (2, 8))[:, 6:].ravel()
    mujoco.mj_forward(model, data)
    return data


def touching(model, data):
    return {tuple(model.geom(g).name for g in pair) for pair in data.contact.geom}


# attaching composes poses of frames: last bits of rotation by 3.1416 rad
EXACT = {"rtol": 0, "atol": 2e-15}


@pytest.mark.parametrize(("scene", "task"), SCENES)
def test_sizes_start_and_objects_equal_the_reference(scene, task, facts):
    model, want = scene.compile(), facts[task]
    assert {key: getattr(model, key) for key in want["sizes"]} == want["sizes"]
    np.testing.assert_array_equal(model.qpos0, want["qpos0"])
    for i, obj in enumerate(want["objects"]):
        body = model.body(obj["name"])
        assert model.jnt_bodyid[16 + i] == body.id
        assert body.mass == obj["mass"]
        np.testing.assert_array_equal(body.inertia, obj["inertia"])
        np.testing.assert_array_equal(body.ipos, 0)
        dof = model.joint(f"{obj['name']}/joint").dofadr[0]
        np.testing.assert_array_equal(model.dof_frictionloss[dof : dof + 6], obj["frictionloss"])
        assert body.geomnum[0] == len(obj["geoms"])
        for j, geom in enumerate(obj["geoms"]):
            for key in ("pos", "size", "condim", "friction", "solref", "solimp"):
                field = getattr(model, f"geom_{key}")[body.geomadr[0] + j]
                np.testing.assert_array_equal(field, geom[key])


def test_bodies_equal_the_reference(station, facts):
    def ours(name):
        return station.body(name if "/" in name or name == "world" else f"{name}/base")

    for want in facts["bodies"]:
        body = ours(want["name"])
        assert body.parentid == ours(want["parent"]).id
        np.testing.assert_allclose(body.pos, want["pos"], **EXACT)
        np.testing.assert_allclose(body.quat, want["quat"], **EXACT)
        assert body.mass == want["mass"]
        if body.mass > 0:
            np.testing.assert_array_equal(body.ipos, want["ipos"])
            np.testing.assert_array_equal(body.iquat, want["iquat"])
            np.testing.assert_array_equal(body.inertia, want["inertia"])
    assert station.body("vx300s_left/shoulder_link").id < station.body("vx300s_right/base").id


def test_joints_and_actuators_equal_the_reference(station, facts):
    for i, want in enumerate(facts["joints"]):
        joint = station.joint(i)
        assert joint.name == want["name"] == ALOHA.joints[i]
        assert station.body(joint.bodyid[0]).name == want["body"]
        assert joint.type == want["type"]
        for key in ("axis", "range", "damping", "armature", "frictionloss"):
            np.testing.assert_array_equal(np.squeeze(getattr(joint, key)), want[key])
    for i, want in enumerate(facts["actuators"]):
        assert station.actuator(i).name == want["joint"] == ALOHA.actuators[i]
        assert station.joint(station.actuator_trnid[i, 0]).name == want["joint"]
        np.testing.assert_array_equal(station.actuator_gainprm[i, :3], want["gainprm"])
        np.testing.assert_array_equal(station.actuator_biasprm[i, :3], want["biasprm"])
        np.testing.assert_array_equal(station.actuator_ctrlrange[i], want["ctrlrange"])
        assert station.actuator_forcelimited[i] == want["forcelimited"]
        np.testing.assert_array_equal(station.actuator_forcerange[i], want["forcerange"])


def test_cameras_equal_the_reference(station, facts):
    data = at_home(station)
    assert [station.cam(i).name for i in range(station.ncam)] == [
        want["name"] for want in facts["cameras"]
    ]
    for i, want in enumerate(facts["cameras"]):
        assert station.cam_fovy[i] == want["fovy"]
        np.testing.assert_allclose(data.cam_xpos[i], want["pos"], **EXACT)
        np.testing.assert_allclose(data.cam_xmat[i], want["mat"], rtol=0, atol=1e-14)


def test_table_and_fingers_have_the_contact_parameters_of_the_reference(station, facts):
    table = station.geom("table")
    middle = at_home(station).geom_xpos[table.id]
    # the reference's table is a mesh in single precision
    np.testing.assert_allclose(middle - table.size, facts["table"]["low"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(middle + table.size, facts["table"]["high"], rtol=0, atol=1e-6)
    for arm in ("left", "right"):
        for finger in ("left", "right"):
            for name in finger_geoms(arm, finger):
                geom = station.geom(name)
                assert geom.condim == facts["finger"]["condim"]
                for key in ("friction", "solref", "solimp"):
                    np.testing.assert_array_equal(getattr(geom, key), facts["finger"][key])


@pytest.mark.parametrize(
    ("reference", "task"),
    [(ALOHA_TRANSFER_CUBE_REFERENCE, "transfer_cube"), (ALOHA_INSERTION_REFERENCE, "insertion")],
)
def test_installed_reference_has_the_committed_numbers(reference, task, facts):
    try:
        model = reference.compile()
    except SceneError as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal(model.qpos0, facts[task]["qpos0"])
    for want in facts["bodies"]:
        assert model.body(want["name"]).mass == want["mass"]
        np.testing.assert_array_equal(model.body(want["name"]).inertia, want["inertia"])


@pytest.mark.parametrize("run", [0, 1], ids=["contacts", "no_contacts"])
@pytest.mark.parametrize(("scene", "task"), SCENES)
def test_free_arms_follow_the_reference(scene, task, run):
    golden = np.load(DATA / "aloha_free_space.npz", allow_pickle=False)
    model = scene.compile(visual=False)
    if run:
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    data = mujoco.MjData(model)
    data.qpos[:16] = golden["start"]
    worst = 0.0
    for step, ctrl in enumerate(golden["ctrl"][run]):
        data.ctrl[:] = ctrl
        mujoco.mj_step(model, data)
        if step % 10 == 9:
            worst = max(worst, np.abs(data.qpos[:16] - golden["qpos"][run, step // 10]).max())
            # a step is 2 ms, so 1e-9 rad of position error allows 5e-7 rad/s
            assert np.abs(data.qvel[:16] - golden["qvel"][run, step // 10]).max() < 5e-7
    print(f"\n{task}, run {run}: largest deviation {worst:.1e} rad or m")
    assert worst < 1e-9


def boxes_of(model, names):
    for name in names:
        geom = model.geom(name)
        mat = np.zeros(9)
        mujoco.mju_quat2Mat(mat, geom.quat)
        yield geom.pos, mat.reshape(3, 3), geom.size


def distance_to_box(points, box):
    pos, mat, size = box
    return np.linalg.norm(np.maximum(np.abs((points - pos) @ mat) - size, 0), axis=1)


@pytest.mark.parametrize("arm", ["left", "right"])
@pytest.mark.parametrize(("finger", "inwards"), [("left", -1), ("right", 1)])
def test_gripping_faces_are_within_1_mm_of_the_reference_hull(station, arm, finger, inwards):
    hull = np.load(DATA / "aloha_fingers.npz", allow_pickle=False)
    boxes = list(boxes_of(station, finger_geoms(arm, finger)))
    face = hull[f"{finger}_face"].astype(float)
    to_boxes = np.min([distance_to_box(face, box) for box in boxes], axis=0)

    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (5, 4000, 3))
    points[..., 1] = inwards
    surface = np.concatenate(
        [pos + (u * size) @ mat.T for u, (pos, mat, size) in zip(points, boxes, strict=True)]
    )
    heights = surface[:, 1] * inwards
    # the boxes touch with their inner faces, no more than 0.3 mm behind the hull's
    np.testing.assert_allclose(heights, np.abs(face[:, 1]).mean(), rtol=0, atol=4e-4)
    beyond = (surface @ hull[f"{finger}_normals"].T - hull[f"{finger}_offsets"]).max(axis=1)

    print(f"\n{arm} arm, {finger} finger: hull to boxes at most {to_boxes.max() * 1e3:.2f} mm, "
          f"boxes out of the hull at most {beyond.max() * 1e3:.2f} mm")
    assert to_boxes.max() < 1e-3
    assert beyond.max() < 1e-3


def test_primitives_collide_and_no_arm_meets_itself(station):
    kinds = {int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CAPSULE)}
    solid = [i for i in range(station.ngeom) if station.geom_conaffinity[i]]
    assert {station.geom_type[i] for i in solid} == kinds
    names = {i: station.body(station.geom_bodyid[i]).name for i in solid}
    arms = [[i for i in solid if names[i].startswith(f"vx300s_{s}")] for s in ("left", "right")]
    assert len(arms[0]) == len(arms[1]) == 17
    assert not any(name.endswith("/base") for name in names.values())

    def meet(a, b):
        one = station.geom_contype[a] & station.geom_conaffinity[b]
        return bool(one | station.geom_contype[b] & station.geom_conaffinity[a])

    assert not any(meet(a, b) for arm in arms for a in arm for b in arm)
    # of a finger, only the pad meets more than objects
    faces = {
        station.geom(name).id
        for arm in ("left", "right")
        for finger in ("left", "right")
        for name in finger_geoms(arm, finger)
        if not name.endswith("_pad")
    }
    links = [[i for i in arm if i not in faces] for arm in arms]
    assert len(faces) == 16
    table, cube = station.geom("table").id, station.geom("box/box").id
    assert meet(table, cube)
    assert all(meet(cube, a) for arm in arms for a in arm)
    assert all(meet(table, a) for arm in links for a in arm)
    assert all(meet(a, b) for a in links[0] for b in links[1])
    assert not any(meet(table, a) for a in faces)
    assert not any(meet(a, b) for a in faces for arm in arms for b in arm)


@pytest.mark.parametrize(("scene", "task"), SCENES + HANDS)
def test_at_home_objects_rest_and_touch_the_table_only(scene, task, facts):
    model = scene.compile(visual=False)
    data = at_home(model)
    assert data.ncon == 0
    bodies = [model.body(obj["name"]).id for obj in facts[task]["objects"]]
    mujoco.mj_step(model, data, 1500)
    settled = data.qpos[16:].copy()
    heights = {"transfer_cube": [0.02], "insertion": [0.01, 0.022]}[task]
    np.testing.assert_allclose(data.xpos[bodies, 2], heights, rtol=0, atol=1e-4)
    mujoco.mj_step(model, data, 1000)
    np.testing.assert_allclose(data.qpos[16:], settled, rtol=0, atol=1e-6)
    assert all("table" in pair for pair in touching(model, data))
    assert data.ncon >= 4 * len(bodies)


@pytest.mark.parametrize(("scene", "task"), HANDS)
def test_hands_hang_on_mocap_bodies_that_do_not_pull_at_home(scene, task, facts):
    model, want = scene.compile(visual=False), facts["mocap"]
    assert (model.nq, model.nu, model.nmocap) == (facts[task]["sizes"]["nq"], want["nu"], 2)
    assert [model.actuator(i).name for i in range(4)] == want["actuators"]
    for i, name in enumerate(want["bodies"]):
        assert model.body(name).mocapid == i
        assert model.eq_obj1id[i] == model.body(name).id
        assert model.eq_obj2id[i] == model.body(want["hands"][i]).id
        np.testing.assert_array_equal(model.eq_data[i, 3:6], 0)
        np.testing.assert_allclose(model.eq_data[i, 6:10], want["quat"][i], **EXACT)
        np.testing.assert_array_equal(model.eq_solref[i], want["solref"])
        np.testing.assert_array_equal(model.eq_solimp[i], want["solimp"])
    data = at_home(model)
    assert data.ne == 12
    # m and rad; the starts of the mocap bodies are rounded to 1e-8
    assert np.abs(data.efc_pos[:12]).max() < 1e-6
    hands = [model.body(name).id for name in want["hands"]]
    start = data.xpos[hands].copy()
    mujoco.mj_step(model, data, 1000)
    # the soft weld lets the arms sink by a millimetre; the reference's pulls them back by 135 mm
    assert np.abs(data.xpos[hands] - start).max() < 2e-3


def carry(model, data, hand, tilt, stops):
    """Move the right hand's pads along ``stops``: seconds, point, half width of its opening."""
    i = model.body("mocap_right").mocapid[0]
    aim = np.array([-np.cos(tilt), 0.0, -np.sin(tilt)])
    quat = np.array([np.cos(tilt / 2), 0.0, -np.sin(tilt / 2), 0.0])
    where = []
    for seconds, point, width in stops:
        steps = int(seconds / model.opt.timestep)
        pos, old = data.mocap_pos[i].copy(), data.mocap_quat[i].copy()
        data.ctrl[2:] = width, -width
        for part in np.arange(1, steps + 1) / steps:
            data.mocap_pos[i] = pos + part * (np.array(point) - 0.137 * aim - pos)
            data.mocap_quat[i] = old + part * (quat - old)
            data.mocap_quat[i] /= np.linalg.norm(data.mocap_quat[i])
            mujoco.mj_step(model, data)
        cube = data.body("box").xpos - data.xpos[hand]
        where.append(data.xmat[hand].reshape(3, 3).T @ cube)
    return np.array(where)


@pytest.mark.parametrize("physics", [ALOHA_TRANSFER_CUBE.physics, FAST], ids=["reference", "fast"])
def test_hand_lifts_and_holds_the_cube(physics):
    model = replace(ALOHA_TRANSFER_CUBE_EE, physics=physics).compile(visual=False)
    data = at_home(model)
    hand = model.body("vx300s_right/gripper_link").id
    stops = [
        (3.0, (0.2, 0.5, 0.12), OPEN), (2.0, (0.2, 0.5, 0.02), OPEN),
        (2.0, (0.2, 0.5, 0.02), SHUT), (2.0, (0.2, 0.5, 0.15), SHUT), (3.0, (0.2, 0.5, 0.15), SHUT),
    ]
    where = carry(model, data, hand, 0.9, stops)
    slid = np.linalg.norm(where[-1] - where[-2])
    print(f"\ncube slid {slid * 1e3:.2f} mm in 3 s")
    assert data.body("box").xpos[2] > 0.12
    touched = {name for pair in touching(model, data) for name in pair}
    for finger in ("left", "right"):
        assert touched & set(finger_geoms("right", finger))
    assert "table" not in touched
    assert slid < 1e-3


@pytest.mark.parametrize("scene", [ALOHA_INSERTION, ALOHA_TRANSFER_CUBE_EE], ids=["arms", "hands"])
def test_scene_survives_pickling_and_compiles_the_same(scene):
    copy = pickle.loads(pickle.dumps(scene))
    assert copy == scene
    one, two = scene.compile(), copy.compile(visual=False)
    np.testing.assert_array_equal(one.qpos0, two.qpos0)
    np.testing.assert_array_equal(one.body_inertia, two.body_inertia)
    np.testing.assert_array_equal(one.eq_data, two.eq_data)


def test_wrist_cameras_see_both_fingers_and_the_room_is_lit(station):
    data = at_home(station)
    try:
        renderer = mujoco.Renderer(station, 120, 160)
    except Exception as error:  # a machine without EGL, OSMesa and display
        pytest.skip(f"no offscreen rendering: {error}")
    with renderer:
        for side in ("left", "right"):
            renderer.update_scene(data, f"{side}_wrist")
            image = renderer.render()
            renderer.enable_segmentation_rendering()
            renderer.update_scene(data, f"{side}_wrist")
            geoms = np.unique(renderer.render()[..., 0])
            renderer.disable_segmentation_rendering()
            seen = {station.body(station.geom_bodyid[g]).name for g in geoms if g >= 0}
            assert {f"vx300s_{side}/{f}_finger_link" for f in ("left", "right")} <= seen
            assert 25 < image.mean() < 235
