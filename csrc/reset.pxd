"""Resets: what the start of an episode draws, on top of the task's initial state."""
from libc.math cimport cos, sin
from mujoco cimport mjData
from program cimport *
from random cimport below, uniform

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

cdef inline void reset_joints(const Reset* r, Episode* e, mjData* d) noexcept nogil:
    d.qpos[r.address] = uniform(e, r.low, r.high)

cdef inline void reset_pose(const Reset* r, Episode* e, mjData* d) noexcept nogil:
    cdef double* q = d.qpos + r.address
    cdef double half = 0.5 * uniform(e, r.low, r.high)
    region_position(&r.region, e, q)
    q[3] = cos(half)
    q[4] = 0
    q[5] = 0
    q[6] = sin(half)

cdef inline void reset_goal(const Reset* r, Episode* e, mjData* d, double* memory) noexcept nogil:
    cdef int i
    region_position(&r.region, e, memory + r.address)
    if r.mocap >= 0:
        for i in range(3):
            d.mocap_pos[3 * r.mocap + i] = memory[r.address + i]

cdef inline void reset_choice(const Reset* r, Episode* e, double* memory) noexcept nogil:
    memory[r.address] = <int>r.low + below(e, r.count)

cdef inline void reset_terms(const Program* p, Episode* e, mjData* d,
                             double* memory) noexcept nogil:
    cdef const Reset* r
    cdef int i
    for i in range(p.nreset):
        r = &p.reset[i]
        if r.kind == RESET_JOINTS:
            reset_joints(r, e, d)
        elif r.kind == RESET_POSE:
            reset_pose(r, e, d)
        elif r.kind == RESET_GOAL:
            reset_goal(r, e, d, memory)
        else:
            reset_choice(r, e, memory)
