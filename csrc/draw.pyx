"""Pictures of states, drawn with MuJoCo's renderer straight into the caller's pixels.

`rendering.py` makes the OpenGL context that has to be current in every call here.
"""
from libc.stdint cimport uint8_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from mujoco cimport *

cdef enum:
    MAXGEOM = 10000                # geoms of a scene, as many as mujoco.Renderer takes


cdef class Painter:
    """One model, drawn by a few cameras at one size.

    Args:
      model: the mujoco.MjModel; its offscreen buffer must be of `width` x `height` pixels.
      cameras: ids, -1 for the free camera.
      width, height: pixels of a picture.
    """
    cdef object model
    cdef const mjModel* m
    cdef mjData* d
    cdef mjvOption option
    cdef mjvScene scene
    cdef mjvCamera* cameras
    cdef int ncamera
    cdef mjrContext context
    cdef mjrRect view
    cdef uint8_t* upside_down      # (height, width, 3) OpenGL's picture, its lowest row first
    cdef int nstate
    cdef bint whole                # pictures need more of mj_forward than the poses
    cdef bint following            # the scene's geoms depend on the camera
    cdef bint opened

    def __cinit__(self):
        mjv_defaultScene(&self.scene)
        mjr_defaultContext(&self.context)

    def __init__(self, model, cameras, int width, int height):
        cdef int i
        if self.model is not None:
            raise RuntimeError("a Painter is initialised once; make a new one")
        self.model = model
        self.m = <const mjModel*><uintptr_t>model._address
        self.view.width, self.view.height = width, height
        self.ncamera = len(cameras)
        self.nstate = mj_stateSize(self.m, mjSTATE_INTEGRATION)
        self.cameras = <mjvCamera*>calloc(max(self.ncamera, 1), sizeof(mjvCamera))
        self.upside_down = <uint8_t*>malloc(<size_t>width * height * 3)
        self.d = mj_makeData(self.m)
        if self.cameras == NULL or self.upside_down == NULL or self.d == NULL:
            raise MemoryError(f"no memory for pictures of {width} x {height} pixels")
        for i in range(self.ncamera):
            if cameras[i] < 0:
                mjv_defaultFreeCamera(self.m, &self.cameras[i])
            else:
                mjv_defaultCamera(&self.cameras[i])
                self.cameras[i].type = mjCAMERA_FIXED
                self.cameras[i].fixedcamid = cameras[i]
        self.whole = self.m.ntendon > 0 or self.m.nflex > 0
        for i in range(self.m.nsensor):
            # drawn as a ray of the length that it measures
            self.whole |= self.m.sensor_type[i] == mjSENS_RANGEFINDER
        for i in range(self.m.ngeom):
            # an infinite plane is centred under the camera
            self.following |= self.m.geom_type[i] == mjGEOM_PLANE and (
                self.m.geom_size[3 * i] <= 0 or self.m.geom_size[3 * i + 1] <= 0)
        mjv_defaultOption(&self.option)
        mjv_makeScene(self.m, &self.scene, MAXGEOM)
        mjr_makeContext(self.m, &self.context, mjFONTSCALE_50)
        self.opened = True
        if self.context.offWidth < width or self.context.offHeight < height:
            raise ValueError(f"the offscreen buffer must be at least {width} x {height}, got "
                             f"{self.context.offWidth} x {self.context.offHeight}")

    cdef void _pose(self, const double* state) noexcept nogil:
        mj_setState(self.m, self.d, state, mjSTATE_INTEGRATION)
        if self.whole:
            mj_forward(self.m, self.d)
        else:
            mj_kinematics(self.m, self.d)
            mj_comPos(self.m, self.d)
            mj_camlight(self.m, self.d)
        self._scene(&self.cameras[0])

    cdef void _scene(self, mjvCamera* camera) noexcept nogil:
        mjv_updateScene(self.m, self.d, &self.option, NULL, camera, mjCAT_ALL, &self.scene)

    cdef void _shoot(self, uint8_t* picture) noexcept nogil:
        cdef size_t row = <size_t>self.view.width * 3
        cdef int y, height = self.view.height
        mjr_render(self.view, &self.scene, &self.context)
        mjr_readPixels(self.upside_down, NULL, self.view, &self.context)
        for y in range(height):
            memcpy(picture + y * row, self.upside_down + (height - 1 - y) * row, row)

    def draw(self, const double[:, ::1] states, uint8_t[:, :, :, :, ::1] pixels,
             const int[::1] ids=None):
        """Draw rows `ids` (None: all) of `states` into the same rows of `pixels`.

        Args:
          states: (n, nstate) float64, in mj_getState order.
          pixels: (n, cameras, height, width, 3) uint8, written.
          ids: (k,) int32.
        """
        cdef Py_ssize_t n = states.shape[0], k, i, count
        cdef int c
        if not self.opened:
            raise ValueError("the painter is closed; make a new one")
        wanted = (n, self.ncamera, self.view.height, self.view.width, 3)
        shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2], pixels.shape[3],
                 pixels.shape[4])
        if shape != wanted:
            raise ValueError(f"pixels must be uint8 {wanted}, got {shape}")
        if states.shape[1] != self.nstate:
            raise ValueError(f"states must be float64 {(n, self.nstate)}, got "
                             f"{(n, states.shape[1])}")
        count = n if ids is None else ids.shape[0]
        for k in range(0 if ids is None else count):
            if not 0 <= ids[k] < n:
                raise ValueError(f"ids must lie in 0 .. {n - 1}, got {ids[k]}")
        with nogil:
            mjr_setBuffer(mjFB_OFFSCREEN, &self.context)
            for k in range(count):
                i = k if ids is None else ids[k]
                self._pose(&states[i, 0])
                for c in range(self.ncamera):
                    if c > 0 and self.following:
                        self._scene(&self.cameras[c])
                    elif c > 0:
                        mjv_updateCamera(self.m, self.d, &self.cameras[c], &self.scene)
                        mjv_makeLights(self.m, self.d, &self.scene)  # one is the camera's
                    self._shoot(&pixels[i, c, 0, 0, 0])

    def close(self):
        """Free what lies in the OpenGL context; `draw` raises ValueError after this."""
        if self.opened:
            mjr_freeContext(&self.context)
        self.opened = False

    def __dealloc__(self):
        # the OpenGL context may be gone or another process's: close() frees what lies in it
        mjv_freeScene(&self.scene)
        if self.d != NULL:
            mj_deleteData(self.d)
        free(self.cameras)
        free(self.upside_down)
