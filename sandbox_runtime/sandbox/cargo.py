"""Is this archive of tools whole, and nothing else?

Law: an archive is a stranger's until every byte of it is accounted for: its parts by their
digests, each image by its id, which is the digest of its configuration and names those of
its layers (`shipment.py`). Nothing of it reaches the engine before, and it can name no tag.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import IO, TYPE_CHECKING, Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from sandbox_runtime.sandbox.lock import Digest, ImagesLock
from sandbox_runtime.sandbox.shipment import (
    CHUNK,
    CargoRefused,
    Shipment,
    checked,
    file_of,
    text_of,
)
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS, LOCK, IMAGES = "contents.json", "images.lock.json", "images.tar"
_DAMAGED = (tarfile.TarError, OSError, ValidationError, ValueError, KeyError, RecursionError)
"""What tarfile and pydantic raise of an archive; links that lead to each other, the last."""


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


def opened(file: Path) -> tuple[ImagesLock, Shipment, tarfile.TarFile]:
    """Return an archive's lock and its images for the engine, all of it checked.

    Whoever calls closes the archive, the third. Raises `CargoRefused`.
    """
    try:
        tar = tarfile.open(file, "r:")  # noqa: SIM115 - handed on
    except _DAMAGED as error:
        raise CargoRefused(f"{file} is no archive of tools") from error
    try:
        lock, shipment = _checked(tar)
    except _DAMAGED as error:
        tar.close()
        raise CargoRefused(f"{file} is no archive of tools, or is damaged") from error
    except CargoRefused:
        tar.close()
        raise
    return lock, shipment, tar


def _checked(tar: tarfile.TarFile) -> tuple[ImagesLock, Shipment]:
    members = tar.getmembers()
    if [each.name for each in members] != [CONTENTS, LOCK, IMAGES]:
        raise CargoRefused("the archive does not hold what `tool save` writes")
    if not all(each.isreg() for each in members):
        raise CargoRefused("the archive holds something that is no ordinary file")
    contents = Contents.model_validate_json(text_of(tar, CONTENTS))
    lock = text_of(tar, LOCK)
    images = file_of(tar, IMAGES)
    if _part_of(lock) != contents.lock or part(images) != contents.images:
        raise CargoRefused("the archive was changed: a part has another digest than it says")
    read = ImagesLock.model_validate_json(lock)
    images.seek(0)
    # Not closed: the shipment is read from it, and it holds nothing that `tar` does not.
    inner = tarfile.open(fileobj=images, mode="r:")  # noqa: SIM115
    return read, checked(inner, {entry.image for entry in read.tools.values()})
