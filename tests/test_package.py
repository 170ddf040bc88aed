"""The package as others get it: sdist, wheel, a clean environment, an import that is light."""

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md",
           "CONTRIBUTING.md", "Makefile", "csrc", "lerobot_puffer", "models", "tests", "tools")
# what an import of the package must not bring along
HEAVY = ("torch", "pufferlib", "stable_baselines3", "matplotlib", "imageio", "pandas")


def python(executable, code, folder):
    """Run code in a process of its own, outside the checkout; return what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(executable), "-c", code], cwd=folder, env=env, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def once(tmp_path_factory, name, make):
    """Return the only file of a folder that the first of several test workers makes."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / name).exists():
            (root / f"{name}.part").mkdir(exist_ok=True)
            make(root / f"{name}.part")
            (root / f"{name}.part").rename(root / name)
    (file,) = (root / name).iterdir()
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source archive, made from a copy so that nothing is left in the checkout."""
    pytest.importorskip("build", reason="building needs the extra dev")
    pytest.importorskip("Cython", reason="building needs the extra dev")
    unwanted = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")

    def make(folder):
        tree = tmp_path_factory.mktemp("tree")
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
            else:
                shutil.copy(ROOT / name, tree / name)
        subprocess.run([sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", folder,
                        tree], check=True, capture_output=True)

    return once(tmp_path_factory, "sdist", make)


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel that the source archive builds."""
    return once(tmp_path_factory, "wheel", lambda folder: subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps",
         "--no-index", "-w", folder, sdist], check=True))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a clean environment that has the wheel, and sees this one's packages."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    executable = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", executable, "install", "-q",
                    "--no-deps", "--no-index", wheel], check=True)
    # a path from a .pth is searched last, and the .pth of an editable install in it is not read
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return executable


def packaged(folder, *patterns):
    """Return names of the checkout's files that a package must carry."""
    return {path.relative_to(ROOT / folder).as_posix()
            for pattern in patterns for path in (ROOT / folder).rglob(pattern)}


def test_the_sdist_holds_every_source(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder, patterns in (("csrc", ["*.px[di]", "*.pyx"]), ("models", ["*.xml", "*.py"]),
                             ("lerobot_puffer", ["*.py", "*.pyi", "*.ini", "*.pt", "py.typed"]),
                             ("tests", ["*.py", "*.npz", "*.npy"])):
        assert {f"{folder}/{name}" for name in packaged(folder, *patterns)} <= names
    assert not [name for name in names if name.endswith((".so", ".c", ".pyc"))]


def test_the_wheel_holds_the_package_and_the_models(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"lerobot_puffer/{name}" for name in
                packaged("lerobot_puffer", "*.py", "*.pyi", "*.ini", "*.pt", "py.typed")}
    expected |= {f"lerobot_puffer/models/{name}" for name in packaged("models", "*.py", "*.xml")}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    expected |= {f"lerobot_puffer/_{path.stem}{suffix}" for path in ROOT.glob("csrc/*.pyx")}
    assert {name for name in names if name.startswith("lerobot_puffer/")} == expected


@pytest.mark.no_sanitizer
def test_the_wheel_works_outside_the_checkout(installed, tmp_path):
    module, model, compiled = python(installed, """
import mujoco, lerobot_puffer, lerobot_puffer._core
from lerobot_puffer import models
mujoco.MjSpec.from_file(str(models.path("so101/so101.xml")))
print(lerobot_puffer.__file__, models.path("so101/so101.xml"), lerobot_puffer._core.__file__)
""", tmp_path).split()
    for path in (module, model, compiled):
        assert Path(path).is_relative_to(installed.parent.parent)


@pytest.mark.no_sanitizer
def test_the_compiled_modules_record_no_path_to_mujoco(installed):
    # a path to one machine's library would win over the one that `import mujoco` loaded
    for module in next(installed.parent.parent.glob("lib/python*/site-packages")).glob(
            "lerobot_puffer/*.so"):
        content = module.read_bytes()
        assert b"libmujoco.so.4.0.0\0" in content
        assert b"site-packages" not in content


@pytest.mark.no_sanitizer
def test_import_brings_nothing_heavy_along(tmp_path):
    code = f"import sys, lerobot_puffer; print(*(set({HEAVY!r}) & set(sys.modules)))"
    assert python(sys.executable, code, tmp_path) == ""


@pytest.mark.no_sanitizer
def test_import_leaves_no_files_behind(tmp_path):
    python(sys.executable, "import lerobot_puffer, lerobot_puffer.scene, lerobot_puffer.tasks",
           tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.no_sanitizer
def test_gymnasium_knows_the_environments_after_an_import(tmp_path):
    known = python(sys.executable, """
import gymnasium, lerobot_puffer
print(*(name for name in gymnasium.registry if name.startswith("lerobot_puffer/")))
""", tmp_path).split()
    assert "lerobot_puffer/Reach-v0" in known


@pytest.mark.no_sanitizer
def test_gymnasium_imports_the_package_that_an_id_names(tmp_path):
    name = python(sys.executable, """
import gymnasium
print(gymnasium.make("lerobot_puffer:lerobot_puffer/Reach-v0").spec.id)
""", tmp_path)
    assert name == "lerobot_puffer/Reach-v0"
