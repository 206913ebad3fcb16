"""Where do files lie that outlive their task?

Law: encrypted under the task's key, as its bodies are: whoever erases the task erases them. A file
is there whole or not at all, and is the one that was kept.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence.disk import create, make_directory, sync_directory
from sandbox_runtime.evidence.keys import NONCE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.evidence.keys import Keys

_UNFINISHED: Final = ".new"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFiles:
    """The kept files of one broker, below `directory`."""

    directory: Path
    keys: Keys
    headroom: int = 0
    """Bytes that stay free for the log, which lies on the same disk."""

    def keep(self, task: str, content: bytes) -> str:
        """Keep a file of the task, durably; return its id. Blocks."""
        name, nonce = f"f-{secrets.token_hex(8)}", secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher(task).encrypt(nonce, content, _bound(task, name))
        path = self.directory / task / name
        try:
            make_directory(path.parent)
            self._expect_room(len(sealed))
            _appear(path, sealed)
        except OSError as error:
            raise EvidenceUnavailable(f"no file can be kept: {error.strerror}") from error
        return name

    def open(self, task: str, name: str) -> bytes:
        """Return a kept file. Blocks. Raises `Erased` and `EvidenceUnavailable`."""
        cipher = self._cipher(task)
        try:
            sealed = (self.directory / task / name).read_bytes()
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(task, name))
        except OSError as error:
            raise EvidenceUnavailable(f"kept file `{name}` is lost: {error.strerror}") from error
        except (InvalidTag, ValueError) as error:
            raise EvidenceUnavailable(f"kept file `{name}` is not what was kept") from error

    def delete(self, task: str, name: str) -> None:
        """Delete a kept file; doing it twice is fine. Blocks."""
        (self.directory / task / name).unlink(missing_ok=True)
        with suppress(OSError):  # others are still there
            (self.directory / task).rmdir()

    def names(self) -> set[tuple[str, str]]:
        """Return every file that lies here, unfinished ones included: task and id. Blocks."""
        return {(path.parent.name, path.name) for path in self.directory.glob("*/*")}

    def _expect_room(self, size: int) -> None:
        disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < size + self.headroom:
            raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _cipher(self, task: str) -> AESGCM:
        return AESGCM(self.keys.data_key(task).derive("kept"))


def _appear(path: Path, sealed: bytes) -> None:
    """Let a file be there whole, durably; what did not become whole takes no room."""
    unfinished = path.with_suffix(_UNFINISHED)
    try:
        create(unfinished, sealed)
        unfinished.rename(path)
        sync_directory(path.parent)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _bound(task: str, name: str) -> bytes:
    return f"sandbox-broker/v1/kept/{task}/{name}".encode()
