"""Resets: what the start of an episode draws, on top of the task's initial state."""
from libc.math cimport atan2, cos, sin
from mujoco cimport (mjData, mjModel, mjNEQDATA, mj_kinematics, mju_mulQuat, mju_negQuat,
                     mju_rotVecQuat)
from program cimport *
from random cimport below, uniform

cdef enum:
    MAX_DRAWS = 1000               # of a position that keeps apart from others

cdef inline void region_position(const Region* region, Episode* e, double* out) noexcept nogil:
    cdef double x[3]
    cdef int i
    for i in range(3):
        x[i] = uniform(e, region.low[i], region.high[i])
    if region.sector:
        out[0] = region.origin[0] + x[0] * cos(x[1])
        out[1] = region.origin[1] + x[0] * sin(x[1])
        out[2] = region.origin[2] + x[2]
    else:
        for i in range(3):
            out[i] = region.origin[i] + x[i]

cdef inline bint apart(const Program* p, const Reset* r, const double* x, const mjData* d,
                       const double* memory) noexcept nogil:
    """Whether a position keeps its separation from those that earlier terms drew."""
    cdef const Reset* other = p.reset
    cdef const double* y
    while other < r:
        if other.kind == RESET_POSE or other.kind == RESET_GOAL:
            y = memory + other.address
            if other.kind == RESET_POSE:
                y = d.qpos + other.address
            if ((x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1])
                    < r.separation * r.separation):
                return False
        other += 1
    return True

cdef inline void draw_position(const Program* p, const Reset* r, Episode* e, const mjData* d,
                               const double* memory, double* out) noexcept nogil:
    cdef int _i
    for _i in range(MAX_DRAWS):
        region_position(&r.region, e, out)
        if r.separation <= 0 or apart(p, r, out, d, memory):
            return

cdef inline void reset_joints(const Reset* r, Episode* e, mjData* d) noexcept nogil:
    d.qpos[r.address] = uniform(e, r.low, r.high)

cdef inline void reset_pose(const Program* p, const Reset* r, Episode* e, mjData* d,
                            const double* memory) noexcept nogil:
    cdef double* q = d.qpos + r.address
    cdef double half = 0.5 * uniform(e, r.low, r.high)
    draw_position(p, r, e, d, memory, q)
    if r.radial:
        half += 0.5 * atan2(q[1] - r.region.origin[1], q[0] - r.region.origin[0])
    q[3] = cos(half)
    q[4] = 0
    q[5] = 0
    q[6] = sin(half)

cdef inline void reset_goal(const Program* p, const Reset* r, Episode* e, mjData* d,
                            double* memory) noexcept nogil:
    cdef int i
    draw_position(p, r, e, d, memory, memory + r.address)
    if r.mocap >= 0:
        for i in range(3):
            d.mocap_pos[3 * r.mocap + i] = memory[r.address + i]

cdef inline void reset_choice(const Reset* r, Episode* e, double* memory) noexcept nogil:
    memory[r.address] = <int>r.low + below(e, r.count)

cdef inline void reset_mocap(const Reset* r, const mjModel* m, mjData* d) noexcept nogil:
    cdef const double* weld = m.eq_data + mjNEQDATA * r.address  # anchor 3, relative pose 3 and 4
    cdef const double* held = d.xpos + 3 * m.eq_obj2id[r.address]
    cdef double* pos = d.mocap_pos + 3 * r.mocap
    cdef double* quat = d.mocap_quat + 4 * r.mocap
    cdef double back[4]
    cdef double anchor[3]
    cdef double relative[3]
    cdef int i
    mj_kinematics(m, d)
    mju_negQuat(back, weld + 6)
    mju_mulQuat(quat, d.xquat + 4 * m.eq_obj2id[r.address], back)
    mju_rotVecQuat(anchor, weld, d.xquat + 4 * m.eq_obj2id[r.address])
    mju_rotVecQuat(relative, weld + 3, quat)
    for i in range(3):
        pos[i] = held[i] + anchor[i] - relative[i]

cdef inline void reset_terms(const Program* p, Episode* e, const mjModel* m, mjData* d,
                             double* memory) noexcept nogil:
    cdef const Reset* r
    cdef int i
    for i in range(p.nreset):
        r = &p.reset[i]
        if r.kind == RESET_JOINTS:
            reset_joints(r, e, d)
        elif r.kind == RESET_POSE:
            reset_pose(p, r, e, d, memory)
        elif r.kind == RESET_GOAL:
            reset_goal(p, r, e, d, memory)
        elif r.kind == RESET_CHOICE:
            reset_choice(r, e, memory)
        else:
            reset_mocap(r, m, d)
