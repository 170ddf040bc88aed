"""Pictures of simulations, drawn offscreen; `window.py` has MuJoCo's viewer.

csrc/draw.pyx draws, this file makes the OpenGL context that it draws in: one a process, made by
the first picture and shared by all. `env.py` observes through `Pictures`, `gym.py` and
`lerobot-puffer eval --video` through a `Camera`; neither changes anything in what it sees.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import multiprocessing
import os
import shutil
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco.rendering.classic import gl_context

from lerobot_puffer._draw import Painter
from lerobot_puffer.arguments import check_count
from lerobot_puffer.names import find
from lerobot_puffer.tables import CompiledTask

_OFF = ("disable", "disabled", "off", "false", "0")
_REPAIR = ("install Mesa (Debian: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6), or "
           "choose with the environment variable MUJOCO_GL=egl, osmesa or glfw")

NVIDIA_REPAIR = (
    "install the driver's OpenGL libraries (in a container: start it with "
    "NVIDIA_DRIVER_CAPABILITIES=all) and tell EGL of them: "
    "/usr/share/glvnd/egl_vendor.d/10_nvidia.json with the text "
    '{"file_format_version": "1.0.0", "ICD": {"library_path": "libEGL_nvidia.so.0"}}')
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")


class RenderError(RuntimeError):
    """This machine cannot draw; the message says what to install or to set."""


@dataclass(frozen=True)
class OpenGL:
    """What this process draws with.

    Attributes:
      backend: how its context was made: egl, glfw or osmesa.
      vendor, renderer, version: as OpenGL reports them.
      context: MuJoCo's GLContext.
    """

    backend: str
    vendor: str
    renderer: str
    version: str
    context: Any

    @property
    def software(self) -> bool:
        """Whether the CPU draws."""
        return any(name in self.renderer.lower() for name in _SOFTWARE)


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


class Pictures:
    """Draws states of a task with a few cameras at one size.

    The model, the OpenGL objects and, in a process that has not drawn yet, the OpenGL context are
    made by the first `draw`.

    Args:
      compiled: the task.
      cameras: names or ids, -1 for the free camera.
      width, height: size of a picture, pixels.

    Raises:
      ValueError: the size or a camera does not exist.
    """

    def __init__(
        self, compiled: CompiledTask, cameras: Sequence[str | int], width: int, height: int
    ) -> None:
        self._painter: Painter | None = None
        self.compiled = compiled
        self.width = check_count("width", width, 1)
        self.height = check_count("height", height, 1)
        self.cameras = tuple(find_camera(compiled.model, camera) for camera in cameras)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(cameras, height, width, 3): of a state's pictures."""
        return len(self.cameras), self.height, self.width, 3

    def draw(self, states: np.ndarray, pixels: np.ndarray, ids: np.ndarray | None = None,
             memory: np.ndarray | None = None) -> None:
        """Draw rows `ids` (None: all) of `states` into the same rows of `pixels`.

        Args:
          states: (n, nstate) float64, in mj_getState order.
          pixels: (n, cameras, height, width, 3) uint8, written.
          ids: (k,) int32.
          memory: (n, nmemory) float64, the core's, which holds what the episodes drew; None for
            the nominal look.

        Raises:
          RenderError: there is no OpenGL here, or it refuses a picture of this size.
        """
        with opengl() as gl:
            painter = self._open(gl)
            if not self.compiled.randomized:
                painter.draw(states, pixels, ids)
                return
            for i in range(len(states)) if ids is None else ids:
                self.compiled.apply_draws(
                    self.compiled.visual_model, None if memory is None else memory[i])
                painter.draw(states, pixels, np.array([i], np.int32))

    def open(self) -> None:
        """Make what the first `draw` would, to see whether it can; raises RenderError."""
        with opengl() as gl:
            self._open(gl)

    def _open(self, gl: OpenGL) -> Painter:
        if self._painter is None:
            model = self.compiled.visual_model
            _check_size(gl.backend, self.width, self.height, model)
            size = model.vis.global_
            own = size.offwidth, size.offheight
            # all of the buffer is cleared for every picture, so it is no larger than that
            size.offwidth, size.offheight = self.width, self.height
            try:
                self._painter = Painter(model, self.cameras, self.width, self.height)
            finally:
                size.offwidth, size.offheight = own
            _painters.add(self)
        return self._painter

    def close(self) -> None:
        """Free the OpenGL objects; the next `draw` makes new ones."""
        painter, self._painter = self._painter, None
        if painter is not None and _opengl is not None:
            with opengl():
                painter.close()

    def __del__(self) -> None:
        self.close()


class Camera:
    """Draws pictures of one state at a time with one camera, as `Pictures` does.

    Args:
      compiled: the task.
      width, height: size of the picture, pixels.
      camera: name or id, -1 for the free camera; None for the task's `render_camera`.

    Attributes:
      camera: its id. width, height: pixels.

    Raises:
      ValueError: the size or the camera does not exist.
    """

    def __init__(
        self, compiled: CompiledTask, width: int = 640, height: int = 480,
        camera: str | int | None = None,
    ) -> None:
        camera = compiled.task.render_camera if camera is None else camera
        self._pictures = Pictures(compiled, (-1 if camera is None else camera,), width, height)
        self.camera = self._pictures.cameras[0]
        self.width, self.height = self._pictures.width, self._pictures.height

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
        self._pictures.open()  # refuses a size before there is memory for it
        pixels = np.empty((1, 1, self.height, self.width, 3), np.uint8)
        self._pictures.draw(np.ascontiguousarray(state)[None], pixels, None,
                            None if memory is None else memory[None])
        return pixels[0, 0]

    def close(self) -> None:
        """Free the OpenGL objects; the next `render` makes new ones."""
        self._pictures.close()


def _check_size(backend: str, width: int, height: int, model: mujoco.MjModel) -> None:
    """Raise RenderError unless OpenGL has a buffer of this size; in C this would end the process.
    """
    probe = mujoco.MjModel.from_xml_string("<mujoco/>")
    probe.vis.global_.offwidth, probe.vis.global_.offheight = width, height
    probe.vis.quality.offsamples = model.vis.quality.offsamples
    probe.vis.quality.shadowsize = model.vis.quality.shadowsize
    try:
        mujoco.MjrContext(probe, mujoco.mjtFontScale.mjFONTSCALE_50).free()
    except mujoco.FatalError as error:
        raise RenderError(f"{backend} cannot draw {width} x {height} pixels: {error}; "
                          f"{_REPAIR}") from error


# of this process; guarded by the lock, as a context serves one thread at a time
_lock = threading.RLock()
_opengl: OpenGL | None = None
_painters: weakref.WeakSet[Pictures] = weakref.WeakSet()
# what a fork copied from its parent; never used and never freed here
_inherited: list[object] = []


@contextmanager
def opengl() -> Iterator[OpenGL]:
    """Make this process's OpenGL context current in this thread; the first call creates it.

    Raises:
      RenderError: this machine cannot draw, or this process was forked from one that had drawn.
    """
    global _opengl
    with _lock:
        if _opengl is None:
            _opengl = _start()
        with _opengl.context.as_current():
            yield _opengl


def _start() -> OpenGL:
    if _inherited:
        raise RenderError("this process was forked from one that had drawn already, and OpenGL "
                          "does not survive that; draw after forking only, or start the workers "
                          "with the start method 'spawn'")
    backend = choose_backend()
    if multiprocessing.parent_process() is not None:
        # workers that all draw with a thread of Mesa's for every CPU take them from each other
        os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        context = gl_context.GLContext(8, 8)
        with context.as_current():
            from OpenGL import GL

            said = [GL.glGetString(name) or b"" for name in (
                GL.GL_VENDOR, GL.GL_RENDERER, GL.GL_VERSION)]
    except Exception as error:  # what is raised depends on the library that is missing
        raise RenderError(f"{backend} cannot draw: {error}; {_REPAIR}") from error
    vendor, renderer, version = (text.decode(errors="replace") for text in said)
    started = OpenGL(backend, vendor, renderer, version, context)
    if backend == "egl" and started.software and has_nvidia():
        warnings.warn(f"OpenGL draws on the CPU ({renderer}) though there is an NVIDIA GPU; "
                      f"{NVIDIA_REPAIR}", stacklevel=4)
    # runs before mujoco.egl's own, which ends the display; osmesa cannot be freed later than this
    atexit.register(_stop)
    return started


def _stop() -> None:
    global _opengl
    for pictures in list(_painters):
        pictures.close()
    if _opengl is not None:
        _opengl.context.free()
        _opengl = None


def _forked() -> None:
    """Leave the parent's OpenGL alone: its driver's threads do not exist in a fork."""
    global _lock, _opengl
    _lock = threading.RLock()
    egl: Any = sys.modules.get("mujoco.egl")
    if _opengl is not None or getattr(egl, "EGL_DISPLAY", None) is not None:
        _inherited.extend([_opengl, *(pictures._painter for pictures in _painters)])
        for pictures in list(_painters):
            pictures._painter = None
        _painters.clear()
        _opengl = None
        if egl is not None:
            egl.EGL_DISPLAY = None
        atexit.unregister(_stop)


os.register_at_fork(after_in_child=_forked)


def has_nvidia() -> bool:
    """Whether there is an NVIDIA GPU with its kernel driver."""
    return any(Path(path).exists() for path in ("/proc/driver/nvidia", "/dev/nvidia0")) or bool(
        shutil.which("nvidia-smi"))


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
