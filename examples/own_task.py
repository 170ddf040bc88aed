"""A task of your own, without a compiler: bring the gripper to a cube that lies anywhere in reach.

python examples/own_task.py            trains it in about a minute on two CPU cores
"""

from lerobot_puffer.robots import SO101
from lerobot_puffer.scene import Gains, Object, Physics, Scene
from lerobot_puffer.signals import Below, Body, Distance, Site
from lerobot_puffer.terms import (
    Delta,
    Field,
    Position,
    RandomJoints,
    RandomPose,
    Sector,
    Success,
    SuccessBonus,
    Tanh,
    TargetError,
    Task,
    TimeFraction,
)

GRIPPER, CUBE = Site("gripperframe"), Body("cube")
DISTANCE = Distance(GRIPPER, CUBE)

TO_CUBE = Task(
    name="to_cube",
    scene=Scene(  # or Mjcf("my_scene.xml")
        objects=(Object("cube", "cube", (0.25, 0.0, 0.6125)),),
        physics=Physics(timestep=0.005, integrator="implicitfast", iterations=20),
        gains=Gains(kp=50.0, kv=2.0, gripper_force=1.0),
    ),
    action=Delta(step=0.1, leash=0.1),
    observations=(
        Field(name="qpos", field="qpos", of=SO101.joints),
        TargetError(name="target_error", scale=5.0),
        Position(name="to_cube", point=CUBE, relative_to=GRIPPER, scale=5.0),
        TimeFraction(name="time"),
    ),
    rewards=(
        Tanh(name="approach", signal=DISTANCE, width=0.1, progress=True),
        SuccessBonus(),
    ),
    resets=(
        RandomJoints(SO101.joints, SO101.home, noise=0.1),
        RandomPose("cube", Sector((0.18, 0.28), (-1.0, 1.0), (0.0125, 0.0125),
                                  origin=(0.0388, 0.0, 0.6)), yaw=(-3.14, 3.14)),
    ),
    substeps=4,  # 50 Hz
    episode_length=150,
    success=Success((Below(DISTANCE, 0.05),), hold=5),
)

if __name__ == "__main__":
    from lerobot_puffer.train import train

    print(train(TO_CUBE, {"train.total_timesteps": 200_000}))
