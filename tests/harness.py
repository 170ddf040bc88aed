"""A Core with its buffers, and the plain MuJoCo loop that it must equal."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from lerobot_puffer._core import Core
from lerobot_puffer.compile import CompiledTask, compile_task
from lerobot_puffer.scene import Reference, SceneError
from lerobot_puffer.signals import Height, Site
from lerobot_puffer.tasks import make_task
from lerobot_puffer.terms import Absolute, Field, Negative, Task

STATE = mujoco.mjtState.mjSTATE_INTEGRATION

# two hinges with a fingertip, a free ball and box on the floor, a mocap marker
TOY = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="upper" pos="0 0 .5">
      <joint name="shoulder" axis="0 1 0" range="-1.5 1.5" limited="true" damping="0.1"/>
      <geom name="upper" type="capsule" size=".02" fromto="0 0 0 .2 0 0"/>
      <site name="side" pos=".1 .03 0"/>
      <body name="lower" pos=".2 0 0">
        <joint name="elbow" axis="0 1 0" range="-2 2" limited="true" damping="0.1"/>
        <geom name="lower" type="capsule" size=".02" fromto="0 0 0 .2 0 0"/>
        <site name="tip" pos=".2 0 0"/>
      </body>
    </body>
    <body name="ball" pos="0 .5 .1"><freejoint/><geom name="ball" size=".1" mass="1"/></body>
    <body name="box" pos="0 -.5 .1">
      <freejoint/><geom name="box" type="box" size=".1 .1 .1" mass="2"/>
    </body>
    <body name="marker" mocap="true"><geom size=".01" contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator>
    <position name="shoulder" joint="shoulder" kp="20" kv="1" ctrlrange="-1.5 1.5"/>
    <position name="elbow" joint="elbow" kp="20" kv="1" ctrlrange="-2 2"/>
  </actuator>
  <sensor><framepos name="tip" objtype="site" objname="tip"/></sensor>
</mujoco>
"""

# of the toy: two hinge angles, then a ball above and a box on the floor
POSE = np.array([0.3, -0.7, 0.1, 0.5, 0.4, 1, 0, 0, 0, -0.2, -0.5, 0.1, 0.8, 0, 0, 0.6])
MOTION = np.array([0.5, -1.0, 0.3, 0.4, -1.2, 0, 0, 0, 0, 0, 0, 0, 0, 0])


def needs(*scenes: Reference) -> pytest.MarkDecorator:
    """Skip, with the command that installs it, where a published scene is not installed."""
    try:
        for scene in scenes:
            scene.path()
    except SceneError as error:
        return pytest.mark.skipif(True, reason=str(error))
    return pytest.mark.skipif(False, reason="")


class Text:
    """A scene from MJCF text."""

    def __init__(self, xml: str = TOY) -> None:
        self.xml = xml

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(self.xml)


def toy(**changes: object) -> Task:
    """A task on the toy scene: everything but what `changes` says is as small as can be."""
    values: dict = {
        "name": "toy",
        "scene": Text(),
        "action": Absolute(),
        "observations": (Field(name="qpos", field="qpos"),),
        "rewards": (Negative(name="height", signal=Height(Site("tip"))),),
    }
    return Task(**(values | changes))


class Simulations:
    """`num_envs` simulations with buffers of their own."""

    def __init__(
        self,
        task: str | Task | CompiledTask,
        num_envs: int = 1,
        num_threads: int = 1,
        seed: int = 0,
        double: bool = True,
        **options: object,
    ) -> None:
        compiled = task if isinstance(task, CompiledTask) else compile_task(make_task(task))
        real = np.float64 if double else np.float32
        n, nobs, nu = num_envs, compiled.tables.nobs, compiled.tables.naction
        self.compiled, self.model = compiled, compiled.model
        self.actions = np.zeros((n, nu), real)
        self.observations = np.zeros((n, nobs), real)
        self.final_observations = np.zeros((n, nobs), real)
        self.rewards = np.zeros(n, real)
        self.terminals = np.zeros(n, bool)
        self.truncations = np.zeros(n, bool)
        self.core = Core(compiled, n, num_threads, double_precision=double, **options)
        self.core.bind(
            self.actions,
            self.observations,
            self.final_observations,
            self.rewards,
            self.terminals,
            self.truncations,
        )
        self.core.seed(np.full(n, seed, np.uint64), np.arange(n, dtype=np.uint32))
        self.core.reset()

    def step(self, actions: np.ndarray | float = 0.0) -> None:
        self.actions[:] = actions
        self.core.step()

    def part(self, name: str) -> np.ndarray:
        """One term of the observations, (n, size)."""
        entry = next(e for e in self.compiled.layout if e.name == name)
        return self.observations[:, entry.slice]

    def place(self, **fields: np.ndarray) -> mujoco.MjData:
        """Write mjData fields into simulation 0 and evaluate it; returns a forwarded mjData."""
        data = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, data, self.core.state[0], STATE)
        for name, value in fields.items():
            getattr(data, name)[:] = value
        mujoco.mj_getState(self.model, data, self.core.state[0], STATE)
        self.core.evaluate([0])
        mujoco.mj_forward(self.model, data)
        return data
