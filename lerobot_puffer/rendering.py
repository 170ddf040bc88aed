"""Pictures of a simulation, drawn offscreen; `window.py` has MuJoCo's viewer.

`gym.py` and `lerobot-puffer eval --video` draw with a `Camera`, which changes nothing in what it
sees.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import weakref
from ctypes.util import find_library
from functools import cache, partial

import mujoco
import numpy as np
from mujoco.rendering.classic import gl_context

from lerobot_puffer.arguments import check_count
from lerobot_puffer.names import find
from lerobot_puffer.tables import CompiledTask

_OFF = ("disable", "disabled", "off", "false", "0")
_REPAIR = ("install Mesa (Debian: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6), or "
           "choose with the environment variable MUJOCO_GL=egl, osmesa or glfw")


class RenderError(RuntimeError):
    """This machine cannot draw; the message says what to install or to set."""


def find_camera(model: mujoco.MjModel, camera: str | int) -> int:
    """Id of a camera, -1 for the free one.

    Raises:
      ValueError: the model has no such camera; the message lists the close names.
    """
    if isinstance(camera, str):
        return find(model, "camera", camera)
    if isinstance(camera, bool) or not isinstance(camera, (int, np.integer)):
        raise ValueError(f"camera must be a name, a number or None, got {camera!r}")
    if not -1 <= camera < model.ncam:
        raise ValueError(f"camera must be -1 (free) .. {model.ncam - 1}, got {camera}")
    return int(camera)


class Camera:
    """Draws pictures of a task's scene; the model and the OpenGL context come with the first one.

    Args:
      compiled: the task.
      width, height: size of the picture, pixels; the model's offscreen buffer grows to it.
      camera: name or id, -1 for the free camera; None for the task's `render_camera`.

    Raises:
      ValueError: the size or the camera does not exist.
    """

    def __init__(
        self, compiled: CompiledTask, width: int = 640, height: int = 480,
        camera: str | int | None = None,
    ) -> None:
        self.compiled = compiled
        self.width = check_count("width", width, 1)
        self.height = check_count("height", height, 1)
        camera = compiled.task.render_camera if camera is None else camera
        self.camera = -1 if camera is None else find_camera(compiled.model, camera)
        self._drawing: tuple[mujoco.Renderer, mujoco.MjData] | None = None
        self._at_exit = partial(_close, weakref.ref(self))

    def render(self, state: np.ndarray, memory: np.ndarray | None = None) -> np.ndarray:
        """A picture of a simulation.

        Args:
          state: (nstate,) float64 in mj_getState order.
          memory: (nmemory,) float64, the core's, which holds what the episode drew; None for the
            nominal look.

        Returns:
          (height, width, 3) uint8, a new array.

        Raises:
          RenderError: there is no OpenGL here, or it refuses a picture of this size.
        """
        if self._drawing is None:
            self._drawing = self._open(), mujoco.MjData(self.compiled.visual_model)
            # osmesa cannot be freed while the interpreter goes down
            atexit.register(self._at_exit)
        renderer, data = self._drawing
        self.compiled.apply_draws(renderer.model, memory)
        mujoco.mj_setState(renderer.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(renderer.model, data)
        renderer.update_scene(data, self.camera)
        return renderer.render()

    def _open(self) -> mujoco.Renderer:
        backend = choose_backend()
        model = self.compiled.visual_model
        size = model.vis.global_
        size.offwidth = max(size.offwidth, self.width)
        size.offheight = max(size.offheight, self.height)
        try:
            return mujoco.Renderer(model, self.height, self.width)
        except Exception as error:  # what is raised depends on the library that is missing
            raise RenderError(f"{backend} cannot draw {self.width} x {self.height} pixels: "
                              f"{error}; {_REPAIR}") from error

    def close(self) -> None:
        """Free the OpenGL context; the next `render` makes a new one."""
        if self._drawing is not None:
            atexit.unregister(self._at_exit)
            self._drawing[0].close()
            self._drawing = None


def _close(camera: weakref.ref[Camera]) -> None:
    alive = camera()
    if alive is not None:
        alive.close()


@cache
def choose_backend() -> str:
    """Choose how MuJoCo draws offscreen: as MUJOCO_GL says, else egl, glfw or osmesa.

    MuJoCo's Python package reads MUJOCO_GL when it is imported and its C library at the first
    drawing, so the variable is set here for the second and the first one reads it again.

    Raises:
      RenderError: MUJOCO_GL switches drawing off, or there is no library to draw with.
    """
    backend = os.environ.get("MUJOCO_GL", "").lower().strip()
    if backend in _OFF:
        raise RenderError(f"drawing is switched off by MUJOCO_GL={backend}; unset it")
    if not backend:
        if _egl_devices():
            backend = "egl"
        elif os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            backend = "glfw"
        elif find_library("OSMesa"):
            backend = "osmesa"
        else:
            raise RenderError(f"found neither EGL, a display nor OSMesa to draw with; {_REPAIR}")
        os.environ["MUJOCO_GL"] = backend
    importlib.reload(gl_context)
    return backend


def _egl_devices() -> int:
    """Devices that EGL can draw on without a display, Mesa's software included."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return 0
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    count = ctypes.c_int(0)
    return count.value if query(0, None, ctypes.byref(count)) else 0
