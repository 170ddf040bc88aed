"""Numbers of the simulation: ``mjOption``, actuator gains, contacts of jaws with objects.

``docs/physics.md`` has the measurements behind the constants; ``scene.py`` applies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco

_INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicit": mujoco.mjtIntegrator.mjINT_IMPLICIT,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}
_CONES = {
    "pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL,
    "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC,
}
_EULERDAMP = int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)


def _choice(what: str, value: str, known: dict[str, object]) -> None:
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}; got {value!r}")


def _above(where: str, name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{where}{name} must be above 0, got {value}")


@dataclass(frozen=True)
class Physics:
    """Values of ``mjOption`` that a scene sets.

    Attributes:
        timestep: seconds a ``mj_step``.
        integrator: time integration.
        cone: friction cone of the contacts.
        iterations: most iterations of the constraint solver.
        ls_iterations: most line search steps an iteration.
        tolerance: the solver stops below this improvement of its scaled cost.
        impratio: frictional over normal constraint impedance, for elliptic cones.
        eulerdamp: integrate joint damping implicitly, with the integrator "euler".
    """

    timestep: float = 0.002
    integrator: Literal["euler", "rk4", "implicit", "implicitfast"] = "euler"
    cone: Literal["pyramidal", "elliptic"] = "elliptic"
    iterations: int = 100
    ls_iterations: int = 50
    tolerance: float = 1e-8
    impratio: float = 1.0
    eulerdamp: bool = True

    def __post_init__(self) -> None:
        _choice("integrator", self.integrator, _INTEGRATORS)
        _choice("cone", self.cone, _CONES)
        for name in ("timestep", "iterations", "ls_iterations", "impratio"):
            _above("", name, getattr(self, name))

    def apply(self, option: mujoco.MjOption) -> None:
        """Write the values to the options of a spec or model."""
        option.timestep = self.timestep
        option.integrator = _INTEGRATORS[self.integrator]
        option.cone = _CONES[self.cone]
        option.iterations = self.iterations
        option.ls_iterations = self.ls_iterations
        option.tolerance = self.tolerance
        option.impratio = self.impratio
        option.disableflags &= ~_EULERDAMP
        if not self.eulerdamp:
            option.disableflags |= _EULERDAMP


@dataclass(frozen=True)
class Gains:
    """Gains of a robot's position actuators; None keeps what its MJCF file says.

    Attributes:
        kp: position gain, N m/rad.
        kv: velocity gain, N m s/rad.
        force: torque limit of the arm's actuators, N m.
        gripper_force: torque limit of the grippers' actuators, N m; None means ``force``.
    """

    kp: float | None = None
    kv: float | None = None
    force: float | None = None
    gripper_force: float | None = None

    def apply(self, actuator: mujoco.MjsActuator, gripper: bool) -> None:
        """Write the values to an actuator of a spec; ``gripper``: it closes a gripper."""
        if self.kp is not None:
            actuator.gainprm[0] = self.kp
            actuator.biasprm[1] = -self.kp
        if self.kv is not None:
            actuator.biasprm[2] = -self.kv
        force = self.force
        if gripper and self.gripper_force is not None:
            force = self.gripper_force
        if force is not None:
            actuator.forcerange = [-force, force]


@dataclass(frozen=True)
class Grip:
    """Contacts of a robot's jaws with objects, as MJCF pairs in place of the geoms' own numbers.

    MuJoCo's contacts leave out the centripetal acceleration a of a turning hand. With a damping b
    of the tangential velocity and a time step h a held object drifts outwards at a (1/b - h/2): not
    at all at b h = 2, where the damping becomes unstable, and at a h/2 with what ``solref`` gives.

    Attributes:
        friction: coefficient of sliding friction.
        damping_ratio: of the normal direction, whose time constant is two time steps: the stiffest
            that MuJoCo resolves.
        slip_damping: b h above, below 2; needs ``Physics(integrator="euler", eulerdamp=False)``,
            since implicit damping moves the arm otherwise than the contacts were solved for.
    """

    friction: float = 1.0
    damping_ratio: float = 0.75
    slip_damping: float = 1.95

    def __post_init__(self) -> None:
        for name in ("friction", "damping_ratio", "slip_damping"):
            _above("Grip.", name, getattr(self, name))
        if self.slip_damping >= 2:
            raise ValueError(f"Grip.slip_damping must be below 2, got {self.slip_damping}")

    def apply(self, spec: mujoco.MjSpec, jaws: tuple[str, ...], body: str) -> None:
        """Pair each geom of ``jaws`` with each of ``body`` that collides."""
        timestep = spec.option.timestep
        for geom in spec.body(body).find_all("geom"):
            if not (geom.contype or geom.conaffinity):
                continue
            for jaw in jaws:
                spec.add_pair(
                    geomname1=jaw, geomname2=geom.name, condim=3,
                    friction=[self.friction, self.friction, 0.005, 0.0001, 0.0001],
                    solref=[2 * timestep, self.damping_ratio],
                    solreffriction=[0.0, -self.slip_damping / timestep],
                    solimp=[0.99, 0.999, 0.001, 0.5, 2],
                )


# 25 Hz with four substeps; the same holds at 50 Hz with timestep=0.005
MANIPULATION = Physics(timestep=0.01, integrator="euler", iterations=20, eulerdamp=False)
# critically damped servos; the gripper presses a cube with about 14 N
SO101_GAINS = Gains(kp=50.0, kv=2.0, force=3.35, gripper_force=1.0)
