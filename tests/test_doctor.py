"""`lerobot-puffer doctor`."""

import mujoco
import pytest

from lerobot_puffer import doctor
from lerobot_puffer.cli import main
from lerobot_puffer.rendering import RenderError, opengl

pytestmark = pytest.mark.no_sanitizer


def drawing():
    """What the report says of OpenGL."""
    try:
        with opengl() as gl:
            return (f"{gl.backend} on the {'CPU' if gl.software else 'GPU'}: {gl.vendor}, "
                    f"{gl.renderer}, {gl.version}")
    except RenderError as error:
        return f"missing: pictures and videos: {error}"


def test_doctor_reports_what_is_there(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert drawing() in said
    assert f"header {mujoco.mj_version()}, library {mujoco.mj_version()}" in said
    for package in ("pufferlib", "numpy", "gymnasium", "torch"):
        assert f"\n{package} " in said
    assert "CPU threads" in said


def test_doctor_names_what_is_missing_with_its_repair(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda package: "" if package in (
        "pufferlib", "gymnasium") else "1.0")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "broken: gymnasium: pip install gymnasium" in said
    assert "missing: pufferlib, for LeRobotPuffer: pip install 'lerobot_puffer[puffer]'" in said
