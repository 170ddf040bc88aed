"""Signals: the scalars of a simulation that rewards, conditions and observations read.

Contact forces belong to the last substep and are read before the derived fields are refreshed;
everything else belongs to the new state.
"""
from libc.math cimport fabs, fmax, sqrt
from libc.stdint cimport uint64_t
from mujoco cimport (mjModel, mjData, mjContact, mjOBJ_XBODY, mjOBJ_GEOM, mjOBJ_SITE,
                     mj_contactForce, mj_objectVelocity)
from program cimport *

cdef inline const double* position(const Program* p, const Point* point, const mjData* d,
                                   const double* memory, double* own) noexcept nogil:
    """The place of a point; `own` has room for one that is computed."""
    cdef int i
    if point.kind == POINT_SITE:
        return d.site_xpos + 3 * point.id
    if point.kind == POINT_BODY:
        return d.xpos + 3 * point.id
    if point.kind == POINT_GEOM:
        return d.geom_xpos + 3 * point.id
    if point.kind == POINT_GOAL:
        return memory + point.id
    if point.kind == POINT_CHOSEN:
        return d.xpos + 3 * p.ids[point.id + <int>memory[point.choice]]
    if point.kind == POINT_MIDPOINT:
        for i in range(3):
            own[i] = 0.5 * (d.site_xpos[3 * point.id + i] + d.site_xpos[3 * point.other + i])
        return own
    return point.position

cdef inline void world_axis(int frame, int site, const double* axis, const mjData* d,
                            double* out) noexcept nogil:
    cdef const double* rotation
    cdef int i
    if frame < 0:
        for i in range(3):
            out[i] = axis[i]
        return
    rotation = (d.site_xmat if site else d.xmat) + 9 * frame
    for i in range(3):
        out[i] = (rotation[3 * i] * axis[0] + rotation[3 * i + 1] * axis[1]
                  + rotation[3 * i + 2] * axis[2])

cdef inline double signal_distance(const Program* p, const Signal* s, const mjData* d,
                                   const double* memory) noexcept nogil:
    cdef double own[6]
    cdef const double* a = position(p, &s.a, d, memory, own)
    cdef const double* b = position(p, &s.b, d, memory, own + 3)
    cdef double total = 0, step
    cdef int i
    for i in range(3):
        if s.axes & (1 << i):
            step = a[i] - b[i]
            total += step * step
    return sqrt(total)

cdef inline double signal_height(const Program* p, const Signal* s, const mjData* d,
                                 const double* memory) noexcept nogil:
    cdef double own[6]
    return (position(p, &s.a, d, memory, own)[2]
            - position(p, &s.b, d, memory, own + 3)[2])

cdef inline double length(const double* v) noexcept nogil:
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])

cdef inline void object_velocity(const Signal* s, const mjModel* m, const mjData* d,
                                 double* velocity) noexcept nogil:
    """Angular, then linear velocity of the point's frame, world axes."""
    cdef int kind = mjOBJ_XBODY
    if s.a.kind == POINT_SITE:
        kind = mjOBJ_SITE
    elif s.a.kind == POINT_GEOM:
        kind = mjOBJ_GEOM
    mj_objectVelocity(m, d, kind, s.a.id, velocity, 0)

cdef inline double signal_speed(const Signal* s, const mjModel* m, const mjData* d) noexcept nogil:
    cdef double velocity[6]
    if s.dof >= 0:
        return length(d.qvel + s.dof)
    object_velocity(s, m, d, velocity)
    return length(velocity + 3)

cdef inline double signal_angular_speed(const Signal* s, const mjModel* m,
                                        const mjData* d) noexcept nogil:
    cdef double velocity[6]
    if s.dof >= 0:
        return length(d.qvel + s.dof + 3)
    object_velocity(s, m, d, velocity)
    return length(velocity)

cdef inline double signal_joint_speed(const Program* p, const Signal* s,
                                      const mjData* d) noexcept nogil:
    cdef double largest = 0, speed
    cdef int i
    for i in range(s.first, s.first + s.count):
        speed = fabs(d.qvel[p.ids[i]])
        if speed > largest:
            largest = speed
    return largest

cdef inline double signal_alignment(const Signal* s, const mjData* d) noexcept nogil:
    cdef double a[3]
    cdef double b[3]
    world_axis(s.frame_a, s.site_a, s.axis_a, d, a)
    world_axis(s.frame_b, s.site_b, s.axis_b, d, b)
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]

cdef inline double signal_face_alignment(const Signal* s, const mjData* d) noexcept nogil:
    cdef const double* frame = (d.site_xmat if s.site_b else d.xmat) + 9 * s.frame_b
    cdef double a[3]
    cdef double largest = 0
    cdef int i
    world_axis(s.frame_a, s.site_a, s.axis_a, d, a)
    for i in range(3):
        largest = fmax(largest, fabs(frame[i] * a[0] + frame[3 + i] * a[1] + frame[6 + i] * a[2]))
    return largest

cdef inline bint between(const Program* p, const Signal* s,
                         const mjContact* contact) noexcept nogil:
    """Whether the contact joins a geom of set a with one of set b."""
    cdef uint64_t first, second
    if contact.geom[0] < 0 or contact.geom[1] < 0:
        return False
    first = p.geom_sets[contact.geom[0]]
    second = p.geom_sets[contact.geom[1]]
    if (first & s.set_a) and (second & s.set_b):
        return True
    return not s.ordered and (first & s.set_b) and (second & s.set_a)

cdef inline void signal_contact_force(const Program* p, const mjModel* m, const mjData* d,
                                      double* values) noexcept nogil:
    """The sums of normal forces (N) of the last substep, for all such signals; they come first."""
    cdef double force[6]
    cdef int i, k
    for k in range(p.nlast_signal):
        values[k] = 0
    if p.nlast_signal == 0:
        return
    for i in range(d.ncon):
        for k in range(p.nlast_signal):
            if between(p, &p.signal[k], &d.contact[i]):
                mj_contactForce(m, d, i, force)
                values[k] += force[0]

cdef inline bint along(const Signal* s, const mjContact* contact, const mjData* d) noexcept nogil:
    """Whether the contact's normal lies along the signal's axis, where it has one."""
    cdef double axis[3]
    if s.cosine < 0:
        return True
    world_axis(s.frame_a, s.site_a, s.axis_a, d, axis)
    return fabs(contact.frame[0] * axis[0] + contact.frame[1] * axis[1]
                + contact.frame[2] * axis[2]) > s.cosine

cdef inline void signal_contact(const Program* p, const mjData* d, double* values) noexcept nogil:
    """1 where a pair touches, else 0, for all such signals; they follow the forces."""
    cdef int i, k
    cdef int end = p.nlast_signal + p.ncontact_signal
    for k in range(p.nlast_signal, end):
        values[k] = 0
    if p.ncontact_signal == 0:
        return
    for i in range(d.ncon):
        for k in range(p.nlast_signal, end):
            if (values[k] == 0 and between(p, &p.signal[k], &d.contact[i])
                    and along(&p.signal[k], &d.contact[i], d)):
                values[k] = 1

cdef inline bint hold(const Program* p, int first, int count,
                      const double* values) noexcept nogil:
    """Whether a conjunction of conditions is true."""
    cdef const Condition* condition
    cdef int i
    for i in range(first, first + count):
        condition = &p.condition[i]
        if condition.above:
            if not values[condition.signal] > condition.threshold:
                return False
        elif not values[condition.signal] < condition.threshold:
            return False
    return True

cdef inline double signal_latch(const Program* p, const Signal* s, double* memory,
                                const double* values) noexcept nogil:
    if memory[s.address] == 0 and hold(p, s.first, s.count, values):
        memory[s.address] = 1
    return memory[s.address]

cdef inline void clear_latches(const Program* p, double* memory) noexcept nogil:
    cdef int k
    for k in range(p.nsignal):
        if p.signal[k].kind == SIGNAL_LATCH:
            memory[p.signal[k].address] = 0

cdef inline void read_signals(const Program* p, const mjModel* m, const mjData* d,
                              double* memory, double* values) noexcept nogil:
    """Every signal of the new state; its derived fields have been refreshed."""
    cdef const Signal* s
    cdef int k
    signal_contact(p, d, values)
    for k in range(p.nlast_signal + p.ncontact_signal, p.nsignal):
        s = &p.signal[k]
        if s.kind == SIGNAL_DISTANCE:
            values[k] = signal_distance(p, s, d, memory)
        elif s.kind == SIGNAL_HEIGHT:
            values[k] = signal_height(p, s, d, memory)
        elif s.kind == SIGNAL_JOINT_POSITION:
            values[k] = d.qpos[s.address]
        elif s.kind == SIGNAL_CONTROL:
            values[k] = d.ctrl[s.address]
        elif s.kind == SIGNAL_SPEED:
            values[k] = signal_speed(s, m, d)
        elif s.kind == SIGNAL_ANGULAR_SPEED:
            values[k] = signal_angular_speed(s, m, d)
        elif s.kind == SIGNAL_JOINT_SPEED:
            values[k] = signal_joint_speed(p, s, d)
        elif s.kind == SIGNAL_ALIGNMENT:
            values[k] = signal_alignment(s, d)
        elif s.kind == SIGNAL_FACE_ALIGNMENT:
            values[k] = signal_face_alignment(s, d)
        else:
            values[k] = signal_latch(p, s, memory, values)
