"""How do tools' images reach a machine that can build none?

Law: what arrives is what left, by the images' own ids, or nothing is locked. The lock is
written last, whole, and only once the engine has every image that it names.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException

from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox import cargo, images, lock
from sandbox_runtime.sandbox.shipment import CHUNK, CargoRefused

if TYPE_CHECKING:
    import docker

    from sandbox_runtime.sandbox.lock import ImagesLock


def save(lock_path: Path, file: Path) -> str:
    """Write the images that a lock names, and the lock, to `file`; return its SHA-256, in hex.

    Raises `LockBroken`, `SandboxUnavailable`, OSError.
    """
    made = lock.read(lock_path)
    images.verify(made)
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".sandbox-broker-") as room:
        held, fresh = Path(room) / cargo.IMAGES, Path(room) / "archive"
        ids = sorted({entry.image for entry in made.tools.values()})
        with closing(images.connect()) as client:
            _export(client, ids, held)
        cargo.write(fresh, lock_path.read_bytes(), held)
        digest = digest_of(fresh)
        _synced(fresh)
        fresh.replace(file)
    return digest


def load(file: Path, lock_path: Path, *, expected: str | None = None) -> ImagesLock:
    """Give an archive's images to the engine and write its lock; return that.

    `expected` is the SHA-256 of the whole archive, where it came by another way. Raises
    `CargoRefused`, `LockBroken`, `SandboxUnavailable`, OSError.
    """
    if expected is not None and digest_of(file) != expected:
        raise CargoRefused(f"{file} has another digest than the one expected")
    made, shipment, archive = cargo.opened(file)
    with closing(archive), closing(images.connect()) as client:
        try:
            # requests sends what an iterator yields, and the stubs do not know.
            list(client.images.load(shipment.printed()))  # type: ignore[arg-type]
        except (DockerException, OSError) as error:
            raise SandboxUnavailable("the engine would not load the images") from error
    images.verify(made)
    lock.write(lock_path, made)
    return made


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _export(client: docker.DockerClient, ids: list[str], to: Path) -> None:
    """Have the engine write images into one archive: layers that they share stand there once."""
    place = f"{client.api.base_url}/v{client.api.api_version}/images/get"
    try:
        with client.api.get(place, params={"names": ids}, stream=True, timeout=600) as said:
            said.raise_for_status()
            with to.open("wb") as file:
                for chunk in said.iter_content(CHUNK):
                    file.write(chunk)
    except (DockerException, OSError) as error:
        raise SandboxUnavailable("the engine would not hand out the images") from error


def _synced(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())
