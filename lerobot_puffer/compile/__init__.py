"""Tasks compiled: names become ids, and terms the rows of the core's tables (csrc/program.pxd).

`core.pyx` runs what comes out, `env.py` and `gym.py` wrap it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import mujoco
import numpy as np

from lerobot_puffer import signals as s
from lerobot_puffer import terms as t
from lerobot_puffer._core import KINDS
from lerobot_puffer.compile.actions import ActionCompiler
from lerobot_puffer.compile.observations import ObservationCompiler
from lerobot_puffer.compile.randomization import RandomizationCompiler
from lerobot_puffer.compile.resets import ResetCompiler
from lerobot_puffer.compile.signals import SignalCompiler
from lerobot_puffer.tables import CompiledTask, Tables, rows

_T = TypeVar("_T")


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

    def compile(self) -> CompiledTask:
        task, model = self.task, self.model
        self._check_numbers()
        reset_compiler = ResetCompiler(model, self.signals)
        resets: list[dict] = []
        for reset in task.resets:
            resets += self._within(type(reset).__name__, reset_compiler.rows, reset)
        signals = self._within("signals", self.signals.collect, _signals(task))
        actions = self._within("action", ActionCompiler(model, task.action).rows)
        naction = 1 + max(row["source"] for row in actions)
        randomization = RandomizationCompiler(model, task.scene, self.signals)
        terms = self._within("randomize", t.randomizations, task.randomize)
        for change in terms:
            self._within(f"randomize {type(change).__name__}", randomization.rows, change, naction)
        writes = randomization.writes(model)
        noises = [change for change in terms if isinstance(change, t.ObservationNoise)]
        noisy = self._within("randomize ObservationNoise", randomization.noisy, task.observations,
                             noises)
        observation = ObservationCompiler(model, self.signals, actions, task.episode_length)
        observations: list[dict] = []
        for term in noisy:
            observations += self._within(f"observation {term.name!r}", observation.rows, term)
        rewards: list[dict] = []
        for reward in task.rewards:
            rewards += self._within(f"reward {reward.name!r}", self._reward, reward)
        success = self.signals.conjunction(task.success.conditions if task.success else ())
        failure = self.signals.conjunction(task.failure)
        term_log = self.signals.remember(len(rewards))
        tables = Tables(
            signal=rows("signal", signals),
            condition=rows("condition", self.signals.conditions),
            level=rows("level", self.levels), action=rows("action", actions),
            observation=rows("observation", observations), reward=rows("reward", rewards),
            reset=rows("reset", resets),
            ids=np.array(self.signals.ids, np.int32),
            geom_sets=self.signals.geom_sets, init=_initial(model),
            nobs=observation.size, naction=naction,
            nmemory=self.signals.nmemory, substeps=task.substeps,
            refresh=self.signals.refresh, stages=self._stages(observations),
            seen=self.signals.highest(), episode_length=task.episode_length,
            hold=task.success.hold if task.success else 1,
            terminate=bool(task.success and task.success.terminate),
            nlast_signal=self.signals.count(s.ContactForce),
            ncontact_signal=self.signals.count(s.Contact),
            success=success, failure=failure, term_log=term_log,
            draw=rows("draw", randomization.draws), write=writes.table,
            lift=rows("lift", randomization.lifts), push=rows("push", randomization.pushes),
            fields=writes.fields, nominal=writes.nominal, neutral=randomization.neutral(),
            derive=randomization.derive,
            delay=randomization.delay,
        )
        return CompiledTask(
            task, model, tables, tuple(observation.layout), self.signals.goals,
            self.signals.choices, tuple(randomization.noted(noises, observation.layout)),
            partial(randomization.writes, drawing=True))

    # ------------------------------------------------------------ names and numbers

    def _stages(self, observations: list[dict]) -> bool:
        """Whether the core's `substep` does for this task what mj_step does."""
        model = self.model
        reads_sensors = any(
            row["kind"] == KINDS["observe"]["field"]
            and row["source"] == KINDS["field"]["sensordata"] for row in observations)
        # mj_Euler looks at this flag by itself
        flags = model.opt.disableflags & ~int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
        integrators = (mujoco.mjtIntegrator.mjINT_RK4, mujoco.mjtIntegrator.mjINT_DISCRETE)
        return not (
            model.opt.integrator in integrators or model.opt.enableflags or flags
            or model.ntendon or model.nflex or model.nplugin or model.na or model.nhistory
            or model.nplastic or reads_sensors)

    def _error(self, message: str) -> TaskError:
        return TaskError(f"task {self.task.name!r}, {self.term}: {message}")

    def _within(self, term: str, function: Callable[..., _T], *args: object) -> _T:
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
        if isinstance(term, t.Ramp):
            if term.lower == term.upper:
                raise self._error(f"lower and upper must differ, got {term.lower} twice")
            row |= {"lower": term.lower, "upper": term.upper}
        return [row]


_REWARD: dict[type, str] = {
    t.Negative: "negative", t.Gaussian: "gaussian", t.Tanh: "tanh", t.Tolerance: "tolerance",
    t.Ramp: "ramp", t.Indicator: "indicator", t.Stages: "stages", t.SuccessBonus: "success",
}


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
