"""Is this archive of tools whole, and nothing else?

Law: an archive is a stranger's until every byte of it is accounted for: its parts by their
digests, each image by its id, which is the digest of its configuration and names those of
its layers. Nothing of it reaches the engine before, and it can name no tag.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from contextlib import closing
from typing import IO, TYPE_CHECKING, Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from sandbox_runtime.errors import Fault
from sandbox_runtime.sandbox.lock import Digest, ImagesLock
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CONTENTS, LOCK, IMAGES = "contents.json", "images.lock.json", "images.tar"
TEXT_MAX = 16 << 20
CHUNK = 1 << 20


class CargoRefused(Fault):
    """The archive is not what `tool save` writes, or not as it was written."""


class Part(Strict):
    """One file of the archive."""

    sha256: Digest
    size: Annotated[int, Field(ge=0)]


class Contents(Strict):
    """What an archive holds, and how that is known to be whole."""

    format: Literal["sandbox-broker/tools/1"] = "sandbox-broker/tools/1"
    lock: Part
    images: Part


def part(content: IO[bytes]) -> Part:
    """Return size and digest of a file, read to its end."""
    state, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK):
        state.update(chunk)
        size += len(chunk)
    return Part(sha256=state.hexdigest(), size=size)


def write(file: Path, lock: bytes, images: Path) -> None:
    """Write an archive to `file`. Equal contents are equal bytes."""
    with images.open("rb") as held:
        contents = Contents(lock=_part_of(lock), images=part(held))
        held.seek(0)
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, CONTENTS, orjson.dumps(contents.model_dump(mode="json")))
            _add(tar, LOCK, lock)
            tar.addfile(_head(IMAGES, contents.images.size), held)


def _part_of(content: bytes) -> Part:
    return Part(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_head(name, len(content)), io.BytesIO(content))


def _head(name: str, size: int) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.size = size
    return head


def opened(file: Path) -> tuple[ImagesLock, IO[bytes], tarfile.TarFile]:
    """Return an archive's lock and its images as the engine loads them, all of it checked.

    Whoever calls closes the archive, the third. Raises `CargoRefused`.
    """
    try:
        tar = tarfile.open(file, "r:")  # noqa: SIM115 - handed on
    except (OSError, tarfile.TarError) as error:
        raise CargoRefused(f"{file} is no archive of tools") from error
    try:
        lock, images = _checked(tar)
    except (tarfile.TarError, OSError, ValidationError, ValueError, KeyError) as error:
        tar.close()
        raise CargoRefused(f"{file} is no archive of tools, or is damaged") from error
    except CargoRefused:
        tar.close()
        raise
    return lock, images, tar


def _checked(tar: tarfile.TarFile) -> tuple[ImagesLock, IO[bytes]]:
    members = tar.getmembers()
    if [each.name for each in members] != [CONTENTS, LOCK, IMAGES]:
        raise CargoRefused("the archive does not hold what `tool save` writes")
    if not all(each.isreg() for each in members):
        raise CargoRefused("the archive holds something that is no ordinary file")
    contents = Contents.model_validate_json(_text(tar, CONTENTS))
    lock = _text(tar, LOCK)
    images = _file(tar, IMAGES)
    if _part_of(lock) != contents.lock or part(images) != contents.images:
        raise CargoRefused("the archive was changed: a part has another digest than it says")
    read = ImagesLock.model_validate_json(lock)
    images.seek(0)
    with closing(tarfile.open(fileobj=images, mode="r:")) as inner:
        _see_images(inner, {entry.image for entry in read.tools.values()})
    images.seek(0)
    return read, images


def _text(tar: tarfile.TarFile, name: str) -> bytes:
    if tar.getmember(name).size > TEXT_MAX:
        raise CargoRefused(f"`{name}` of the archive is too large")
    return _file(tar, name).read()


def _file(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise CargoRefused(f"`{name}` of the archive is no file")
    return found


def _see_images(tar: tarfile.TarFile, wanted: set[str]) -> None:
    """Refuse images that are not exactly those wanted, each of them what its id says."""
    names = {each.name for each in tar.getmembers()}
    for each in tar.getmembers():
        if not _harmless(each, names):
            raise CargoRefused("the archive's images hold a file that could lead elsewhere")
    if "repositories" in names:
        raise CargoRefused("the archive would name images by tags, and only ids count")
    found = dict(_images(tar))
    if set(found) != wanted:
        raise CargoRefused("the archive holds other images than its lock names")
    for image, layers in found.items():
        _see_layers(tar, image, layers)


def _harmless(member: tarfile.TarInfo, names: set[str]) -> bool:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return False
    if member.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        return target in names
    return member.isreg() or member.isdir()


def _images(tar: tarfile.TarFile) -> Iterator[tuple[str, list[str]]]:
    for each in orjson.loads(_text(tar, "manifest.json")):
        if each.get("RepoTags"):
            raise CargoRefused("the archive would name images by tags, and only ids count")
        config = hashlib.sha256(_text(tar, each["Config"])).hexdigest()
        if config not in each["Config"]:
            raise CargoRefused("an image of the archive is not what its id says")
        yield f"sha256:{config}", [each["Config"], *each["Layers"]]


def _see_layers(tar: tarfile.TarFile, image: str, files: list[str]) -> None:
    """Hold each layer to the digest that the image's configuration names."""
    config: Mapping[str, Mapping[str, list[str]]] = orjson.loads(_text(tar, files[0]))
    layers = [f"sha256:{part(_file(tar, name)).sha256}" for name in files[1:]]
    if layers != config["rootfs"]["diff_ids"]:
        raise CargoRefused(f"a layer of {image[:19]} is not the one that the image names")
