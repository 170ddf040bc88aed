"""The compiled benchmark loop: the environment against raw `mjb_step`, no Python between steps.

`Race` steps a Core (core.pyx) and records where every simulation started, the controls it was
given and the states its episodes began from. Raw batches of the same model, simulations and
threads then run `mjb_step` from those starts with those controls, so that both sides simulate
the same thing, contact for contact; `matched` says that the states came out equal bit for bit.
`lerobot_puffer/bench.py` calls it and prints.
"""
import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from mujoco cimport *
from program cimport *

cdef extern from "mujoco/mjbatch.h" nogil:
    int mjSTATE_CTRL
    int mjSTATE_MOCAP_POS
    int mjSTAGE_NONE
    mjtNum* mjb_stateComponent(mjBatch* b, int component, int* size)

cdef inline double now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


cdef class Race:
    """A Core and raw batches of its model, stepped in turns.

    Args:
      core: a `lerobot_puffer._core.Core` that has been reset; nothing else may step it meanwhile.
      actions: (num_envs, naction), the actions that are bound to it.
      ring: (n, num_envs, naction) of the same dtype and finite, used over and over: row k is
        copied into `actions` before step k, as a trainer does.
      persistent: for every raw batch, whether it keeps one mjData a simulation.

    Raises:
      ValueError: `actions` is not what the Core reads, or `ring` does not fit it.

    Timed on the environment's side: the copy of the actions and the step with everything in it.
    Timed on a raw side: the copy of the controls and `mjb_step` of the same substeps, no stage
    after it. Not timed: recording, and putting a raw simulation where the environment's began a
    new episode (its last step before that gets the new episode's first control). The profiling
    callback that MuJoCo's Python package installs is off on the raw sides, which makes them
    several per cent faster.
    """
    cdef Engine* engine
    cdef Program* program
    cdef list batches              # addresses of the raw batches
    cdef object core
    cdef object capsule
    cdef object ring
    cdef char* ring_data
    cdef size_t row_size           # bytes of the actions of one step
    cdef int ring_length
    cdef int position              # next row of the ring
    cdef double* start             # (nsim, nstate) states at the start of the block
    cdef double* controls          # (steps, nsim, nu + mocap) of the block
    cdef int mocap                 # numbers of the mocap poses that actions set: 7 each, or 0
    cdef int* begun                # (steps + 1,) episodes begun in the block before step k
    cdef int* begun_sim            # (begun,) their simulations
    cdef double* begun_state       # (begun, nstate) their first states
    cdef int begun_room
    cdef int steps_room
    cdef readonly bint matched

    def __cinit__(self):
        self.batches = []
        self.start = NULL
        self.controls = NULL
        self.begun = NULL
        self.begun_sim = NULL
        self.begun_state = NULL
        self.begun_room = 0
        self.steps_room = 0
        self.position = 0
        self.matched = True

    def __init__(self, core, actions, ring, persistent=(False,)):
        cdef mjBatchConfig config
        cdef mjBatch* batch
        cdef char error[1000]
        if self.start != NULL:
            raise RuntimeError("a Race is initialised once; make a new one")
        self.core = core
        self.capsule = core.engine()
        self.engine = <Engine*>PyCapsule_GetPointer(self.capsule, "lerobot_puffer.Engine")
        self.program = self.engine.program
        shape = (self.program.nsim, self.program.naction)
        if <void*><uintptr_t>actions.ctypes.data != self.program.actions:
            raise ValueError("actions must be the array that is bound to the core")
        if (ring.ndim != 3 or ring.shape[1:] != shape or ring.dtype != actions.dtype
                or not len(ring)):
            raise ValueError(f"ring must be {actions.dtype} (n, {shape[0]}, {shape[1]}), got "
                             f"{ring.dtype} {ring.shape}")
        if not np.isfinite(ring).all():
            raise ValueError("ring must be finite")
        self.ring = np.ascontiguousarray(ring)
        self.ring_data = <char*><uintptr_t>self.ring.ctypes.data
        self.ring_length = len(ring)
        self.row_size = self.ring.strides[0]
        self.mocap = 0
        for i in range(self.program.naction_row):
            if self.program.action[i].kind == ACTION_POSE:
                self.mocap = 7 * <int>mjb_model(self.program.batch).nmocap
        self.start = <double*>malloc(<size_t>shape[0] * self.program.nstate * sizeof(double))
        if self.start == NULL:
            raise MemoryError(f"no memory for the states of {shape[0]} environments")
        for one in persistent:
            config.nthread = self.program.nthread
            config.persistent = bool(one)
            batch = mjb_makeBatch(mjb_model(self.program.batch), shape[0], &config, error,
                                  sizeof(error))
            if batch == NULL:
                raise RuntimeError(f"MuJoCo could not make a batch of {shape[0]} simulations: "
                                   f"{error.decode(errors='replace')}")
            self.batches.append(<uintptr_t>batch)

    def run(self, int steps, int turns):
        """Let every side run `steps` steps, `turns` times in turn.

        Returns:
          (turns, 1 + raw batches) float64, the seconds of each block; the environment first.

        Raises:
          ValueError: `steps` or `turns` is below 1.
        """
        cdef int turn, side, sides = len(self.batches)
        cdef mjBatch* batch
        cdef double elapsed
        cdef bint same
        if steps < 1 or turns < 1:
            raise ValueError(f"steps and turns must be at least 1, got {steps} and {turns}")
        self._room(steps)
        seconds = np.empty((turns, 1 + sides))
        for turn in range(turns):
            with nogil:
                elapsed = self._environment(steps)
            if elapsed < 0:
                raise MemoryError("no memory for the states of the episodes begun")
            seconds[turn, 0] = elapsed
            # the raw sides change places in every turn
            for side in (range(sides) if turn % 2 else reversed(range(sides))):
                batch = <mjBatch*><uintptr_t>self.batches[side]
                with nogil:
                    elapsed = self._raw(batch, steps)
                    same = self._equal(batch)
                seconds[turn, 1 + side] = elapsed
                self.matched = self.matched and same
        return seconds

    def step(self, int steps):
        """Step the environment only, without recording; returns the seconds."""
        cdef double begin, seconds
        with nogil:
            begin = now()
            for _ in range(steps):
                self._act()
            seconds = now() - begin
        return seconds

    cdef inline void _act(self) noexcept nogil:
        memcpy(self.program.actions, self.ring_data + self.position * self.row_size, self.row_size)
        self.position = (self.position + 1) % self.ring_length
        self.engine.step(self.program)

    cdef double _environment(self, int steps) noexcept nogil:
        """Seconds of `steps` environment steps, which it records; -1: out of memory."""
        cdef Program* p = self.program
        cdef int k
        cdef double begin, seconds = 0
        memcpy(self.start, mjb_state(p.batch), <size_t>p.nsim * p.nstate * sizeof(double))
        self.begun[0] = 0
        for k in range(steps):
            begin = now()
            self._act()
            seconds += now() - begin
            if not self._record(k):
                return -1
        return seconds

    cdef bint _record(self, int k) noexcept nogil:
        cdef Program* p = self.program
        cdef const double* state = mjb_state(p.batch)
        cdef const double* ctrl = mjb_stateComponent(p.batch, mjSTATE_CTRL, NULL)
        cdef const double* poses = mjb_stateComponent(p.batch, mjSTATE_MOCAP_POS, NULL)
        cdef double* controls = self.controls + <size_t>k * p.nsim * (p.nu + self.mocap)
        cdef size_t row
        cdef int sim, count = self.begun[k], room
        cdef void* grown
        for sim in range(p.nsim):
            row = <size_t>sim * p.nstate
            memcpy(controls, ctrl + row, <size_t>p.nu * sizeof(double))
            if self.mocap:
                # positions and quaternions lie side by side in a state
                memcpy(controls + p.nu, poses + row, <size_t>self.mocap * sizeof(double))
            controls += p.nu + self.mocap
            if p.episode[sim].steps:
                continue
            if count == self.begun_room:
                room = 2 * count + 64
                grown = realloc(self.begun_sim, <size_t>room * sizeof(int))
                if grown == NULL:
                    return False
                self.begun_sim = <int*>grown
                grown = realloc(self.begun_state, <size_t>room * p.nstate * sizeof(double))
                if grown == NULL:
                    return False
                self.begun_state = <double*>grown
                self.begun_room = room
            self.begun_sim[count] = sim
            memcpy(self.begun_state + <size_t>count * p.nstate, state + row,
                   <size_t>p.nstate * sizeof(double))
            count += 1
        self.begun[k + 1] = count
        return True

    cdef double _raw(self, mjBatch* batch, int steps) noexcept nogil:
        """Seconds of the recorded block under `mjb_step`."""
        cdef Program* p = self.program
        cdef double* state = mjb_state(batch)
        cdef double* ctrl = mjb_stateComponent(batch, mjSTATE_CTRL, NULL)
        cdef double* poses = mjb_stateComponent(batch, mjSTATE_MOCAP_POS, NULL)
        cdef const double* controls = self.controls
        cdef int k, i, sim
        cdef double begin, seconds = 0
        global mjcb_time
        cdef mjfTime timer = mjcb_time
        mjcb_time = NULL
        memcpy(state, self.start, <size_t>p.nsim * p.nstate * sizeof(double))
        for k in range(steps):
            begin = now()
            for sim in range(p.nsim):
                memcpy(ctrl + <size_t>sim * p.nstate, controls, <size_t>p.nu * sizeof(double))
                if self.mocap:
                    memcpy(poses + <size_t>sim * p.nstate, controls + p.nu,
                           <size_t>self.mocap * sizeof(double))
                controls += p.nu + self.mocap
            mjb_step(batch, NULL, p.nsim, p.substeps, mjSTAGE_NONE)
            seconds += now() - begin
            for i in range(self.begun[k], self.begun[k + 1]):
                memcpy(state + <size_t>self.begun_sim[i] * p.nstate,
                       self.begun_state + <size_t>i * p.nstate,
                       <size_t>p.nstate * sizeof(double))
        mjcb_time = timer
        return seconds

    cdef bint _equal(self, mjBatch* batch) noexcept nogil:
        cdef Program* p = self.program
        return memcmp(mjb_state(batch), mjb_state(p.batch),
                      <size_t>p.nsim * p.nstate * sizeof(double)) == 0

    cdef int _room(self, int steps) except -1:
        """Make room for the record of a block."""
        cdef Program* p = self.program
        if steps <= self.steps_room:
            return 0
        free(self.controls)
        free(self.begun)
        self.steps_room = 0
        self.controls = <double*>malloc(<size_t>steps * p.nsim * (p.nu + self.mocap)
                                        * sizeof(double))
        self.begun = <int*>malloc((<size_t>steps + 1) * sizeof(int))
        if self.controls == NULL or self.begun == NULL:
            raise MemoryError(f"no memory for a block of {steps} steps")
        self.steps_room = steps
        return 0

    def __dealloc__(self):
        for address in self.batches:
            mjb_deleteBatch(<mjBatch*><uintptr_t>address)
        free(self.start)
        free(self.controls)
        free(self.begun)
        free(self.begun_sim)
        free(self.begun_state)
