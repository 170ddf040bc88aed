"""Actions: one row of the action buffer to the actuators' controls and the mocap bodies."""
from libc.math cimport sqrt
from mujoco cimport mjData
from program cimport *

ctypedef fused real:
    float
    double

cdef inline double clip(double x, double low, double high) noexcept nogil:
    # comparisons, not fmin and fmax: they compile to one instruction each
    x = low if x < low else x
    return high if x > high else x

cdef inline double action_absolute(const Action* a, double x) noexcept nogil:
    return clip(x * a.scale + a.offset, a.low, a.high)

cdef inline double action_normalized(const Action* a, double x) noexcept nogil:
    return clip(clip(x, -1, 1) * a.scale + a.offset, a.low, a.high)

cdef inline double action_delta(const Action* a, double x, const mjData* d) noexcept nogil:
    cdef double target = d.ctrl[a.actuator] + a.scale * clip(x, -1, 1)
    cdef double joint = d.qpos[a.joint]
    return clip(clip(target, joint - a.leash, joint + a.leash), a.low, a.high)

cdef inline void action_pose(const Action* a, const real* x, mjData* d) noexcept nogil:
    cdef double* pos = d.mocap_pos + 3 * a.actuator
    cdef double* quat = d.mocap_quat + 4 * a.actuator
    cdef double target[3]
    cdef double norm = 0
    cdef int i
    for i in range(3):
        target[i] = clip(x[i], a.lower[i], a.upper[i])
        norm += (target[i] - pos[i]) * (target[i] - pos[i])
    norm = sqrt(norm)
    for i in range(3):
        pos[i] = pos[i] + a.scale / norm * (target[i] - pos[i]) if norm > a.scale else target[i]
    norm = 0
    for i in range(4):
        norm += <double>x[3 + i] * x[3 + i]
    # of four numbers near zero no orientation can be made: it stays as it is
    if norm > 1e-12:
        norm = sqrt(norm)
        for i in range(4):
            quat[i] = x[3 + i] / norm

cdef inline void apply_action(const Program* p, const real* action, mjData* d) noexcept nogil:
    cdef const Action* a
    cdef double x
    cdef int i
    for i in range(p.naction_row):
        a = &p.action[i]
        if a.kind == ACTION_POSE:
            action_pose(a, action + a.source, d)
            continue
        x = action[a.source]
        if a.kind == ACTION_ABSOLUTE:
            d.ctrl[a.actuator] = action_absolute(a, x)
        elif a.kind == ACTION_NORMALIZED:
            d.ctrl[a.actuator] = action_normalized(a, x)
        else:
            d.ctrl[a.actuator] = action_delta(a, x, d)

cdef inline void hold_targets(const Program* p, mjData* d) noexcept nogil:
    """At reset, the target of a position actuator is where its joint stands."""
    cdef const Action* a
    cdef int i
    for i in range(p.naction_row):
        a = &p.action[i]
        if a.joint >= 0:
            d.ctrl[a.actuator] = clip(d.qpos[a.joint], a.low, a.high)
