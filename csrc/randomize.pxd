"""Randomisation: what a simulation draws at reset, and how its model and its actions follow.

Every number drawn lies in the simulation's memory; its rows of model fields follow from these, so a
restored memory restores the model.
"""
from libc.math cimport cos, exp, sin, sqrt, M_PI
from libc.string cimport memcpy, memset

from action cimport real
from mujoco cimport *
from program cimport *
from random cimport below, draw, uniform

cdef extern from * nogil:
    """
    #include <stddef.h>
    #include <string.h>
    #include <mujoco/mjxmacro.h>
    #include <mujoco/mujoco.h>

    /* where mjModel has a field, or the pointer to it; -1 for an unknown one */
    static long model_offset(const char* name) {
    #define X(type, field, nr, nc) \\
      if (!strcmp(name, #field)) return (long)offsetof(mjModel, field);
      MJMODEL_POINTERS
    #undef X
      return strcmp(name, "opt.gravity") ? -1 : (long)offsetof(mjModel, opt.gravity);
    }
    """
    long model_offset(const char* name)

cdef inline void write_number(const Write* w, const double* memory, void* field) noexcept nogil:
    cdef double x = memory[w.value]
    cdef double* to = <double*>field + w.element
    cdef float* narrow = <float*>field + w.element
    cdef const double* v = memory + w.value
    cdef double length
    cdef double axis[3]
    cdef double turn[4]
    cdef double before[4]
    cdef int i
    if w.kind == WRITE_ROTATE:
        length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
        if length > 0:
            for i in range(3):
                axis[i] = v[i] / length
            mju_axisAngle2Quat(turn, axis, length)
            memcpy(before, to, sizeof(before))
            mju_mulQuat(to, before, turn)
    elif w.kind == WRITE_SCALE:
        if w.power == 2:
            x = x * x
        if w.single:
            narrow[0] = <float>(narrow[0] * x)
        else:
            to[0] *= x
    elif w.single:
        narrow[0] = <float>(narrow[0] + x)
    else:
        to[0] += x

cdef inline void write_rows(const Program* p, int sim) noexcept nogil:
    """The simulation's rows of model fields, from its memory."""
    cdef const double* memory = p.memory + <size_t>sim * p.nmemory
    cdef const ModelField* f
    cdef int i
    for i in range(p.nfield):
        f = &p.field[i]
        memcpy(f.rows + <size_t>sim * f.size, f.nominal, <size_t>f.size * sizeof(double))
    for i in range(p.nwrite):
        f = &p.field[p.write[i].field]
        write_number(&p.write[i], memory, f.rows + <size_t>sim * f.size)

cdef inline void load_rows(const Program* p, const mjModel* m, int sim) noexcept nogil:
    """Put the rows into `m`, the thread's own copy, which the batch filled before they changed."""
    cdef const ModelField* f
    cdef char* to
    cdef int i
    for i in range(p.nfield):
        f = &p.field[i]
        to = <char*>m + f.offset
        if not f.inside:
            to = (<char**>to)[0]
        memcpy(to, f.rows + <size_t>sim * f.size, <size_t>f.size * sizeof(double))

cdef inline void randomize_field(const Draw* d, Episode* e, double* memory) noexcept nogil:
    cdef double x = uniform(e, d.low, d.high)
    memory[d.value] = exp(x) if d.log else x

cdef inline void randomize_delay(const Program* p, Episode* e, double* memory) noexcept nogil:
    memory[p.delay] = p.delay_low + below(e, p.delay_size - p.delay_low)
    memory[p.delay + 1] = 0

cdef inline void randomize(const Program* p, const mjModel* m, int sim, Episode* e,
                           double* memory) noexcept nogil:
    """All draws of a reset."""
    cdef int i
    for i in range(p.ndraw):
        randomize_field(&p.draw[i], e, memory)
    if p.nfield:
        write_rows(p, sim)
        load_rows(p, m, sim)
    if p.delay >= 0:
        randomize_delay(p, e, memory)

cdef inline void lift_bodies(const Program* p, mjData* d, const double* memory) noexcept nogil:
    cdef const Lift* x
    cdef int i
    for i in range(p.nlift):
        x = &p.lift[i]
        d.qpos[x.address + 2] += (memory[x.value] - 1) * x.height

cdef inline const double* delayed(const Program* p, const real* action,
                                  double* memory) noexcept nogil:
    """The action of `delay` steps ago, after noting this one; NULL if there was none yet."""
    cdef double* ring = memory + p.delay + 2
    cdef int count = <int>memory[p.delay + 1]
    cdef int late = <int>memory[p.delay]
    cdef double* row = ring + <size_t>(count % p.delay_size) * p.naction
    cdef int i
    for i in range(p.naction):
        row[i] = action[i]
    memory[p.delay + 1] = count + 1
    if count < late:
        return NULL
    return ring + <size_t>((count - late) % p.delay_size) * p.naction

cdef inline void randomize_push(const Push* push, Episode* e, mjData* d) noexcept nogil:
    cdef double* force = d.xfrc_applied + 6 * push.body
    cdef double u, v, size, z, radius
    memset(force, 0, 6 * sizeof(double))
    draw(e, &u, &v)
    if u >= push.probability:
        return
    size = push.low + v * (push.high - push.low)
    draw(e, &u, &v)
    z = 2 * u - 1
    radius = sqrt(1 - z * z)
    force[0] = size * radius * cos(2 * M_PI * v)
    force[1] = size * radius * sin(2 * M_PI * v)
    force[2] = size * z
