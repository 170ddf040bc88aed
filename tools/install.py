"""Makes the virtual environments of this checkout; the Makefile calls it, and it needs only Python.

    python tools/install.py main     .venv: every extra, this package editable
    python tools/install.py latest   .venv-latest: the newest numpy and gymnasium, no pufferlib or
                                     torch, this package from a wheel that .venv built
    python tools/install.py debug    build/debug: the package with bounds checks and sanitizers

What is already there and unchanged is left alone: hashes in `.venv*/installed.json` say so.
PYTHON=/path/to/python chooses the interpreter. pyproject.toml has the dependencies,
constraints.txt the versions that are pinned beyond it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
MAIN = ROOT / ".venv"
LATEST = ROOT / ".venv-latest"
WHEELS = ROOT / ".cache" / "wheels"
VERSIONS = ("3.11", "3.12")
# setuptools 81 drops pkg_resources, which pufferlib's dependencies import
SETUPTOOLS = "setuptools>=77,<81"
BUILD_TOOLS = (SETUPTOOLS, "wheel", "cython>=3.1", "mujoco==4.0.0")
EVERYTHING = ".[train,render,expert,tensorboard,ray,dev]"
PUFFERLIB = "pufferlib==3.0.0"
# the environments under study: the tests compare with their recorded and their own models
REFERENCES = ("lerobothackathonenv==0.2.0", "gym-aloha==0.1.5")
# what the compiled modules and a wheel of this package are made from
COMPILED = ("csrc/*", "setup.py")
PACKAGED = (
    *(f"lerobot_puffer/**/*.{suffix}" for suffix in ("py", "pyi", "ini", "pt")),
    *(f"models/**/*.{suffix}" for suffix in ("py", "xml")),
)
TEST_TOOLS = ("psutil", "pytest", "pytest-timeout", "pytest-xdist")

PROBE = """
import importlib.util, os, sys, sysconfig
print("%d.%d" % sys.version_info[:2])
print(all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")))
print(os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
"""


class InstallError(Exception):
    """Something that the reader has to repair; the message says what and how."""


def probe(python: str) -> tuple[str, str]:
    """Return the version of an interpreter and what it lacks, each empty where it does not run."""
    try:
        run = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    if run.returncode:
        return "", ""
    version, has_venv, has_headers = run.stdout.split()
    lacks = [
        name
        for name, has in (("venv and ensurepip", has_venv), ("its C headers", has_headers))
        if has != "True"
    ]
    return version, " and ".join(lacks)


def find_python(versions: tuple[str, ...] = VERSIONS) -> str:
    """Return an interpreter of one of these versions that has venv and headers.

    Raises:
        InstallError: there is none; the message lists what was tried.
    """
    wanted = " or ".join(versions)
    chosen = os.environ.get("PYTHON")
    if chosen:
        candidates = [chosen]
    else:
        names = ("python3", *(f"python{version}" for version in versions), "python")
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        # a pyenv shim is on PATH even where it does not run, so the interpreters behind come last
        candidates = [sys.executable, *(path for name in names if (path := shutil.which(name)))]
        for version in versions:
            candidates += map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))
    tried = []
    for python in dict.fromkeys(candidates):
        version, lacks = probe(python)
        if version in versions and not lacks:
            return python
        tried.append(
            f"  {python}: "
            + (f"Python {version}" if version else "does not run")
            + (f" without {lacks}" if lacks else "")
        )
    raise InstallError(
        f"needs Python {wanted} with venv and headers; tried\n"
        + "\n".join(tried)
        + "\ninstall one (Debian: apt-get install python3-dev python3-venv),"
        + f" or set PYTHON=/path/to/python{versions[0]}"
    )


def need_compilers() -> None:
    """Raise InstallError where the compilers are missing, before anything is downloaded."""
    for variable, names in (("CC", ("cc", "gcc", "clang")), ("CXX", ("c++", "g++", "clang++"))):
        if not os.environ.get(variable) and not any(map(shutil.which, names)):
            raise InstallError(
                f"needs a C and a C++ compiler, found none of {', '.join(names)}; "
                f"install them (Debian: apt-get install build-essential), or set {variable}"
            )


def missing_package(output: str) -> str:
    """Return the package that pip's output says it could not get, or an empty string."""
    for pattern in (
        r"No matching distribution found for ([^\s,;]+)",
        r"Could not find a version that satisfies the requirement ([^\s,;]+)",
        r"Could not install packages due to .*?/simple/([^/\s]+)/",
        r"with url: /(?:[^\s/]+/)*?simple/([^/\s]+)/",
        r"with url: \S*/([^/\s]+\.(?:whl|tar\.gz))",
        r"Failed to build (?:installable wheels for some pyproject.toml based projects )?"
        r"([^\s,;()]+)",
    ):
        found = re.search(pattern, output)
        if found:
            return found.group(1)
    return ""


def run(what: str, command: list[str], env: dict[str, str] | None = None) -> None:
    """Run one step and print how long it took, or everything that it said if it failed."""
    print(f"{what} ...", end="", flush=True)
    start = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    print(f" {time.monotonic() - start:.0f} s" if done.returncode == 0 else " failed", flush=True)
    if done.returncode:
        package = missing_package(done.stdout)
        raise InstallError(
            f"{done.stdout}\n{what} failed (exit status {done.returncode}): {' '.join(command)}"
            + (f"\ncould not get the package: {package}" if package else "")
        )


def pip(venv: Path, *arguments: str) -> list[str]:
    """Return a pip command of a virtual environment."""
    return [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]


def digest(*parts: object) -> str:
    """Return a hash of files (paths) and of everything else by its text."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
        total.update(b"\0")
    return total.hexdigest()


def files(*patterns: str) -> list[object]:
    """Return names and paths of the checkout's files that match, in order."""
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file())
    return [part for path in found for part in (path.relative_to(ROOT).as_posix(), path)]


def metadata() -> str:
    """Return pyproject.toml without the settings of tools that nothing installed depends on."""
    return re.split(r"(?m)^\[tool\.(?!setuptools)", (ROOT / "pyproject.toml").read_text())[0]


class Stamps:
    """Hashes of what an environment was made from, kept inside it."""

    def __init__(self, venv: Path) -> None:
        self.path = venv / "installed.json"
        self.values = json.loads(self.path.read_text()) if self.path.exists() else {}

    def fresh(self, key: str, value: str) -> bool:
        """Return whether a step was done with just this input."""
        return self.values.get(key) == value

    def set(self, key: str, value: str) -> None:
        """Record a step that is done."""
        self.values[key] = value
        self.path.write_text(json.dumps(self.values, indent=1) + "\n")


def make_venv(venv: Path) -> str:
    """Make a virtual environment unless a usable one is there; return its Python's version."""
    python = str(venv / "bin" / "python")
    version, lacks = probe(python)
    chosen = os.environ.get("PYTHON")
    if version in VERSIONS and not lacks and (not chosen or probe(chosen)[0] == version):
        return version
    base = find_python()
    run(f"{venv.name} from {base}", [base, "-m", "venv", "--clear", str(venv)])
    return probe(python)[0]


def without_nvcc(path: str, scratch: Path) -> str:
    """Return PATH with every folder that holds nvcc replaced by links to its other programs."""
    folders = []
    for number, folder in enumerate(path.split(os.pathsep)):
        if (Path(folder) / "nvcc").exists():
            links = scratch / f"path{number}"
            links.mkdir()
            for program in Path(folder).iterdir():
                if program.name != "nvcc":
                    (links / program.name).symlink_to(program.resolve())
            folder = str(links)
        folders.append(folder)
    return os.pathsep.join(folders)


def pufferlib_wheel(version: str) -> Path:
    """Return a wheel of pufferlib with its training kernel and without its games.

    Its sdist downloads two game libraries unless NO_OCEAN is set, and its setup.py then stops
    at a name it never assigned. With nvcc on PATH it would ask for a CUDA build of torch.
    """
    folder = WHEELS / digest(version, CONSTRAINTS)[:12]
    tag = "cp" + version.replace(".", "")
    if not list(folder.glob(f"pufferlib-*-{tag}-*.whl")):
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            (scratch / "sitecustomize.py").write_text(
                "import builtins\nbuiltins.c_extension_paths = []\n"
            )
            path = without_nvcc(f"{MAIN / 'bin'}{os.pathsep}{os.environ['PATH']}", scratch)
            env = os.environ | {"NO_OCEAN": "1", "PYTHONPATH": name, "PATH": path}
            for variable in ("DEBUG", "NO_TRAIN"):
                env.pop(variable, None)
            built = scratch / "wheel"
            run(
                f"{PUFFERLIB}: building its wheel",
                pip(
                    MAIN,
                    "wheel",
                    "--no-cache-dir",
                    "--no-build-isolation",
                    "--no-deps",
                    "-w",
                    str(built),
                    PUFFERLIB,
                ),
                env,
            )
            folder.mkdir(parents=True, exist_ok=True)
            for wheel in built.glob("*.whl"):
                shutil.move(wheel, folder / wheel.name)
    return next(folder.glob(f"pufferlib-*-{tag}-*.whl"))


def clear_copies(folder: Path, compiled: bool) -> None:
    """Remove what an earlier build copied into a build folder, with the compiled modules or not.

    setuptools packs whatever lies there, also a module that the checkout has no more.
    """
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif compiled or path.suffix != ".so":
            path.unlink()


def fresh_build(stale: bool, **extra: str) -> dict[str, str]:
    """Return the environment of a build; Cython by itself trusts times, which a copy may keep."""
    return os.environ | ({"CYTHON_FORCE_REGEN": "1"} if stale else {}) | extra


def install_main() -> None:
    """Make .venv: the build tools and torch, pufferlib, then every extra and this package."""
    need_compilers()
    version = make_venv(MAIN)
    stamps = Stamps(MAIN)
    packages = digest(version, metadata(), CONSTRAINTS, Path(__file__))
    compiled = digest(version, *files(*COMPILED))
    tag = f"cpython-{version.replace('.', '')}"
    modules = [ROOT / "lerobot_puffer" / f"_{path.stem}" for path in ROOT.glob("csrc/*.pyx")]
    built = [list(path.parent.glob(f"{path.name}.{tag}-*.so")) for path in modules]
    stale = not stamps.fresh("compiled", compiled) or not all(built)
    if stale:
        for module in (path for paths in built for path in paths):
            module.unlink()
    if not stamps.fresh("packages", packages):
        constrained = ("install", "-c", str(CONSTRAINTS))
        run(
            "torch and the build tools (minutes the first time)",
            pip(MAIN, *constrained, *BUILD_TOOLS, "numpy<2", "torch"),
        )
        wheel = str(pufferlib_wheel(version))
        run(
            "lerobot_puffer with every extra, and what it needs (minutes the first time)",
            pip(MAIN, *constrained, "--no-build-isolation", SETUPTOOLS, wheel, "-e", EVERYTHING),
            fresh_build(stale),
        )
        run(" ".join(REFERENCES), pip(MAIN, "install", "--no-deps", *REFERENCES))
        stamps.set("packages", packages)
    elif stale:
        command = [str(MAIN / "bin" / "python"), "setup.py", "build_ext", "--inplace"]
        run("compiled modules", command, fresh_build(stale))
    stamps.set("compiled", compiled)


def install_latest() -> None:
    """Make .venv-latest with the newest numpy and gymnasium, and this package as users get it."""
    install_main()
    base = str(MAIN / "bin" / "python")
    version, _ = probe(base)
    if probe(str(LATEST / "bin" / "python"))[0] != version:
        run(LATEST.name, [base, "-m", "venv", "--clear", str(LATEST)])
    stamps = Stamps(LATEST)
    packages = digest(version, metadata(), Path(__file__))
    compiled = digest(version, *files(*COMPILED))
    package = digest(compiled, metadata(), *files(*PACKAGED))
    if stamps.fresh("packages", packages) and stamps.fresh("package", package):
        return
    stale = not stamps.fresh("compiled", compiled)
    with tempfile.TemporaryDirectory() as folder:
        for copies in (ROOT / "build").glob("lib.*"):
            clear_copies(copies, compiled=stale)
        run(
            "wheel of this package",
            pip(MAIN, "wheel", "--no-build-isolation", "--no-deps", "-w", folder, "."),
            fresh_build(stale),
        )
        wheel = next(Path(folder).glob("lerobot_puffer-*.whl"))
        if not stamps.fresh("packages", packages):
            run(
                "the newest numpy and gymnasium",
                pip(LATEST, "install", "--upgrade", f"{wheel}[render]", *TEST_TOOLS),
            )
            run(" ".join(REFERENCES), pip(LATEST, "install", "--no-deps", *REFERENCES))
        run(
            "this package from its wheel",
            pip(LATEST, "install", "--force-reinstall", "--no-deps", str(wheel)),
        )
    stamps.set("compiled", compiled)
    stamps.set("packages", packages)
    stamps.set("package", package)


def build_debug() -> None:
    """Build the package with bounds checks and sanitizers into build/debug/lib."""
    install_latest()
    base = ROOT / "build" / "debug"
    base.mkdir(parents=True, exist_ok=True)
    stamps = Stamps(base)
    compiled = digest(probe(str(MAIN / "bin" / "python"))[0], *files(*COMPILED))
    stale = not stamps.fresh("compiled", compiled)
    clear_copies(base / "lib", compiled=stale)
    command = [str(MAIN / "bin" / "python"), "setup.py", "build"]
    command += ["--build-base", str(base), "--build-lib", str(base / "lib")]
    run("this package with sanitizers", command, fresh_build(stale, LEROBOT_PUFFER_DEBUG="1"))
    stamps.set("compiled", compiled)


def main() -> int:
    """Do what the command line asks; return the exit status."""
    jobs = {"main": install_main, "latest": install_latest, "debug": build_debug}
    if len(sys.argv) != 2 or sys.argv[1] not in jobs:
        print(f"usage: python tools/install.py {'|'.join(jobs)}", file=sys.stderr)
        return 2
    try:
        jobs[sys.argv[1]]()
    except InstallError as error:
        print(f"{error}\ninstall stopped", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
