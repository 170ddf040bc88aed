"""One simulation: its step, the end and the start of its episodes. This is the environment."""
from libc.string cimport memcpy, memset

from action cimport apply_action, hold_targets, real
from mujoco cimport *
from observe cimport observe
from program cimport *
from randomize cimport delayed, lift_bodies, randomize, randomize_push
from reset cimport reset_terms
from reward cimport begin_progress, reward
from signal cimport clear_latches, hold, read_signals, signal_contact_force

cdef inline bint bad(const double* x, mjtSize n) noexcept nogil:
    cdef mjtSize i
    for i in range(n):
        if not (-mjMAXVAL < x[i] < mjMAXVAL):
            return True
    return False

cdef inline int warnings(const mjData* d) noexcept nogil:
    cdef int i, total = 0
    for i in range(mjNWARNING):
        total += d.warning[i].number
    return total

cdef inline void substep(const mjModel* m, mjData* d) noexcept nogil:
    """mj_step bit for bit, without sensors, cameras, lights, flexes, tendons and energy."""
    mj_checkPos(m, d)
    mj_checkVel(m, d)
    mj_kinematics(m, d)
    mj_comPos(m, d)
    mj_makeM(m, d)
    mj_factorM(m, d)
    mj_collision(m, d)
    mj_makeConstraint(m, d)
    mj_island(m, d)
    mj_projectConstraint(m, d)
    mj_transmission(m, d)
    mj_fwdVelocity(m, d)
    mj_fwdActuation(m, d)
    mj_fwdAcceleration(m, d)
    mj_fwdConstraint(m, d)
    mj_checkAcc(m, d)
    if m.opt.integrator == mjINT_EULER:
        mj_Euler(m, d)
    else:
        mj_implicit(m, d)

cdef inline bint advance(const Program* p, const mjModel* m, mjData* d) noexcept nogil:
    """Run the substeps; False if the simulation diverged."""
    cdef int before = warnings(d)
    cdef int _i
    for _i in range(p.substeps):
        if p.stages:
            substep(m, d)
        else:
            mj_step(m, d)
    return warnings(d) == before and not bad(d.qpos, m.nq) and not bad(d.qvel, m.nv)

cdef inline void find_places(const Program* p, const mjModel* m, mjData* d) noexcept nogil:
    if p.refresh & REFRESH_KINEMATICS:
        mj_kinematics(m, d)
    if p.refresh & REFRESH_CONTACTS:
        mj_collision(m, d)

cdef inline void refresh(const Program* p, const mjModel* m, mjData* d) noexcept nogil:
    """Bring the derived fields that the terms read up to the new state."""
    cdef mjModel seen
    cdef mjModel* own
    cdef mjtSize nbody, ngeom, nsite
    if p.nfield == 0:
        find_places(p, p.seen, d)
    elif p.refresh & REFRESH_CONTACTS:
        # a copy: an error of mj_collision, which ends this function, must leave m whole
        seen = m[0]
        seen.geom_contype, seen.geom_conaffinity = p.seen.geom_contype, p.seen.geom_conaffinity
        seen.body_contype, seen.body_conaffinity = p.seen.body_contype, p.seen.body_conaffinity
        find_places(p, &seen, d)
    else:
        # with fields of each simulation's own, m is this thread's own model
        own = <mjModel*>m
        nbody, ngeom, nsite = m.nbody, m.ngeom, m.nsite
        own.nbody, own.ngeom, own.nsite = p.nbody, p.ngeom, p.nsite
        find_places(p, m, d)
        own.nbody, own.ngeom, own.nsite = nbody, ngeom, nsite
    if p.refresh & REFRESH_VELOCITIES:
        mj_comPos(m, d)
        mj_comVel(m, d)

cdef inline void act(const Program* p, const real* action, Episode* e, double* memory,
                     mjData* d) noexcept nogil:
    """The action, and what else is done to the simulation in this step."""
    cdef const double* late
    cdef int i
    if p.delay < 0:
        apply_action(p, action, d)
    else:
        late = delayed(p, action, memory)
        if late != NULL:
            apply_action(p, late, d)
    for i in range(p.npush):
        randomize_push(&p.push[i], e, d)

cdef inline void begin_episode(const Program* p, const mjModel* m, mjData* d, int sim, Episode* e,
                               double* memory, real* row) noexcept nogil:
    cdef double values[MAX_SIGNALS]
    cdef int i
    mj_setState(m, d, p.init, mjSTATE_INTEGRATION)
    randomize(p, m, sim, e, memory)
    reset_terms(p, e, m, d, memory)
    lift_bodies(p, d, memory)
    hold_targets(p, d)
    memset(d.actuator_force, 0, <size_t>m.nu * sizeof(double))
    if m.nsensor:
        memset(d.sensordata, 0, <size_t>m.nsensordata * sizeof(double))
    e.done = 0
    e.steps = 0
    e.hold = 0
    e.succeeded = 0
    e.episode_return = 0
    for i in range(p.nlast_signal):
        values[i] = 0
    clear_latches(p, memory)
    refresh(p, m, d)
    read_signals(p, m, d, memory, values)
    begin_progress(p, memory, values)
    observe(p, e, d, memory, values, row)

cdef inline void end_episode(const Program* p, Episode* e, double* memory) noexcept nogil:
    cdef int i
    e.done = 1
    e.n += 1
    e.sum_return += e.episode_return
    e.sum_length += e.steps
    e.sum_success += e.succeeded
    for i in range(p.nreward):
        memory[p.term_log + i] += memory[p.reward[i].total]

cdef inline void step_simulation(const Program* p, const mjModel* m, mjData* d, int sim,
                                 real* actions) noexcept nogil:
    """One environment step."""
    cdef Episode* e = p.episode + sim
    cdef double* memory = p.memory + <size_t>sim * p.nmemory
    cdef real* row = <real*>p.observations + <size_t>sim * p.nobs
    cdef real* final_row = <real*>p.final_observations + <size_t>sim * p.nobs
    cdef real* step_reward = <real*>p.rewards + sim
    cdef double values[MAX_SIGNALS]
    cdef bint success, terminated, truncated
    cdef bint failed = p.settling

    if e.done and p.autoreset == AUTORESET_NEXT_STEP:
        begin_episode(p, m, d, sim, e, memory, row)
        step_reward[0] = 0
        p.terminals[sim] = 0
        p.truncations[sim] = 0
        return

    if not failed:
        act(p, actions + <size_t>sim * p.naction, e, memory, d)
        failed = not advance(p, m, d)
    e.steps += 1
    if failed:
        # the observation stays that of the state before the step, and so does the state
        mj_setState(m, d, mjb_state(p.batch) + <size_t>sim * p.nstate, mjSTATE_INTEGRATION)
        e.physics_resets += 1
        step_reward[0] = 0
        terminated = False
        truncated = True
        memcpy(final_row, row, <size_t>p.nobs * sizeof(real))
    else:
        signal_contact_force(p, m, d, values)
        refresh(p, m, d)
        read_signals(p, m, d, memory, values)
        if p.success_count and hold(p, p.success_first, p.success_count, values):
            e.hold += 1
        else:
            e.hold = 0
        success = e.hold >= p.hold
        if success:
            e.succeeded = 1
        terminated = success and p.terminate
        if p.failure_count and hold(p, p.failure_first, p.failure_count, values):
            terminated = True
        truncated = not terminated and p.episode_length > 0 and e.steps >= p.episode_length
        step_reward[0] = <real>reward(p, memory, values, success)
        e.episode_return += step_reward[0]

    p.terminals[sim] = terminated or (truncated and p.truncation_as_terminal)
    p.truncations[sim] = truncated
    if terminated or truncated:
        if not e.done:
            end_episode(p, e, memory)
        if not failed:
            observe(p, e, d, memory, values, final_row)
        if p.final_states != NULL:
            mj_getState(m, d, p.final_states + <size_t>sim * p.nstate, mjSTATE_INTEGRATION)
        if p.autoreset == AUTORESET_SAME_STEP:
            begin_episode(p, m, d, sim, e, memory, row)
        else:
            memcpy(row, final_row, <size_t>p.nobs * sizeof(real))
    else:
        observe(p, e, d, memory, values, row)

cdef inline void reset_simulation(const Program* p, const mjModel* m, mjData* d, int sim,
                                  real* observations) noexcept nogil:
    begin_episode(p, m, d, sim, p.episode + sim, p.memory + <size_t>sim * p.nmemory,
                  observations + <size_t>sim * p.nobs)
    (<real*>p.rewards)[sim] = 0
    p.terminals[sim] = 0
    p.truncations[sim] = 0

cdef inline void evaluate_simulation(const Program* p, const mjModel* m, mjData* d, int sim,
                                     real* observations) noexcept nogil:
    """Go on from the state and the step count as they stand, after one forward."""
    cdef Episode* e = p.episode + sim
    cdef double* memory = p.memory + <size_t>sim * p.nmemory
    cdef double values[MAX_SIGNALS]
    cdef bint success
    if p.delay >= 0:
        memory[p.delay + 1] = 0
    mj_forward(m, d)
    signal_contact_force(p, m, d, values)
    refresh(p, m, d)
    read_signals(p, m, d, memory, values)
    begin_progress(p, memory, values)
    e.done = 0
    e.hold = p.success_count and hold(p, p.success_first, p.success_count, values)
    success = e.hold >= p.hold
    e.succeeded = success
    (<real*>p.rewards)[sim] = <real>reward(p, memory, values, success)
    e.episode_return = (<real*>p.rewards)[sim]
    p.terminals[sim] = (success and p.terminate) or (
        p.failure_count and hold(p, p.failure_first, p.failure_count, values))
    p.truncations[sim] = 0
    observe(p, e, d, memory, values, observations + <size_t>sim * p.nobs)
