"""`lerobot-puffer doctor`: versions, CPUs, OpenGL, and how to repair what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module, metadata
from platform import python_version

from lerobot_puffer.arguments import usable_cpus

# package -> what installs it; the first ones are required
_REQUIRED = {"mujoco": "mujoco==4.0.0", "numpy": "numpy", "gymnasium": "gymnasium"}
_OPTIONAL = {
    "pufferlib": ("'lerobot_puffer[puffer]'", "LeRobotPuffer"),
    "torch": ("'lerobot_puffer[train]'", "training"),
    "imageio": ("'lerobot_puffer[render]'", "videos"),
}


def doctor() -> int:
    """Print the report.

    Returns:
      0 if all that is required is there and works; what only some uses need may be missing.
    """
    print(f"{'Python':<12} {python_version()}")
    print(f"{'CPU threads':<12} {usable_cpus()} usable")
    broken = list(_required())
    missing = [*_optional(), *_opengl()]
    for line in broken:
        print(f"broken: {line}")
    for line in missing:
        print(f"missing: {line}")
    if not broken and not missing:
        print("nothing is missing")
    return 1 if broken else 0


def _required() -> Iterator[str]:
    for package, wanted in _REQUIRED.items():
        if package != "mujoco":
            print(f"{package:<12} {_version(package) or 'not installed'}")
        if not _version(package):
            yield f"{package}: pip install {wanted}"
    try:
        import_module("mujoco")
        # refuses a MuJoCo that it was not compiled for
        core = import_module("lerobot_puffer._core")
    except ImportError as error:
        print(f"{'mujoco':<12} {_version('mujoco') or 'not installed'}")
        yield str(error)
        return
    print(f"{'MuJoCo':<12} header {core.HEADER_VERSION}, library {core.LIBRARY_VERSION}, "
          f"Python package {_version('mujoco')}")


def _optional() -> Iterator[str]:
    for package, (extra, use) in _OPTIONAL.items():
        version = _version(package)
        print(f"{package:<12} {version or 'not installed'}")
        if not version:
            yield f"{package}, for {use}: pip install {extra}"


def _opengl() -> Iterator[str]:
    try:
        from lerobot_puffer.rendering import RenderError, opengl
    except ImportError as error:
        yield f"pictures: {error}"
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with opengl() as gl:
                drawn = "the CPU" if gl.software else "the GPU"
                print(f"{'OpenGL':<12} {gl.backend} on {drawn}: {gl.vendor}, {gl.renderer}, "
                      f"{gl.version}")
        except RenderError as error:
            print(f"{'OpenGL':<12} does not work")
            yield f"pictures and videos: {error}"
    for warning in said:
        if warning.category is UserWarning:
            yield str(warning.message)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
