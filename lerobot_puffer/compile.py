"""Tasks compiled: names become ids, and terms the rows of the core's tables (csrc/program.pxd).

`core.pyx` runs what comes out, `env.py` and `gym.py` wrap it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mujoco
import numpy as np

from lerobot_puffer import signals as s
from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile_signals import SignalCompiler, snake
from lerobot_puffer.names import BALL, FREE, find, find_free, find_joint
from lerobot_puffer.tables import CompiledTask, Entry, Tables, rows

_UNITS = {"qpos": "rad or m", "qvel": "rad/s or m/s", "ctrl": "rad", "actuator_force": "N m",
          "sensordata": "of the sensor"}
_INF = float("inf")
_ON_JOINT = int(mujoco.mjtTrn.mjTRN_JOINT)


class TaskError(ValueError):
    """A task that does not compile; the message names the task, the term and the repair."""


def compile_task(task: t.Task) -> CompiledTask:
    """Compile a task.

    Raises:
      TaskError: a name is unknown, a number is out of range, or a term does not fit the model.
      SceneError: the scene does not compile.
    """
    return _Compiler(task).compile()


class _Compiler:
    """One compilation; collects rows while it walks the task."""

    def __init__(self, task: t.Task) -> None:
        self.task = task
        self.model = task.scene.compile(visual=False)
        self.term = "the task"
        self.signals = SignalCompiler(self.model)
        self.levels: list[dict] = []
        self.actions: list[dict] = []
        self.layout: list[Entry] = []

    def compile(self) -> CompiledTask:
        task, model = self.task, self.model
        self._check_numbers()
        resets: list[dict] = []
        for reset in task.resets:
            resets += self._within(type(reset).__name__, self._reset, reset)
        signals = self._within("signals", self.signals.collect, _signals(task))
        self.actions = actions = self._within("action", self._actions)
        observations: list[dict] = []
        for term in task.observations:
            observations += self._within(f"observation {term.name!r}", self._observation, term)
        rewards: list[dict] = []
        for reward in task.rewards:
            rewards += self._within(f"reward {reward.name!r}", self._reward, reward)
        success = self.signals.conjunction(task.success.conditions if task.success else ())
        failure = self.signals.conjunction(task.failure)
        term_log = self.signals.remember(len(rewards))
        nobs = sum(entry.size for entry in self.layout)
        tables = Tables(
            signal=rows("signal", signals),
            condition=rows("condition", self.signals.conditions),
            level=rows("level", self.levels), action=rows("action", actions),
            observation=rows("observation", observations), reward=rows("reward", rewards),
            reset=rows("reset", resets),
            ids=np.array(self.signals.ids, np.int32),
            geom_sets=self.signals.geom_sets, init=_initial(model),
            nobs=nobs, naction=1 + max(row["source"] for row in actions),
            nmemory=self.signals.nmemory, substeps=task.substeps,
            refresh=self.signals.refresh, stages=self._stages(observations),
            seen=self.signals.highest(), episode_length=task.episode_length,
            hold=task.success.hold if task.success else 1,
            terminate=bool(task.success and task.success.terminate),
            nlast_signal=self.signals.count(s.ContactForce),
            ncontact_signal=self.signals.count(s.Contact),
            success=success, failure=failure, term_log=term_log,
        )
        return CompiledTask(task, model, tables, tuple(self.layout), self.signals.goals,
                            self.signals.choices)

    # ------------------------------------------------------------ names and numbers

    def _stages(self, observations: list[dict]) -> bool:
        """Whether the core's `substep` does for this task what mj_step does."""
        model = self.model
        reads_sensors = any(
            row["kind"] == KINDS["observe"]["field"]
            and row["source"] == KINDS["field"]["sensordata"] for row in observations)
        return not (
            model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
            or model.opt.enableflags or model.opt.disableflags
            or model.ntendon or model.nflex or model.nplugin or model.na or model.nhistory
            or model.nplastic or reads_sensors)

    def _error(self, message: str) -> TaskError:
        return TaskError(f"task {self.task.name!r}, {self.term}: {message}")

    def _within(self, term: str, function: Callable[..., list[dict]], *args: object
                ) -> list[dict]:
        """Call `function` with errors that name the term."""
        self.term = term
        try:
            return function(*args)
        except TaskError:
            raise
        except ValueError as error:
            raise self._error(str(error)) from None

    def _check_numbers(self) -> None:
        task = self.task
        if task.substeps < 1:
            raise self._error(f"substeps must be at least 1, got {task.substeps}")
        if task.episode_length < 0:
            raise self._error(f"episode_length must be 0 (no limit) or more, "
                              f"got {task.episode_length}")
        if task.success and task.success.hold < 1:
            raise self._error(f"hold must be at least 1 step, got {task.success.hold}")
        if not task.observations:
            raise self._error("a task needs at least one observation term")
        for what, terms in (("observation", task.observations), ("reward", task.rewards)):
            names = [term.name for term in terms]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise self._error(f"names of {what} terms must differ, got {twice} twice")
        if self.model.nactuator != self.model.nu:
            raise self._error("actuators with several controls are not supported, got "
                              f"{self.model.nactuator} actuators with {self.model.nu} controls")

    # ----------------------------------------------------------------------- terms

    def _actions(self) -> list[dict]:
        """A row for every actuator; coupled ones share an element of the action."""
        model, action = self.model, self.task.action
        if model.nu == 0:
            raise self._error("the model has no actuators")
        coupled = self._coupled(action)
        elements: dict[object, int] = {}
        steps = {}
        if isinstance(action, t.Delta):
            steps = {self._actuator(joint): rest for joint, *rest in action.overrides}
        rows = []
        for i in range(model.nu):
            low, high = (model.actuator_ctrlrange[i] if model.actuator_ctrllimited[i]
                         else (-_INF, _INF))
            couple, start, end = coupled.get(i, (i, low, high))
            row: dict = {"kind": KINDS["action"][snake(type(action).__name__)], "actuator": i,
                         "source": elements.setdefault(couple, len(elements)), "joint": -1}
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) or i
            if model.actuator_trntype[i] == _ON_JOINT and model.actuator_biasprm[i, 1] < 0:
                row["joint"] = model.jnt_qposadr[model.actuator_trnid[i, 0]]
            if isinstance(action, t.Absolute):
                row |= {"offset": start, "scale": end - start} if i in coupled else {"scale": 1.0}
            elif isinstance(action, t.Normalized):
                if not np.isfinite([start, end]).all():
                    raise self._error(f"actuator {name!r} needs a ctrlrange for Normalized actions")
                row |= {"offset": 0.5 * (start + end), "scale": 0.5 * (end - start)}
            else:
                if row["joint"] < 0:
                    raise self._error(f"actuator {name!r} must be a position actuator on a joint "
                                      "for Delta actions; use Normalized or Absolute")
                joint = model.actuator_trnid[i, 0]
                if model.jnt_limited[joint]:
                    low = max(low, model.jnt_range[joint, 0])
                    high = min(high, model.jnt_range[joint, 1])
                row["scale"], row["leash"] = steps.get(i, (action.step, action.leash))
                if isinstance(couple, t.Coupled):
                    row["scale"], row["leash"] = couple.step * (end - start), _INF
            rows.append(row | {"low": low, "high": high})
        return rows

    def _coupled(self, action: t.Action) -> dict[int, tuple[t.Coupled, float, float]]:
        """Actuator id -> its couple and the controls at both ends."""
        found: dict[int, tuple[t.Coupled, float, float]] = {}
        for couple in action.coupled:
            if not len(couple.joints) == len(couple.low) == len(couple.high) > 0:
                raise self._error(f"low and high must be one a joint, got {couple}")
            for joint, low, high in zip(couple.joints, couple.low, couple.high, strict=True):
                actuator = self._actuator(joint)
                if actuator in found:
                    raise self._error(f"joint {joint!r} is coupled twice")
                found[actuator] = (couple, low, high)
        return found

    def _actuator(self, joint: str) -> int:
        """Id of the actuator on a joint: published models do not always name theirs."""
        model = self.model
        drives = (model.actuator_trntype == _ON_JOINT) & (
            model.actuator_trnid[:, 0] == find_joint(model, joint))
        if drives.sum() != 1:
            raise self._error(f"joint {joint!r} must have one actuator, got {drives.sum()}")
        return int(drives.argmax())

    def _observation(self, term: t.Observation) -> list[dict]:
        """Rows of a term; appends its entry to the layout."""
        start = sum(entry.size for entry in self.layout)
        terms = term.terms if isinstance(term, t.Joined) else (term,)
        found: list[dict] = []
        units = []
        for part in terms:
            unit, part_rows = self._part(part, start + sum(row["size"] for row in found))
            units.append(unit)
            found += part_rows
        if not found:
            raise self._error("Joined needs at least one term")
        self.layout.append(Entry(
            term.name, start, sum(row["size"] for row in found),
            ", ".join(dict.fromkeys(units)), min(row["low"] for row in found),
            max(row["high"] for row in found)))
        return found

    def _part(self, term: t.Part, dest: int) -> tuple[str, list[dict]]:
        """Unit and rows of a term that is not joined, from element `dest` of the row."""
        kind, limits, unit = _OBSERVE[type(term)]
        parts: list[tuple[int, dict]] = []  # size and what the kernel reads
        if isinstance(term, t.Field):
            unit = _UNITS[term.field]
            parts = [(size, {"source": KINDS["field"][term.field], "first": first})
                     for first, size in self._runs(term)]
        elif isinstance(term, t.Position):
            row: dict = {"a": self.signals.point(term.point)}
            if term.relative_to is not None:
                row |= {"b": self.signals.point(term.relative_to), "relative": True}
            parts = [(3, row)]
        elif isinstance(term, t.AxisDirection):
            frame, site, direction = self.signals.frame(term.axis)
            parts = [(3, {"frame": frame, "site": site, "axis": direction})]
        elif isinstance(term, t.GoalPosition):
            parts = [(3, {"first": self.signals.goal(term.goal)})]
        elif isinstance(term, t.OneHot):
            offset, count = self.signals.choice(term.choice)
            parts = [(count, {"first": offset})]
        elif isinstance(term, t.TargetError):
            if any(row["joint"] < 0 for row in self.actions):
                raise self._error("TargetError needs position actuators on joints")
            parts = [(self.model.nu, {"first": 0})]
        elif isinstance(term, t.SignalValue):
            parts = [(1, {"first": self.signals.index[term.signal]})]
        else:
            if self.task.episode_length == 0:
                raise self._error("TimeFraction needs an episode_length above 0")
            parts = [(1, {})]
        low, high = term.clip if term.clip is not None else limits
        if not low < high:
            raise self._error(f"clip must be (low, high) with low < high, got {term.clip}")
        part_rows = []
        for size, row in parts:
            part_rows.append(row | {
                "kind": KINDS["observe"][kind], "dest": dest, "size": size, "low": low,
                "high": high, "scale": term.scale, "offset": term.offset, "noise": term.noise})
            dest += size
        return unit, part_rows

    def _runs(self, term: t.Field) -> Iterator[tuple[int, int]]:
        """(first, size) of the contiguous parts of a field."""
        model = self.model
        if term.of is None:
            whole = {"qpos": model.nq, "qvel": model.nv, "ctrl": model.nu,
                     "actuator_force": model.nu, "sensordata": model.nsensordata}
            yield 0, whole[term.field]
            return
        for name in term.of:
            if term.field in ("qpos", "qvel"):
                joint = find(self.model, "joint", name)
                kind = int(model.jnt_type[joint])
                if term.field == "qpos":
                    yield model.jnt_qposadr[joint], {FREE: 7, BALL: 4}.get(kind, 1)
                else:
                    yield model.jnt_dofadr[joint], {FREE: 6, BALL: 3}.get(kind, 1)
            elif term.field == "sensordata":
                sensor = find(self.model, "sensor", name)
                yield model.sensor_adr[sensor], model.sensor_dim[sensor]
            else:
                yield find(self.model, "actuator", name), 1

    def _reward(self, term: t.Reward) -> list[dict]:
        row: dict = {"kind": KINDS["reward"][_REWARD[type(term)]], "weight": term.weight,
                     "total": self.signals.remember(1), "progress": -1}
        if not isinstance(term, t.SuccessBonus) and term.progress:
            row["progress"] = self.signals.remember(1)
        if isinstance(term, t.Stages):
            row["first"], row["count"] = len(self.levels), len(term.levels)
            for value, conditions in term.levels:
                first, count = self.signals.conjunction(conditions)
                self.levels.append({"first": first, "count": count, "value": value})
        elif not isinstance(term, t.SuccessBonus):
            row["first"], row["count"] = self.signals.conjunction(term.when)
        if isinstance(term, t.Shaping):
            row["signal"] = self.signals.index[term.signal]
        if isinstance(term, (t.Gaussian, t.Tanh)):
            what = "variance" if isinstance(term, t.Gaussian) else "width"
            row["margin"] = getattr(term, what)
            if not row["margin"] > 0:
                raise self._error(f"{what} must be above 0, got {row['margin']}")
        if isinstance(term, t.Tolerance):
            if not 0 < term.value_at_margin < 1:
                raise self._error("value_at_margin must lie between 0 and 1, "
                                  f"got {term.value_at_margin}")
            row |= {"lower": term.lower, "upper": term.upper, "margin": term.margin,
                    "sharpness": np.sqrt(-2 * np.log(term.value_at_margin))}
        return [row]

    def _reset(self, term: t.Reset) -> list[dict]:
        model = self.model
        if isinstance(term, t.RandomJoints):
            if len(term.joints) != len(term.positions):
                raise self._error(f"positions must be one a joint, got {len(term.positions)} "
                                  f"for {len(term.joints)} joints")
            joints = []
            for name, centre in zip(term.joints, term.positions, strict=True):
                joint = find_joint(self.model, name)
                low, high = model.jnt_range[joint] if model.jnt_limited[joint] else (-_INF, _INF)
                if not low <= centre <= high:
                    raise self._error(f"joint {name!r} has range {low:g} .. {high:g}, "
                                      f"got position {centre:g}")
                joints.append({"kind": KINDS["reset"]["joints"],
                             "address": model.jnt_qposadr[joint],
                             "low": max(low, centre - term.noise),
                             "high": min(high, centre + term.noise)})
            return joints
        if isinstance(term, t.RandomPose):
            joint = find_free(self.model, term.body)
            if joint < 0:
                raise self._error(f"body {term.body!r} must have a free joint")
            return [{"kind": KINDS["reset"]["pose"], "address": model.jnt_qposadr[joint],
                     "low": term.yaw[0], "high": term.yaw[1], "region": _region(term.region)}]
        if isinstance(term, t.RandomGoal):
            mocap = -1
            if term.marker is not None:
                mocap = int(model.body_mocapid[find(self.model, "body", term.marker)])
                if mocap < 0:
                    raise self._error(f"marker {term.marker!r} must be a mocap body")
            self.signals.goals[term.name] = self.signals.remember(3)
            return [{"kind": KINDS["reset"]["goal"], "address": self.signals.goals[term.name],
                     "mocap": mocap, "region": _region(term.region)}]
        fixed = term.fixed
        if term.count < 1 or (fixed is not None and not 0 <= fixed < term.count):
            raise self._error(f"choice {term.name!r} of {term.count} must be 0 .. "
                              f"{term.count - 1}, got {fixed}")
        self.signals.choices[term.name] = (self.signals.remember(1), term.count)
        return [{"kind": KINDS["reset"]["choice"], "address": self.signals.choices[term.name][0],
                 "low": fixed or 0, "count": term.count if fixed is None else 1}]


_OBSERVE: dict[type, tuple[str, tuple[float, float], str]] = {
    t.Field: ("field", (-_INF, _INF), ""),
    t.Position: ("position", (-_INF, _INF), "m"),
    t.AxisDirection: ("axis", (-1.0, 1.0), "1"),
    t.GoalPosition: ("goal", (-_INF, _INF), "m"),
    t.OneHot: ("choice", (0.0, 1.0), "1"),
    t.TargetError: ("target_error", (-_INF, _INF), "rad"),
    t.SignalValue: ("signal", (-_INF, _INF), "of the signal"),
    t.TimeFraction: ("time", (0.0, 1.0), "1"),
}
_REWARD: dict[type, str] = {
    t.Negative: "negative", t.Gaussian: "gaussian", t.Tanh: "tanh", t.Tolerance: "tolerance",
    t.Indicator: "indicator", t.Stages: "stages", t.SuccessBonus: "success",
}


def _region(region: t.Region) -> dict:
    if isinstance(region, t.Box):
        return {"low": region.low, "high": region.high, "origin": region.origin}
    low, high = zip(region.radius, region.angle, region.height, strict=True)
    return {"sector": True, "low": low, "high": high, "origin": region.origin}


def _initial(model: mujoco.MjModel) -> np.ndarray:
    """MuJoCo state after mj_resetData, (nstate,) float64."""
    data = mujoco.MjData(model)
    state = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    return state


def _signals(task: t.Task) -> Iterator[s.Signal]:
    """Every signal that a term of the task reads."""
    conditions: list[s.Condition] = list(task.failure)
    if task.success:
        conditions += task.success.conditions
    for term in task.rewards:
        if isinstance(term, t.Shaping):
            yield term.signal
        if isinstance(term, t.Stages):
            conditions += [c for _, level in term.levels for c in level]
        elif not isinstance(term, t.SuccessBonus):
            conditions += term.when
    yield from (condition.signal for condition in conditions)
    for observation in task.observations:
        parts = observation.terms if isinstance(observation, t.Joined) else (observation,)
        yield from (part.signal for part in parts if isinstance(part, t.SignalValue))
