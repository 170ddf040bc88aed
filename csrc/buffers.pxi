# included by core.pyx: numpy arrays as memory of the core

cdef void* address(name, array, dtype, shape) except? NULL:
    """The memory of a buffer, after checking that the core may write rows into it."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype).name} {shape}, got {array.dtype.name} {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; pass np.ascontiguousarray({name})")
    if not array.flags.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array; pass a copy")
    return <void*><uintptr_t>array.ctypes.data
