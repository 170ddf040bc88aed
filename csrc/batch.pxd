"""The whole batch: step.pxd's functions run on its simulations by MuJoCo's threads."""
from libc.math cimport isfinite

from action cimport real
from mujoco cimport *
from program cimport *
from quiet cimport set_quiet
from step cimport evaluate_simulation, reset_simulation, step_simulation

cdef inline void step_float(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    set_quiet(1)
    step_simulation(p, m, d, sim, <float*>p.actions)
    set_quiet(0)

cdef inline void step_double(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    set_quiet(1)
    step_simulation(p, m, d, sim, <double*>p.actions)
    set_quiet(0)

cdef inline void reset_float(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    reset_simulation(p, m, d, sim, <float*>p.observations)

cdef inline void reset_double(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    reset_simulation(p, m, d, sim, <double*>p.observations)

cdef inline void evaluate_float(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    evaluate_simulation(p, m, d, sim, <float*>p.observations)

cdef inline void evaluate_double(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil:
    cdef Program* p = <Program*>arg
    evaluate_simulation(p, m, d, sim, <double*>p.observations)

cdef inline int first_nonfinite(const real* x, int n, int width) noexcept nogil:
    """The first row with a number that is not finite, or -1."""
    cdef size_t i, size = <size_t>n * width
    cdef double zero = 0
    for i in range(size):
        zero += x[i] * 0
    if zero == 0:
        return -1
    for i in range(size):
        if not isfinite(x[i]):
            return <int>(i // width)
    return -1

cdef inline void settle_failures(Program* p, mjfBatchFunc step) noexcept nogil:
    """End the episodes of the simulations in which MuJoCo raised an error; it kept their states."""
    cdef const int* status = mjb_status(p.batch)
    cdef int sim, count = 0
    set_quiet(0)  # an error leaves its callback before the callback does this
    for sim in range(p.nsim):
        if status[sim]:
            p.failed[count] = sim
            count += 1
    p.settling = 1
    mjb_apply(p.batch, p.failed, count, step, p, 1)
    p.settling = 0

cdef inline void derive_begun(Program* p) noexcept nogil:
    """mj_setConst for the simulations that began an episode in this step."""
    cdef int sim, count = 0
    for sim in range(p.nsim):
        if p.episode[sim].steps == 0:
            p.failed[count] = sim
            count += 1
    if count:
        mjb_setConst(p.batch, p.failed, count)

cdef inline void step_all(Program* p, mjfBatchFunc step) noexcept nogil:
    """Step every simulation without the profiling clock that MuJoCo's Python package sets."""
    global mjcb_time
    cdef mjfTime clock = mjcb_time
    mjcb_time = NULL
    if mjb_apply(p.batch, NULL, p.nsim, step, p, 1):
        settle_failures(p, step)
    if p.derive:
        derive_begun(p)
    # another thread may have put it back already
    if clock != NULL:
        mjcb_time = clock

cdef inline int step_batch_float(Program* p) noexcept nogil:
    cdef int row = first_nonfinite(<float*>p.actions, p.nsim, p.naction)
    if row < 0:
        step_all(p, step_float)
    return row

cdef inline int step_batch_double(Program* p) noexcept nogil:
    cdef int row = first_nonfinite(<double*>p.actions, p.nsim, p.naction)
    if row < 0:
        step_all(p, step_double)
    return row
