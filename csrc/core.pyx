"""The batch of simulations: its lifetime, its buffers, its calls.

MuJoCo's batch owns the threads and the state rows; batch.pxd runs the functions of step.pxd on
every simulation without the GIL. The tables they read are filled by `lerobot_puffer/compile/`.
"""
import numpy as np

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint32_t, uint64_t, uint8_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from batch cimport (evaluate_double, evaluate_float, reset_double, reset_float, step_batch_double,
                    step_batch_float)
from mujoco cimport *
from program cimport *
from quiet cimport install_warning_handler
from random cimport philox
from randomize cimport model_offset, write_number, write_rows

cdef extern from "unistd.h" nogil:
    int getpid()

if mj_version() != mjVERSION_HEADER:
    raise ImportError(
        f"lerobot_puffer was compiled for MuJoCo {mjVERSION_HEADER}, but MuJoCo {mj_version()} is "
        "loaded; reinstall both: pip install --force-reinstall --no-deps mujoco==4.0.0 "
        "lerobot_puffer")
install_warning_handler()

# of the header that this was compiled with, and of the library that is loaded: 4000000 is 4.0.0
HEADER_VERSION, LIBRARY_VERSION = mjVERSION_HEADER, mj_version()

include "exports.pxi"
include "buffers.pxi"


cdef class Core:
    """`num_envs` simulations of one compiled task, stepped into bound buffers.

    Args:
      task: a `lerobot_puffer.compile.CompiledTask`.
      num_envs: simulations, at least 1.
      num_threads: threads including the caller's, at least 1.
      autoreset: "same_step", "next_step" or "disabled".
      double_precision: actions, observations and rewards are float64 instead of float32.
      persistent: one mjData a simulation instead of one a thread; the trajectories are the same.
      truncation_as_terminal: time limits set `terminals` too.

    The batch is made at the first call that needs it and belongs to the process that made it; a
    forked child makes its own from the same states.
    """
    cdef Program program
    cdef Engine engine_storage
    cdef mjBatchConfig config
    cdef int owner
    cdef bint double_precision
    cdef bint closed
    cdef readonly object model
    cdef object tables
    cdef object buffers
    cdef int[:, ::1] geom_masks    # contype, conaffinity: of geoms that contact signals read
    cdef int[:, ::1] body_masks    # the same of their bodies, all geoms' bits together
    cdef object __weakref__

    def __init__(self, task, int num_envs, int num_threads, autoreset="same_step",
                 bint double_precision=False, bint persistent=False,
                 bint truncation_as_terminal=False):
        cdef Program* p = &self.program
        if p.episode != NULL:
            raise RuntimeError("a Core is initialised once; make a new one")
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        if autoreset not in KINDS["autoreset"]:
            raise ValueError(f"autoreset must be one of {sorted(KINDS['autoreset'])}, "
                             f"got {autoreset!r}")
        self.model = task.model
        self.double_precision = double_precision
        self.config.nthread = min(num_threads, num_envs)
        self.config.persistent = persistent
        t = self.tables = task.tables
        p.nsim = num_envs
        p.nthread = self.config.nthread
        p.nq, p.nv, p.nu = self.model.nq, self.model.nv, self.model.nu
        p.autoreset = KINDS["autoreset"][autoreset]
        p.truncation_as_terminal = truncation_as_terminal
        p.nstate = t.init.shape[0]
        p.nobs, p.naction, p.nmemory = t.nobs, t.naction, t.nmemory
        p.substeps, p.refresh = t.substeps, t.refresh
        p.stages = t.stages
        p.nbody, p.ngeom, p.nsite = t.seen
        p.episode_length, p.hold, p.terminate = t.episode_length, t.hold, t.terminate
        p.nlast_signal, p.ncontact_signal = t.nlast_signal, t.ncontact_signal
        p.nsignal, p.nreward, p.nreset = len(t.signal), len(t.reward), len(t.reset)
        p.naction_row, p.nobservation = len(t.action), len(t.observation)
        p.success_first, p.success_count = t.success
        p.failure_first, p.failure_count = t.failure
        p.term_log = t.term_log
        p.signal = <const Signal*>self._table("signal")
        p.condition = <const Condition*>self._table("condition")
        p.level = <const Level*>self._table("level")
        p.action = <const Action*>self._table("action")
        p.observation = <const Observation*>self._table("observation")
        p.reward = <const Reward*>self._table("reward")
        p.reset = <const Reset*>self._table("reset")
        p.ndraw, p.nwrite, p.nlift, p.npush = len(t.draw), len(t.write), len(t.lift), len(t.push)
        p.derive = t.derive
        p.delay, p.delay_low, p.delay_size = t.delay
        p.draw = <const Draw*>self._table("draw")
        p.write = <const Write*>self._table("write")
        p.lift = <const Lift*>self._table("lift")
        p.push = <const Push*>self._table("push")
        p.ids = <const int*>address("ids", t.ids, np.int32, t.ids.shape)
        p.geom_sets = <const uint64_t*>address("geom_sets", t.geom_sets, np.uint64,
                                               (self.model.ngeom,))
        p.init = <const double*>address("init", t.init, np.float64, (p.nstate,))
        masks = np.array([self.model.geom_contype, self.model.geom_conaffinity])
        masks[:, t.geom_sets == 0] = 0
        self.geom_masks = masks
        bodies = np.zeros((self.model.nbody, 2), np.int32)
        np.bitwise_or.at(bodies, self.model.geom_bodyid, masks.T)
        self.body_masks = np.ascontiguousarray(bodies.T)
        p.episode = <Episode*>calloc(num_envs, sizeof(Episode))
        p.memory = <double*>calloc(<size_t>num_envs * max(p.nmemory, 1), sizeof(double))
        p.failed = <int*>calloc(num_envs, sizeof(int))
        p.seen = <mjModel*>calloc(1, sizeof(mjModel))
        p.nfield = len(t.fields)
        p.field = <ModelField*>calloc(max(p.nfield, 1), sizeof(ModelField))
        if (p.episode == NULL or p.memory == NULL or p.failed == NULL or p.seen == NULL
                or p.field == NULL):
            raise MemoryError(f"no memory for {num_envs} environments")
        self.memory[:, t.neutral[0]] = t.neutral[1]

    cdef void* _table(self, name) except? NULL:
        table = getattr(self.tables, name)
        return address(name, table, DTYPES[name], table.shape)

    def bind(self, actions, observations, final_observations, rewards, terminals, truncations,
             final_states=None):
        """Take the buffers that every call reads and writes; they are kept, never rebound.

        Args:
          actions: (num_envs, naction), read. float32, or float64 with `double_precision`, as are
            observations, final_observations (num_envs, nobs) and rewards (num_envs,).
          terminals, truncations: (num_envs,) bool.
          final_states: (num_envs, nstate) float64, or None. Row i is the last state of the
            simulation's last episode that ended; of one that diverged, the state before that.
        """
        cdef Program* p = &self.program
        kind = np.float64 if self.double_precision else np.float32
        n = p.nsim
        p.actions = address("actions", actions, kind, (n, p.naction))
        p.observations = address("observations", observations, kind, (n, p.nobs))
        p.final_observations = address("final_observations", final_observations, kind, (n, p.nobs))
        p.rewards = address("rewards", rewards, kind, (n,))
        p.terminals = <uint8_t*>address("terminals", terminals, np.bool_, (n,))
        p.truncations = <uint8_t*>address("truncations", truncations, np.bool_, (n,))
        p.final_states = NULL if final_states is None else <double*>address(
            "final_states", final_states, np.float64, (n, p.nstate))
        self.buffers = (actions, observations, final_observations, rewards, terminals, truncations,
                        final_states)

    cdef int _open(self) except -1:
        """Make sure that this process has a batch."""
        cdef Program* p = &self.program
        cdef mjBatch* batch
        cdef char error[1000]
        if p.batch != NULL and self.owner == getpid():
            return 0
        if self.closed:
            raise ValueError("the environment is closed; make a new one")
        if self.buffers is None:
            raise RuntimeError("bind the buffers before the first call")
        batch = mjb_makeBatch(<const mjModel*><uintptr_t>self.model._address, p.nsim, &self.config,
                              error, sizeof(error))
        if batch == NULL:
            raise RuntimeError(f"MuJoCo could not make a batch of {p.nsim} simulations: "
                               f"{error.decode(errors='replace')}")
        cdef mjBatch* parent = p.batch
        if parent != NULL:
            # a fork: the parent's batch has no threads here, but its state rows are readable
            memcpy(mjb_state(batch), mjb_state(parent),
                   <size_t>p.nsim * p.nstate * sizeof(double))
        p.batch = batch
        for k, name in enumerate(self.tables.fields):
            p.field[k].rows = <double*>mjb_expand(batch, name.encode(), &p.field[k].size, NULL)
            p.field[k].offset = model_offset(name.encode())
            p.field[k].inside = "." in name
            p.field[k].nominal = <const double*><uintptr_t>self.tables.nominal[k].ctypes.data
        if parent != NULL:
            self._derive(np.arange(p.nsim, dtype=np.int32), write=True)
        p.seen[0] = mjb_model(batch)[0]
        p.seen.nbody, p.seen.ngeom, p.seen.nsite = p.nbody, p.ngeom, p.nsite
        p.seen.geom_contype = &self.geom_masks[0, 0]
        p.seen.geom_conaffinity = &self.geom_masks[1, 0]
        p.seen.body_contype = &self.body_masks[0, 0]
        p.seen.body_conaffinity = &self.body_masks[1, 0]
        self.owner = getpid()
        return 0

    cdef object _ids(self, ids):
        if ids is None:
            return np.arange(self.program.nsim, dtype=np.int32)
        ids = np.asarray(ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(f"ids must be a 1-d array of whole numbers, got {ids.dtype} "
                             f"{ids.shape}")
        if ids.size and (ids.min() < 0 or ids.max() >= self.program.nsim):
            raise ValueError(f"ids must lie in 0 .. {self.program.nsim - 1}, got {ids.min()} .. "
                             f"{ids.max()}")
        return np.ascontiguousarray(ids, dtype=np.int32)

    cdef int _apply(self, ids, mjfBatchFunc func) except -1:
        cdef int[::1] view = ids
        cdef int count = view.shape[0], failures
        cdef Program* p = &self.program
        if count == 0:
            return 0
        with nogil:
            failures = mjb_apply(p.batch, &view[0], count, func, p, 1)
        if failures:
            first = next(i for i in ids if mjb_status(p.batch)[i])
            raise RuntimeError(f"MuJoCo raised an error in {failures} of {count} simulations; "
                               f"simulation {first}: {mjb_error(p.batch, first).decode()}")
        return 0

    cdef int _derive(self, ids, bint write=False) except -1:
        """Constants of the models of simulations `ids`, after writing their draws if asked to."""
        cdef Program* p = &self.program
        cdef int[::1] view = np.unique(ids)
        cdef int k
        if p.nfield == 0 or view.shape[0] == 0:
            return 0
        if write:
            for k in range(view.shape[0]):
                write_rows(p, view[k])
        if p.derive and mjb_setConst(p.batch, &view[0], view.shape[0]):
            raise RuntimeError("MuJoCo raised an error in mj_setConst of a randomised model")
        return 0

    def seed(self, seeds, streams, ids=None):
        """Give simulations generators of their own: `seeds` (n,) uint64, `streams` (n,) uint32."""
        cdef Py_ssize_t k
        cdef int sim
        for k, sim in enumerate(self._ids(ids)):
            self.program.episode[sim].seed = seeds[k]
            self.program.episode[sim].stream = streams[k]
            self.program.episode[sim].counter = 0

    def reset(self, ids=None):
        """Start new episodes in simulations `ids` (None: all); writes their rows."""
        self._open()
        ids = self._ids(ids)
        self._apply(ids, reset_double if self.double_precision else reset_float)
        self._derive(ids)

    def step(self):
        """One environment step of every simulation, from `actions` into the other buffers.

        Raises:
          ValueError: an action is NaN or infinite; nothing has been stepped then.
        """
        cdef int row
        self._open()
        with nogil:
            if self.double_precision:
                row = step_batch_double(&self.program)
            else:
                row = step_batch_float(&self.program)
        if row >= 0:
            raise ValueError(f"actions must be finite, got {self.buffers[0][row]} for environment "
                             f"{row}; nothing was stepped")

    def evaluate(self, ids):
        """Go on from the states that stand in `state`, after one mj_forward each.

        Success and statistics start anew; the steps of `episode`, goals, latches and generators
        stay.
        """
        self._open()
        self._apply(self._ids(ids), evaluate_double if self.double_precision else evaluate_float)

    @property
    def state(self):
        """The MuJoCo states, a live (num_envs, nstate) float64 view in mj_getState order."""
        self._open()
        cdef Program* p = &self.program
        return np.asarray(<double[:p.nsim, :p.nstate]>mjb_state(p.batch))

    @property
    def memory(self):
        """Goals, choices and sums, a live (num_envs, nmemory) float64 view."""
        cdef Program* p = &self.program
        return np.asarray(<double[:p.nsim, :max(p.nmemory, 1)]>p.memory)[:, :p.nmemory]

    @property
    def episode(self):
        """Counters, generator and statistics, a live (num_envs,) structured view."""
        return np.asarray(<Episode[:self.program.nsim]>self.program.episode)

    def get_state(self, ids=None):
        """Everything that the future of simulations `ids` depends on.

        Returns:
          (n, k) float64: MuJoCo state, episode, memory and observation, copied bit for bit.
        """
        ids = self._ids(ids)
        episode = self.episode[ids].view(np.float64).reshape(len(ids), -1)
        return np.concatenate([self.state[ids], episode, self.memory[ids],
                               self.buffers[1][ids].astype(np.float64)], axis=1)

    def set_state(self, snapshot, ids=None):
        """Restore what `get_state` returned; `snapshot` (n, k) float64 for simulations `ids`."""
        cdef Program* p = &self.program
        ids = self._ids(ids)
        sizes = [p.nstate, sizeof(Episode) // sizeof(double), p.nmemory, p.nobs]
        snapshot = np.ascontiguousarray(snapshot)
        if snapshot.dtype != np.float64 or snapshot.shape != (len(ids), sum(sizes)):
            raise ValueError(f"a snapshot of {len(ids)} environments is float64 "
                             f"{(len(ids), sum(sizes))}, got {snapshot.dtype} {snapshot.shape}")
        state, episode, memory, observation = np.split(snapshot, np.cumsum(sizes)[:3], axis=1)
        self.state[ids] = state
        self.episode[ids] = np.ascontiguousarray(episode).view(DTYPES["episode"])[:, 0]
        self.memory[ids] = memory
        self.buffers[1][ids] = observation
        self._derive(ids, write=True)

    def log(self):
        """Sums over the episodes ended since the last call, which this call clears.

        Returns:
          dict of n, episode_return, episode_length, success, physics_resets and `terms`, the
          sums of the reward terms in their order; None if no episode has ended.
        """
        cdef Program* p = &self.program
        episode = self.episode
        n = float(episode["n"].sum())
        if n == 0:
            return None
        terms = self.memory[:, p.term_log:p.term_log + p.nreward]
        sums = {
            "n": n,
            "episode_return": float(episode["sum_return"].sum()),
            "episode_length": float(episode["sum_length"].sum()),
            "success": float(episode["sum_success"].sum()),
            "physics_resets": float(episode["physics_resets"].sum()),
            "terms": terms.sum(axis=0),
        }
        terms[:] = 0
        for name in ("n", "sum_return", "sum_length", "sum_success", "physics_resets"):
            episode[name] = 0
        return sums

    def data(self, sim, data):
        """Write simulation `sim`'s state into `data`, a mujoco.MjData of the model."""
        self._open()
        sim = int(self._ids([sim])[0])
        mjb_getData(self.program.batch, sim, <mjData*><uintptr_t>data._address)

    def write_model(self, sim, model):
        """Write simulation `sim`'s model, with what it drew, into `model`, a copy of `model`."""
        self._open()
        sim = int(self._ids([sim])[0])
        mjb_getModel(self.program.batch, sim, <mjModel*><uintptr_t>model._address)

    def engine(self):
        """A PyCapsule with the C step function, for bench.pyx; valid while the Core lives."""
        self._open()
        self.engine_storage.program = &self.program
        self.engine_storage.step = (step_batch_double if self.double_precision
                                    else step_batch_float)
        return PyCapsule_New(&self.engine_storage, "lerobot_puffer.Engine", NULL)

    @property
    def num_threads(self):
        """Threads that step, including the caller's."""
        return self.program.nthread

    def close(self):
        """Free the batch; calls after this raise ValueError."""
        self._free()
        self.closed = True

    cdef void _free(self):
        if self.program.batch != NULL and self.owner == getpid():
            mjb_deleteBatch(self.program.batch)
        self.program.batch = NULL

    def __dealloc__(self):
        self._free()
        free(self.program.episode)
        free(self.program.memory)
        free(self.program.failed)
        free(self.program.seen)
        free(self.program.field)
