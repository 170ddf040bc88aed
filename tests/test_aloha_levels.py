"""The ALOHA rewards in poses set up for every level, against the reference's rules.

The rules are coded here once more, over the contact pairs of a plain mj_forward.
"""

import mujoco
import numpy as np
import pytest
from harness import Simulations

from lerobot_puffer.compile import compile_task
from lerobot_puffer.robots import ALOHA
from lerobot_puffer.tasks import make_task

PAD = 0.0224  # the pad's face behind the axis of its slide, m
GRASPED = {"box": 0.02, "peg": 0.01, "socket": 0.022}  # half widths across the fingers, m
RESTING = {"box": 0.02, "peg": 0.01, "socket": 0.022}  # height on the table, m
AWAY = {"box": (0.1, 0.9), "peg": (0.3, 0.9), "socket": (-0.3, 0.9)}  # where no hand is
DEEP = 5e-4  # how far things are put into each other, m
SIDE = {"left": -1, "right": 1}


class Pose:
    """A pose under construction."""

    def __init__(self, model):
        self.model, self.data = model, mujoco.MjData(model)
        self.data.qpos[:16] = ALOHA.home
        for name in set(AWAY) & {model.body(i).name for i in range(model.nbody)}:
            self.lay(name, *AWAY[name])

    @property
    def qpos(self):
        return self.data.qpos.copy()

    def joint(self, name):
        return self.data.joint(name).qpos

    def put(self, name, pos, yaw=0.0):
        self.joint(f"{name}/joint")[:] = (*pos, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def lay(self, name, x, y, yaw=0.0):
        """Onto the table."""
        self.put(name, (x, y, RESTING[name] - DEEP), yaw)

    def reach(self, arm, distance, height, turn, tilt=0.8):
        """Bring the middle of a hand's pads above or onto a point at a distance from its base."""
        names = [f"vx300s_{arm}/{joint}" for joint in ("shoulder", "elbow", "wrist_angle")]
        self.joint(f"vx300s_{arm}/waist")[:] = turn
        hand = self.data.body(f"vx300s_{arm}/gripper_link")
        base = np.array([0.469 * SIDE[arm], 0.5])

        def error(angles):
            for name, angle in zip(names, angles, strict=True):
                self.joint(name)[:] = angle
            mujoco.mj_kinematics(self.model, self.data)
            ahead = hand.xmat.reshape(3, 3)[:, 0]
            point = hand.xpos + 0.12 * ahead
            return np.array([np.linalg.norm(point[:2] - base) - distance, point[2] - height,
                             np.arcsin(-ahead[2]) - tilt]), point

        angles = np.array([-0.5, 0.8, 0.5])
        for _ in range(50):
            now, point = error(angles)
            if np.abs(now).max() < 1e-9:
                break
            slope = np.array([(error(angles + step)[0] - now) / 1e-6 for step in 1e-6 * np.eye(3)])
            angles -= np.linalg.solve(slope.T, now)
        assert np.abs(now).max() < 1e-9
        return point

    def close(self, arm, name, fingers):
        """Let `fingers` of a hand touch an object of that width between them, open the others."""
        for finger, sign in (("left", 1), ("right", -1)):
            width = PAD + GRASPED[name] - DEEP if finger in fingers else 0.057
            self.joint(f"vx300s_{arm}/{finger}_finger")[:] = sign * width

    def grasp(self, arm, name, distance, height=None, turn=0.0, fingers=("left", "right")):
        """A hand around an object on the table, or at a height."""
        low = height is None
        point = self.reach(arm, distance, RESTING[name] - DEEP if low else height, turn)
        self.put(name, point, turn)
        self.close(arm, name, fingers)
        return self


def cube(model, level, case):
    pose = Pose(model)
    arm = "right" if level in (1, 2) else "left"
    distance, turn = ((0.35, 0.0), (0.45, 0.2), (0.4, -0.25))[case]
    height = None if level in (1, 3) else (0.12, 0.2, 0.25)[case]
    if level == 0:
        # on the table alone; hand around it without touch; the finger that does not count
        if case:
            pose.grasp("right", "box", distance, None, turn, ("left",) if case == 2 else ())
        return pose
    pose.grasp(arm, "box", distance, height, turn,
               ("left", "right") if case == 0 else (arm,))
    return pose


def parts(model, level, case):
    pose = Pose(model)
    if level == 0:
        # nothing; the peg alone; both, but the socket by the finger that does not count
        if case:
            pose.grasp("right", "peg", 0.35, (0.12, None)[case - 1])
        if case == 2:
            pose.grasp("left", "socket", 0.35, 0.12, fingers=("right",))
    elif level in (1, 2):
        # of level 1, each with another part on the table
        turn, distance = (0.0, 0.2, -0.2)[case], (0.3, 0.32, 0.34)[case]
        heights = (0.15, 0.2) if level == 2 else ((None, None), (0.15, None), (None, 0.15))[case]
        for arm, part, height in (("right", "peg", heights[0]), ("left", "socket", heights[1])):
            pose.grasp(arm, part, distance, height, turn, ("left", "right") if case else (arm,))
    else:
        # in the socket's frame: at a wall short of the pin, and at the pin
        depth = 0.11 if level == 3 else (0.0995, 0.09, 0.0995)[case]
        beside = ((0.0085, 0.0), (0.0, -0.0085), (-0.0085, 0.0085))[case]
        socket = np.array([0.0, 0.5, 0.2])
        if case == 1:
            socket = pose.reach("left", 0.4, 0.2, 0.0)
            pose.close("left", "socket", ("left", "right"))
        if case == 2 and level == 4:
            socket[2] = RESTING["socket"] - DEEP  # level 4 does not ask where the table is
            beside = (0.0, 0.0)
        pose.put("socket", socket)
        pose.put("peg", socket + np.array([depth, *beside]))
    return pose


def touching(model, data):
    """Names of the geoms of every contact, both ways round."""
    pairs = [tuple(model.geom(g).name for g in pair) for pair in data.contact.geom]
    return set(pairs) | {pair[::-1] for pair in pairs}


def level_of_the_rules(task, pairs):
    """The reward that gym-aloha's rules give to contact pairs."""
    def touch(a, b):
        return any(x.startswith(a) and y.startswith(b) for x, y in pairs)

    right, left = "vx300s_right/right_", "vx300s_left/left_"
    reward = 0
    if task == "aloha_transfer_cube":
        table = touch("box/", "table")
        if touch("box/", right):
            reward = 1 if table else 2
        if touch("box/", left):
            reward = 3 if table else 4
        return reward
    held = touch("peg/", right) and touch("socket/wall", left)
    table = touch("peg/", "table") or touch("socket/wall", "table")
    if held:
        reward = 1 if table else 2
    if touch("peg/", "socket/wall") and not table:
        reward = 3
    return 4 if touch("peg/", "socket/pin") else reward


@pytest.fixture(scope="module")
def simulations():
    return {
        (task, physics): Simulations(
            compile_task(make_task(task, options={"physics": physics})), autoreset="disabled")
        for task in ("aloha_transfer_cube", "aloha_insertion") for physics in ("reference", "fast")
    }


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("task", ["aloha_transfer_cube", "aloha_insertion"])
def test_a_pose_made_for_a_level_has_its_reward(simulations, task, level, case):
    for physics in ("reference", "fast"):
        sims = simulations[task, physics]
        pose = (cube if task == "aloha_transfer_cube" else parts)(sims.model, level, case)
        data = sims.place(qpos=pose.qpos, qvel=0, ctrl=0)
        assert level_of_the_rules(task, touching(sims.model, data)) == level
        assert sims.rewards[0] == level
        assert sims.terminals[0] == (level == 4)


@pytest.mark.parametrize("physics", ["reference", "fast"])
@pytest.mark.parametrize("task", ["aloha_transfer_cube", "aloha_insertion"])
def test_rewards_of_random_motion_follow_the_rules(simulations, task, physics):
    sims = simulations[task, physics]
    rng = np.random.default_rng(0)
    seen = []
    for level in (1, 2, 3, 4):
        for case in range(3):
            pose = (cube if task == "aloha_transfer_cube" else parts)(sims.model, level, case)
            sims.place(qpos=pose.qpos, qvel=0)
            action = sims.part("qpos")[0].copy()
            action[[6, 13]] -= 0.1  # a grip
            for _ in range(12):
                action += rng.normal(0, 0.02, 14)
                sims.step(action)
                data = mujoco.MjData(sims.model)
                sims.core.data(0, data)
                mujoco.mj_forward(sims.model, data)
                seen.append(level_of_the_rules(task, touching(sims.model, data)))
                assert sims.rewards[0] == seen[-1]
    assert len(set(seen)) >= 3
