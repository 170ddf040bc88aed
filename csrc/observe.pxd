"""Observations: one row of the observation buffer, term by term."""
from action cimport clip, real
from mujoco cimport mjData
from program cimport *
from random cimport normal
from signal cimport position, world_axis

cdef inline double finish(const Observation* o, Episode* e, double x) noexcept nogil:
    x = x * o.scale + o.offset
    if o.noise > 0:
        x = x + o.noise * normal(e)
    return clip(x, o.low, o.high)

cdef inline const double* field(const Observation* o, const mjData* d) noexcept nogil:
    if o.source == FIELD_QPOS:
        return d.qpos + o.first
    if o.source == FIELD_QVEL:
        return d.qvel + o.first
    if o.source == FIELD_CTRL:
        return d.ctrl + o.first
    if o.source == FIELD_ACTUATOR_FORCE:
        return d.actuator_force + o.first
    if o.source == FIELD_MOCAP_POS:
        return d.mocap_pos + o.first
    if o.source == FIELD_MOCAP_QUAT:
        return d.mocap_quat + o.first
    return d.sensordata + o.first

cdef inline void observe_field(const Observation* o, Episode* e, const mjData* d,
                               real* out) noexcept nogil:
    cdef const double* source = field(o, d)
    cdef int i
    for i in range(o.size):
        out[i] = <real>finish(o, e, source[i])

cdef inline void write_vector(const Observation* o, Episode* e, const mjData* d, const double* x,
                              real* out) noexcept nogil:
    """A vector of world axes, written in those of the term's frame."""
    cdef const double* rotation
    cdef int i
    if o.view < 0:
        for i in range(3):
            out[i] = <real>finish(o, e, x[i])
        return
    rotation = (d.site_xmat if o.view_site else d.xmat) + 9 * o.view
    for i in range(3):
        out[i] = <real>finish(o, e, rotation[i] * x[0] + rotation[3 + i] * x[1]
                              + rotation[6 + i] * x[2])

cdef inline void observe_position(const Program* p, const Observation* o, Episode* e,
                                  const mjData* d, const double* memory,
                                  real* out) noexcept nogil:
    cdef double own[6]
    cdef double step[3]
    cdef const double* a = position(p, &o.a, d, memory, own)
    cdef const double* b
    cdef int i
    if o.relative:
        b = position(p, &o.b, d, memory, own + 3)
        for i in range(3):
            step[i] = a[i] - b[i]
        a = step
    write_vector(o, e, d, a, out)

cdef inline void observe_axis(const Observation* o, Episode* e, const mjData* d,
                              real* out) noexcept nogil:
    cdef double axis[3]
    world_axis(o.frame, o.site, o.axis, d, axis)
    write_vector(o, e, d, axis, out)

cdef inline void observe_goal(const Observation* o, Episode* e, const double* memory,
                              real* out) noexcept nogil:
    cdef int i
    for i in range(o.size):
        out[i] = <real>finish(o, e, memory[o.first + i])

cdef inline void observe_choice(const Observation* o, const double* memory,
                                real* out) noexcept nogil:
    cdef int i
    for i in range(o.size):
        out[i] = <real>(memory[o.first] == i)

cdef inline void observe_target_error(const Program* p, const Observation* o, Episode* e,
                                      const mjData* d, real* out) noexcept nogil:
    cdef const Action* a
    cdef int i
    for i in range(o.size):
        a = &p.action[o.first + i]
        out[i] = <real>finish(o, e, d.ctrl[a.actuator] - d.qpos[a.joint])

cdef inline void observe_time(const Program* p, const Observation* o, Episode* e,
                              real* out) noexcept nogil:
    out[0] = <real>finish(o, e, <double>e.steps / p.episode_length)

cdef inline void observe(const Program* p, Episode* e, const mjData* d, const double* memory,
                         const double* values, real* row) noexcept nogil:
    cdef const Observation* o
    cdef real* out
    cdef int i
    for i in range(p.nobservation):
        o = &p.observation[i]
        out = row + o.dest
        if o.kind == OBSERVE_FIELD:
            observe_field(o, e, d, out)
        elif o.kind == OBSERVE_POSITION:
            observe_position(p, o, e, d, memory, out)
        elif o.kind == OBSERVE_AXIS:
            observe_axis(o, e, d, out)
        elif o.kind == OBSERVE_GOAL:
            observe_goal(o, e, memory, out)
        elif o.kind == OBSERVE_CHOICE:
            observe_choice(o, memory, out)
        elif o.kind == OBSERVE_TARGET_ERROR:
            observe_target_error(p, o, e, d, out)
        elif o.kind == OBSERVE_TIME:
            observe_time(p, o, e, out)
        else:
            out[0] = <real>finish(o, e, values[o.first])
