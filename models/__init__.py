"""Files of the models, written for this project as MJCF.

``so101/`` is the robot, ``arenas/`` the rooms, ``objects/`` what lies on the table.
``lerobot_puffer.scene`` puts them together.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """Return where a model file lies.

    Args:
        name: path relative to this package with forward slashes, e.g. ``so101/so101.xml``.

    Raises:
        FileNotFoundError: the package has no such file; the message lists those of its folder.
    """
    file = ROOT / name
    if not file.is_file():
        known = ", ".join(sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.xml")))
        raise FileNotFoundError(f"model file must be one of {known}; got {name!r}")
    return file
