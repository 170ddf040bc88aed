"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), one stream a simulation.

A block is a function of (seed, stream, counter) alone, so a simulation's draws depend on nothing
but its own past.
"""
from libc.math cimport cos, log, sqrt, M_PI
from libc.stdint cimport uint32_t, uint64_t
from program cimport Episode

cdef inline void philox(uint32_t* x, uint32_t key0, uint32_t key1) noexcept nogil:
    cdef uint64_t product0, product1
    cdef uint32_t high0, high1
    cdef int _i
    for _i in range(10):
        product0 = <uint64_t>0xD2511F53U * x[0]
        product1 = <uint64_t>0xCD9E8D57U * x[2]
        high0 = <uint32_t>(product0 >> 32)
        high1 = <uint32_t>(product1 >> 32)
        x[0] = high1 ^ x[1] ^ key0
        x[1] = <uint32_t>product1
        x[2] = high0 ^ x[3] ^ key1
        x[3] = <uint32_t>product0
        key0 += 0x9E3779B9U
        key1 += 0xBB67AE85U

cdef inline void draw(Episode* e, double* u, double* v) noexcept nogil:
    """Two independent numbers of 53 bits, uniform on [0, 1)."""
    cdef uint32_t x[4]
    x[0] = <uint32_t>e.counter
    x[1] = <uint32_t>(e.counter >> 32)
    x[2] = e.stream
    x[3] = 0
    e.counter += 1
    philox(x, <uint32_t>e.seed, <uint32_t>(e.seed >> 32))
    u[0] = <double>((((<uint64_t>x[0]) << 32) | x[1]) >> 11) * 2.0**-53
    v[0] = <double>((((<uint64_t>x[2]) << 32) | x[3]) >> 11) * 2.0**-53

cdef inline double uniform(Episode* e, double low, double high) noexcept nogil:
    cdef double u, v
    draw(e, &u, &v)
    return low + u * (high - low)

cdef inline int below(Episode* e, int n) noexcept nogil:
    """A whole number, uniform on 0 .. n - 1 (n < 2**31: bias under 2**-22)."""
    cdef double u, v
    draw(e, &u, &v)
    return <int>(u * n)

cdef inline double normal(Episode* e) noexcept nogil:
    """A standard normal number (Box-Muller)."""
    cdef double u, v
    draw(e, &u, &v)
    return sqrt(-2.0 * log(1.0 - u)) * cos(2.0 * M_PI * v)
