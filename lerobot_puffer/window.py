"""MuJoCo's viewer in a process of its own: `Window` is the near side, `main` the far one.

MuJoCo 4.0's passive viewer runs a thread whose end takes the process down in about every second
case, and two of them in one process disturb each other; here they can do no harm, and nothing that
is done in the viewer reaches the simulation. `gym.py` opens it.

Over the pipe go the model in MuJoCo's binary format, its size before it, and then states; each
state is answered by one byte, whether the window is still open.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from typing import IO, cast

import mujoco
import numpy as np

from lerobot_puffer.rendering import RenderError

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_SIZE = struct.Struct("<q")
_OPEN, _CLOSED = b"1", b"0"


class Window:
    """A window that shows states of one model.

    Raises:
      RenderError: no window can be opened, for want of a display or of OpenGL on it.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        binary = np.empty(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, binary)
        # the viewer draws on the display whatever offscreen drawing uses; Ctrl-C is the caller's
        env = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lerobot_puffer.window"], env=env, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        answer = self._ask(_SIZE.pack(binary.size) + binary.tobytes())
        if answer != _OPEN:
            reason = (answer + self._stdout.read()).decode(errors="replace").strip()
            self.close()
            raise RenderError(
                f"the viewer found no display: {reason or 'it ended'}, with DISPLAY="
                f"{os.environ.get('DISPLAY', '')!r}; run it on a desktop or under xvfb-run, or "
                "use render_mode='rgb_array'")

    def show(self, state: np.ndarray) -> bool:
        """Show a state, (nstate,) float64 in mj_getState order; False once the window is closed."""
        return self._ask(state.tobytes()) == _OPEN

    def _ask(self, message: bytes) -> bytes:
        """Send a message and wait for the byte that answers it; empty once the process is gone."""
        try:
            self._stdin.write(message)
            self._stdin.flush()
        except OSError:
            return b""
        return self._stdout.read(1)

    def close(self) -> None:
        """Close the window."""
        with suppress(OSError):  # what was not flushed went to a process that is gone
            self._stdin.close()
        self._stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _need_display() -> None:
    """Leave with the reason on stdout where the viewer's thread would fail and never answer."""
    import glfw

    with warnings.catch_warnings(record=True) as reasons:
        warnings.simplefilter("always")
        window = glfw.init() and glfw.create_window(16, 16, "", None, None)
    if not window:
        _leave("; ".join(str(reason.message) for reason in reasons))
    glfw.terminate()


def _leave(reason: str = "") -> None:
    """End the process at once, before the threads of the viewer can."""
    os.write(1, reason.encode())
    os._exit(0)


def main() -> None:
    """Show the states that come in on stdin until it ends."""
    pipe = sys.stdin.buffer
    (size,) = _SIZE.unpack(pipe.read(_SIZE.size))
    model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": pipe.read(size)})
    data = mujoco.MjData(model)
    row = np.empty(mujoco.mj_stateSize(model, _STATE))
    _need_display()
    threading.excepthook = lambda error: _leave(str(error.exc_value))
    from mujoco import viewer

    handle = viewer.launch_passive(model, data)
    os.write(1, _OPEN)
    while len(message := pipe.read(row.nbytes)) == row.nbytes:
        row[:] = np.frombuffer(message)
        with handle.lock():
            mujoco.mj_setState(model, data, row, _STATE)
            mujoco.mj_forward(model, data)
        handle.sync()
        os.write(1, _OPEN if handle.is_running() else _CLOSED)
        if not handle.is_running():
            break
    _leave()


if __name__ == "__main__":
    main()
