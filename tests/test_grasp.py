"""The physics of the manipulation tasks holds what docs/physics.md promises, in plain MuJoCo."""

from dataclasses import replace

import grasps
import mujoco
import numpy as np
import pytest
from grasps import HALF, TOP, Setting

from lerobot_puffer.physics import MANIPULATION, SO101_GAINS, Grip
from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import Object, Scene

CHOSEN = (Setting("25 Hz"), Setting("50 Hz", replace(MANIPULATION, timestep=0.005)))
chosen = pytest.mark.parametrize("setting", CHOSEN, ids=lambda setting: setting.name)


@chosen
def test_held_cube_slips_less_than_2_mm_in_5_s(setting):
    slip, depth = grasps.hold(setting)
    assert slip < 5e-4
    assert depth < 5e-4


@chosen
@pytest.mark.parametrize("seed", range(3))
def test_cube_in_a_swinging_hand_slips_less_than_2_mm_in_5_s(setting, seed):
    slip, depth = grasps.hold(setting, swing=True, seed=seed)
    assert slip < 2e-3
    assert depth < 1e-3


def test_friction_damping_is_what_keeps_a_swinging_hand_from_losing_its_cube():
    slip, _ = grasps.hold(Setting("", grip=Grip(slip_damping=1.0)), swing=True)
    assert slip > 4e-3


@chosen
@pytest.mark.parametrize("stacked", [False, True])
def test_cubes_at_rest_stay_where_they_are_for_10_s(setting, stacked):
    assert grasps.rest(setting, stacked) < 2e-5


@chosen
@pytest.mark.parametrize("seed", range(4))
def test_dropped_cube_neither_tunnels_nor_gains_energy(setting, seed):
    bounce, energy, offset = grasps.drop(setting, seed)
    assert bounce < 0.1 * 0.3
    # the integrator falls h/2 behind: below a thousandth of 30 cm before it lands
    assert energy < 1 + 1e-3
    assert offset < 1e-4


@chosen
@pytest.mark.parametrize("seed", range(4))
def test_cube_under_a_driven_hand_stays_above_the_table(setting, seed):
    depth, lowest = grasps.press(setting, seed)
    assert depth < HALF
    assert lowest > HALF / 2


@chosen
def test_opened_gripper_lets_the_cube_go_without_a_push(setting):
    assert grasps.release(setting) < 1e-3


@chosen
@pytest.mark.parametrize("gripper", [0.3, 1.2])
def test_jaw_closing_at_full_speed_stops_at_the_cube(setting, gripper):
    model, data = grasps.arm_at(setting, (0.22, 0.0, TOP + 0.1), 0.3, 0.3, gripper)
    mujoco.mj_kinematics(model, data)
    site, quat = model.site("grasp").id, np.zeros(4)
    mujoco.mju_mat2Quat(quat, data.site_xmat[site])
    grasps.place(data, 0, data.site_xpos[site], tuple(quat))
    model.opt.gravity[:] = 0
    data.ctrl[5] = grasps.CLOSED
    deepest = max(grasps.depth(data) for _ in grasps.steps(model, data, 1.0))
    assert deepest < 2e-3
    assert 0.08 < data.qpos[5] < 0.18
    touching = {model.geom(geom).name for pair in data.contact.geom for geom in pair}
    assert touching == {"cube_0/box", "fixed_jaw_pad", "moving_jaw_pad"}
    assert grasps.depth(data) < 5e-4


@pytest.mark.parametrize("radius", [0.14, 0.2, 0.28])
@pytest.mark.parametrize(("angle", "yaw"), [(-1.2, 0.4), (0.0, 0.0), (1.2, -0.7)])
def test_cube_anywhere_in_the_ring_is_picked_up(radius, angle, yaw):
    rise = grasps.pick(CHOSEN[0], radius, angle, yaw)
    assert rise is not None
    assert rise > 0.05


def test_grip_pairs_every_jaw_geom_with_the_objects_solid_ones():
    objects = (Object("cube", "cube", (0.25, 0.0, 0.6125)), Object("milk", "milk", (0.2, 0.2, 0.7)))
    model = Scene(objects=objects, physics=MANIPULATION, grip=Grip(friction=0.7)).compile()
    pairs = {
        frozenset((model.geom(a).name, model.geom(b).name))
        for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)
    }
    jaws = [name for jaw in SO101.jaws for name in jaw]
    assert pairs == {frozenset((jaw, box)) for jaw in jaws for box in ("cube/box", "milk/box")}
    np.testing.assert_array_equal(model.pair_friction[:, :2], 0.7)
    np.testing.assert_array_equal(model.pair_solref, [(0.02, 0.75)] * len(pairs))
    np.testing.assert_array_equal(model.pair_solreffriction, [(0.0, -195.0)] * len(pairs))


def test_explicit_damping_is_a_flag_of_the_model():
    flag = int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    assert Scene(physics=MANIPULATION, gains=SO101_GAINS).compile().opt.disableflags == flag
    assert Scene().compile().opt.disableflags == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slip_damping": 2.0}, "slip_damping must be below 2, got 2.0"),
        ({"friction": 0.0}, "friction must be above 0, got 0.0"),
    ],
)
def test_wrong_grip_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Grip(**values)
