"""Builds csrc/ into lerobot_puffer._core, ._bench and ._draw; pyproject.toml has the rest.

LEROBOT_PUFFER_DEBUG=1 builds with bounds checks and the address and undefined-behaviour
sanitizers. The compiled modules carry no path: `import mujoco` loads the library, and the loader
finds it again by the soname that is recorded here.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

DEBUG = os.environ.get("LEROBOT_PUFFER_DEBUG", "") not in ("", "0")

# no fast-math, no -march, no contraction: results equal those of the MuJoCo library bit for bit
RELEASE_FLAGS = ["-O3", "-g0", "-ffp-contract=off"]
DEBUG_FLAGS = [
    "-O1",
    "-g",
    "-ffp-contract=off",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": True,
}


def mujoco_root() -> Path:
    """Return the folder of the installed mujoco package, without importing it."""
    spec = find_spec("mujoco")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("building needs mujoco==4.0.0 installed: pip install mujoco==4.0.0")
    return Path(spec.submodule_search_locations[0])


def extensions() -> list[Extension]:
    """Return one extension a csrc/*.pyx, linked to the MuJoCo library by its soname."""
    root = mujoco_root()
    library = next(root.glob("libmujoco.so.*"), None)
    if library is None:
        raise SystemExit(f"building needs a MuJoCo library for Linux, and {root} has none")
    included = [str(path) for path in sorted(Path("csrc").glob("*.px[di]"))]
    return [
        Extension(
            f"lerobot_puffer._{source.stem}",
            [source.as_posix()],
            depends=included,
            include_dirs=[str(root / "include")],
            library_dirs=[str(root)],
            extra_compile_args=DEBUG_FLAGS if DEBUG else RELEASE_FLAGS,
            extra_link_args=[
                f"-l:{library.name}",
                *(["-fsanitize=address,undefined"] if DEBUG else []),
            ],
        )
        for source in sorted(Path("csrc").glob("*.pyx"))
    ]


setup(
    packages=[
        *find_packages(include=["lerobot_puffer", "lerobot_puffer.*"]),
        "lerobot_puffer.models",
    ],
    package_dir={"lerobot_puffer.models": "models"},
    ext_modules=cythonize(
        extensions(),
        include_path=["csrc"],
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        compiler_directives=DIRECTIVES,
    ),
)
