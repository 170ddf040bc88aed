"""What a task is made of: frozen dataclasses that `compile/` turns into the core's tables.

Action, observation, reward and reset terms are built from the points, signals and conditions of
`signals.py`. Each has its kernel in csrc/ (`Gaussian` is `reward_gaussian` in reward.pxd). Units
are m, rad, s, N; positions are in the world frame. `tasks/` puts terms together.
"""

from __future__ import annotations

from lerobot_puffer.terms.actions import (
    Absolute,
    Action,
    Coupled,
    Delta,
    Hand,
    Normalized,
    Pose,
)
from lerobot_puffer.terms.observations import (
    AxisDirection,
    Field,
    GoalPosition,
    Joined,
    Observation,
    OneHot,
    Part,
    Position,
    Scaling,
    SignalValue,
    TargetError,
    TimeFraction,
)
from lerobot_puffer.terms.randomization import (
    PRESETS,
    Delay,
    ObservationNoise,
    Push,
    Quantity,
    RandomField,
    Randomization,
    randomizations,
)
from lerobot_puffer.terms.resets import (
    Box,
    RandomChoice,
    RandomGoal,
    RandomJoints,
    RandomPose,
    Region,
    Reset,
    RestingMocap,
    Sector,
)
from lerobot_puffer.terms.rewards import (
    Gaussian,
    Indicator,
    Negative,
    Ramp,
    Reward,
    Shaping,
    Stages,
    SuccessBonus,
    Tanh,
    Tolerance,
)
from lerobot_puffer.terms.task import (
    SceneLike,
    Success,
    Task,
)

__all__ = [
    "PRESETS",
    "Absolute",
    "Action",
    "AxisDirection",
    "Box",
    "Coupled",
    "Delay",
    "Delta",
    "Field",
    "Gaussian",
    "GoalPosition",
    "Hand",
    "Indicator",
    "Joined",
    "Negative",
    "Normalized",
    "Observation",
    "ObservationNoise",
    "OneHot",
    "Part",
    "Pose",
    "Position",
    "Push",
    "Quantity",
    "Ramp",
    "RandomChoice",
    "RandomField",
    "RandomGoal",
    "RandomJoints",
    "RandomPose",
    "Randomization",
    "Region",
    "Reset",
    "RestingMocap",
    "Reward",
    "Scaling",
    "SceneLike",
    "Sector",
    "Shaping",
    "SignalValue",
    "Stages",
    "Success",
    "SuccessBonus",
    "Tanh",
    "TargetError",
    "Task",
    "TimeFraction",
    "Tolerance",
    "randomizations",
]
