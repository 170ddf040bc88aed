"""What every test file gets: headless drawing where the machine can do it."""

import ctypes
import os


def _has_egl() -> bool:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


# mujoco reads it when it is imported, and asks for a display without it
if "DISPLAY" not in os.environ and _has_egl():
    os.environ.setdefault("MUJOCO_GL", "egl")
