"""How do tools become images, and are the images those that were built?

Law: an image is built from inputs that its lock names by digest, without a network, on a
base named by id. Serving builds nothing: it takes what the lock names, or refuses.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import docker
import orjson
from docker.errors import DockerException, ImageNotFound

from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox import context, distribution, lock
from sandbox_runtime.sandbox.context import ToolNotBuildable
from sandbox_runtime.sandbox.lock import ImagesLock, LockBroken, LockedImage
from sandbox_runtime.sandbox.packages import PRESENT, PROBE, Interpreter, fetch
from sandbox_runtime.sandbox.plan import GID, LABEL, UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from docker.models.images import Image

    from sandbox_runtime.sandbox.distribution import Programs

TOOL = f"{LABEL}.tool"
INPUTS = f"{LABEL}.inputs"
RUNNABLE = "import os, sys; print(str(os.access(sys.argv[1], os.X_OK)).lower())"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSource:
    """A tool as it stands in its folder."""

    name: str
    folder: Path
    argv: tuple[str, ...]
    """The program and its words, as far as the manifest knows them."""
    packages: tuple[str, ...] = ()
    """Of the base's distribution."""


def build(
    tools: Sequence[ToolSource], base: str, lock_path: Path, progress: Callable[[str], None]
) -> ImagesLock:
    """Build the images that are missing or out of date; write and return the lock.

    `base` is the id or name of an image that the engine has. `progress` gets sentences.
    """
    before = _before(lock_path)
    with closing(connect()) as client:
        base_id = _image(client, base).id or ""
        python = _interpreter(client, base_id)
        builder = Builder(client=client, base=base_id, python=python, progress=progress)
        locked = {tool.name: builder.image(tool, before.get(tool.name)) for tool in tools}
    made = ImagesLock(base=base_id, tools=locked)
    lock.write(lock_path, made)
    return made


def locked(lock_path: Path) -> Mapping[str, str]:
    """Return each tool's image id; raise `LockBroken` unless the engine has all of them."""
    return verify(lock.read(lock_path))


def verify(made: ImagesLock) -> Mapping[str, str]:
    """Return each tool's image id; raise `LockBroken` where engine and lock disagree."""
    with closing(connect()) as client:
        for name, entry in made.tools.items():
            if not _is(client, name, entry):
                raise LockBroken(
                    f"the engine has not the image that the lock names for `{name}`:"
                    " run `sandbox-broker tool build`"
                )
    return MappingProxyType({name: entry.image for name, entry in made.tools.items()})


def _before(path: Path) -> Mapping[str, LockedImage]:
    """Return what was locked; nothing where there is no lock, or a broken one."""
    try:
        return lock.read(path).tools
    except LockBroken:
        return {}


def connect() -> docker.DockerClient:
    """Return the engine, to be closed; raise `SandboxUnavailable` where there is none."""
    try:
        return docker.DockerClient.from_env(timeout=600)
    except (DockerException, OSError) as error:
        raise SandboxUnavailable("the engine does not answer") from error


def _image(client: docker.DockerClient, reference: str) -> Image:
    try:
        return client.images.get(reference)
    except ImageNotFound as error:
        raise ToolNotBuildable(f"the engine has no image `{reference}`") from error


def _asked(client: docker.DockerClient, image: str, code: str, *words: str) -> Any:  # noqa: ANN401 - JSON
    """Ask an image's own Python something."""
    try:
        said = client.containers.run(
            image,
            entrypoint=["python3", "-I", "-c", code, *words],
            network_mode="none",
            remove=True,
        )
        return orjson.loads(said)
    except (DockerException, OSError, ValueError) as error:
        raise ToolNotBuildable("the base image has no Python 3 on Linux with glibc") from error


def _interpreter(client: docker.DockerClient, base: str) -> Interpreter:
    """Ask the base's own Python what it is."""
    found = _asked(client, base, PROBE)
    return Interpreter(**{**found, "glibc": tuple(found["glibc"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds on one base."""

    client: docker.DockerClient
    base: str
    python: Interpreter
    progress: Callable[[str], None]

    def image(self, tool: ToolSource, before: LockedImage | None) -> LockedImage:
        """Return the tool's image: the one there was, or one built now."""
        files = context.collect(tool.folder)
        pinned = files.get(context.REQUIREMENTS, context.Item(content=b"")).content.decode()
        files = context.arranged(
            files,
            tool.argv,
            target=self.python.site,
            uid=UID,
            gid=GID,
            programs=bool(tool.packages),
        )
        inputs = context.digest(files, self.base, pinned, *tool.packages)
        if before and before.inputs == inputs and _is(self.client, tool.name, before):
            self.progress(f"{tool.name}: up to date")
            return before
        with tempfile.TemporaryDirectory(prefix="sandbox-broker-") as folder:
            self._fetch(tool, Path(folder))
            programs = self._programs(tool)
            packed = context.pack(files, Path(folder), programs.files)
            image = self._build(tool, packed, inputs)
        self._see_program(tool, image)
        versions = dict(programs.versions)
        return LockedImage(image=image, inputs=inputs, built_at=_now(), packages=versions)

    def _programs(self, tool: ToolSource) -> Programs:
        """Return what packages of the distribution bring to the base."""
        if not tool.packages:
            return distribution.NONE
        self.progress(f"{tool.name}: fetching {', '.join(tool.packages)}")
        present = frozenset(_asked(self.client, self.base, PRESENT))
        return distribution.fetch(tool.packages, self.python.release, present)

    def _see_program(self, tool: ToolSource, image: str) -> None:
        """Refuse an image without the program that the manifest names by its path."""
        path = tool.argv[0]
        if path.startswith("/") and not _asked(self.client, image, RUNNABLE, path):
            raise ToolNotBuildable(
                f"{tool.name}: there is no program {path} in its image; name its package at"
                " `spec.program.image.packages`, or bring it with a Dockerfile"
            )

    def _fetch(self, tool: ToolSource, into: Path) -> None:
        if (requirements := tool.folder / context.REQUIREMENTS).exists():
            self.progress(f"{tool.name}: fetching packages")
            fetch(requirements, self.python, into)

    def _build(self, tool: ToolSource, packed: BinaryIO, inputs: str) -> str:
        """Have the engine build; return the image's id."""
        self.progress(f"{tool.name}: building the image")
        try:
            said = self.client.api.build(
                fileobj=packed,
                custom_context=True,
                tag=f"{LABEL}/{tool.name}:local",
                buildargs={"BASE": self.base},
                labels={TOOL: tool.name, INPUTS: inputs},
                network_mode="none",
                rm=True,
                forcerm=True,
                decode=True,
            )
            image = _followed(tool.name, said)
        except (DockerException, OSError) as error:
            raise ToolNotBuildable(f"{tool.name}: the engine failed while building") from error
        return _checked(self.client, tool.name, image)


def _followed(name: str, said: Iterable[Any]) -> str:
    """Read the engine's log to its end; return the id of the image it made."""
    image = ""
    for line in said:
        if "error" in line:
            raise ToolNotBuildable(f"{name}: {line['error']}")
        image = line.get("aux", {}).get("ID", image)
    return image


def _checked(client: docker.DockerClient, name: str, image: str) -> str:
    """Return `image`; refuse one that would mount something that no plan has."""
    if (_image(client, image).attrs["Config"] or {}).get("Volumes"):
        raise ToolNotBuildable(f"{name}: its Dockerfile declares a VOLUME, and nothing is shared")
    return image


def _is(client: docker.DockerClient, name: str, entry: LockedImage) -> bool:
    """Say whether the engine has the image, built for this tool from these inputs."""
    try:
        labels = client.images.get(entry.image).labels
    except ImageNotFound:
        return False
    return labels.get(TOOL) == name and labels.get(INPUTS) == entry.inputs


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()
