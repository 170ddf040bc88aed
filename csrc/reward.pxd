"""Rewards: shaped signals, stages and the success bonus, summed into one number."""
from libc.math cimport exp, fmax, tanh

from action cimport clip
from program cimport *
from signal cimport hold

cdef inline double reward_negative(const Reward* r, double x) noexcept nogil:
    return -x

cdef inline double reward_gaussian(const Reward* r, double x) noexcept nogil:
    return exp(-(x * x) / (2 * r.margin))

cdef inline double reward_tanh(const Reward* r, double x) noexcept nogil:
    return 1 - tanh(x / r.margin)

cdef inline double reward_tolerance(const Reward* r, double x) noexcept nogil:
    cdef double outside = fmax(r.lower - x, x - r.upper)
    if outside <= 0:
        return 1
    if r.margin <= 0:
        return 0
    outside = outside / r.margin * r.sharpness
    return exp(-0.5 * outside * outside)

cdef inline double reward_ramp(const Reward* r, double x) noexcept nogil:
    return clip((x - r.lower) / (r.upper - r.lower), 0, 1)

cdef inline double reward_stages(const Program* p, const Reward* r,
                                 const double* values) noexcept nogil:
    """The value of the last level whose conditions all hold."""
    cdef double value = 0
    cdef int i
    for i in range(r.first, r.first + r.count):
        if hold(p, p.level[i].first, p.level[i].count, values):
            value = p.level[i].value
    return value

cdef inline double shape(const Program* p, const Reward* r, const double* values,
                         bint success) noexcept nogil:
    if r.kind == REWARD_STAGES:
        return reward_stages(p, r, values)
    if r.kind == REWARD_SUCCESS:
        return <double>success
    if not hold(p, r.first, r.count, values):
        return 0
    if r.kind == REWARD_NEGATIVE:
        return reward_negative(r, values[r.signal])
    if r.kind == REWARD_GAUSSIAN:
        return reward_gaussian(r, values[r.signal])
    if r.kind == REWARD_TANH:
        return reward_tanh(r, values[r.signal])
    if r.kind == REWARD_TOLERANCE:
        return reward_tolerance(r, values[r.signal])
    if r.kind == REWARD_RAMP:
        return reward_ramp(r, values[r.signal])
    return 1

cdef inline double reward(const Program* p, double* memory, const double* values,
                          bint success) noexcept nogil:
    """One step's reward; adds each term to its sum over the episode."""
    cdef const Reward* r
    cdef double total = 0, value, level
    cdef int i
    for i in range(p.nreward):
        r = &p.reward[i]
        value = r.weight * shape(p, r, values, success)
        if r.progress >= 0:
            level = value
            value = level - memory[r.progress]
            memory[r.progress] = level
        memory[r.total] += value
        total += value
    return total

cdef inline void begin_progress(const Program* p, double* memory,
                                const double* values) noexcept nogil:
    """At reset, progress is measured from the first state."""
    cdef const Reward* r
    cdef int i
    for i in range(p.nreward):
        r = &p.reward[i]
        memory[r.total] = 0
        if r.progress >= 0:
            memory[r.progress] = r.weight * shape(p, r, values, False)
