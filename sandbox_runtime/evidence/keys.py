"""Who can read a task's bodies, and how do they become unreadable for good?

Law: each task has a data key of its own, kept only wrapped under the master key. To erase a
task is to destroy that wrapped key; it is never made again. Nobody but the owner may read
the directory, and a key that others could have read is refused.

Destroying overwrites the key's bytes in place. A copy elsewhere (a backup, a snapshot, a
copy-on-write disk's old block) outlives that: whoever has it and the master key can read on.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence.disk import create, make_directory, sync_directory, write_all
from sandbox_runtime.evidence.faults import Erased, KeysRefused

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + 16
_TASK_ID: Final = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """One task's key, from which one for each use is derived (HKDF, RFC 5869, 2.3)."""

    task_id: str
    secret: bytes = field(repr=False)

    def derive(self, use: str) -> bytes:
        """Return the 32 byte key for this use."""
        info = f"sandbox-broker/v1/{use}/{self.task_id}".encode()
        return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info).derive(self.secret)


class Keys:
    """The keys under one directory: `master`, and `tasks/<task id>`, each wrapped."""

    def __init__(self, directory: Path, master: bytes) -> None:
        """See `open` and `begin`."""
        self._directory, self._master = directory, AESGCM(master)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Take the keys that are there. Raises `KeysRefused`."""
        try:
            _check_private(directory.lstat(), directory)
            master = _read(directory / "master", KEY_BYTES)
        except OSError as failed:
            raise KeysRefused(f"the keys under `{directory}` cannot be had: {failed}") from failed
        return cls(directory, master)

    @classmethod
    def begin(cls, directory: Path) -> Self:
        """Take the keys that are there, or make a master key where none was ever used.

        Raises `KeysRefused`, also where task keys lie there without their master.
        """
        try:
            make_directory(directory / "tasks")
            if not any((directory / "tasks").iterdir()):
                with suppress(FileExistsError):
                    _make(directory / "master", secrets.token_bytes(KEY_BYTES))
        except OSError as failed:
            raise KeysRefused(f"no keys can be made under `{directory}`: {failed}") from failed
        return cls.open(directory)

    def create(self, task_id: str) -> None:
        """Make the task's key, durably. Raises `KeysRefused` where it has or had one."""
        path, nonce = self._path(task_id), secrets.token_bytes(NONCE_BYTES)
        data_key = secrets.token_bytes(KEY_BYTES)
        try:
            _make(path, nonce + self._master.encrypt(nonce, data_key, task_id.encode()))
        except FileExistsError as there:
            raise KeysRefused(f"task `{task_id}` has a key already") from there
        except OSError as failed:
            raise EvidenceUnavailable(f"no key for task `{task_id}`: {failed}") from failed

    def has(self, task_id: str) -> bool:
        """Whether the task has a key, or had one."""
        return self._path(task_id).exists()

    def data_key(self, task_id: str) -> DataKey:
        """Return the task's key. Raises `Erased` and `KeysRefused`."""
        try:
            wrapped = _read(self._path(task_id), _WRAPPED_BYTES)
        except OSError as failed:
            raise KeysRefused(f"no key of task `{task_id}`: {failed}") from failed
        if not any(wrapped):
            raise Erased(task_id)
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            secret = self._master.decrypt(nonce, sealed, task_id.encode())
        except InvalidTag as other:
            raise KeysRefused(f"the key of task `{task_id}` is not under this master") from other
        return DataKey(task_id=task_id, secret=secret)

    def destroy(self, task_id: str) -> None:
        """Erase: on return nothing of the task can be opened again. Doing it twice is fine."""
        try:
            descriptor = os.open(self._path(task_id), os.O_WRONLY | os.O_NOFOLLOW)
        except OSError as failed:
            raise KeysRefused(f"no key of task `{task_id}`: {failed}") from failed
        try:
            write_all(descriptor, bytes(_WRAPPED_BYTES))
            os.fsync(descriptor)
        except OSError as failed:
            raise EvidenceUnavailable(f"task `{task_id}` is not erased: {failed}") from failed
        finally:
            os.close(descriptor)

    def _path(self, task_id: str) -> Path:
        if not _TASK_ID.fullmatch(task_id):
            raise ValueError(f"`{task_id}` is no task id")
        return self._directory / "tasks" / task_id


def _make(path: Path, content: bytes) -> None:
    """Create `path` whole and durable, or raise `FileExistsError`."""
    unfinished = path.with_name(f".{secrets.token_hex(8)}")
    create(unfinished, content)
    try:
        os.link(unfinished, path)
    finally:
        unfinished.unlink()
    sync_directory(path.parent)


def _read(path: Path, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _check_private(os.fstat(descriptor), path)
        content = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise KeysRefused(f"`{path}` is no key: {size} bytes expected")
    return content


def _check_private(status: os.stat_result, path: Path) -> None:
    mode = status.st_mode
    if status.st_uid != os.geteuid() or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise KeysRefused(f"`{path}` is not ours; it should belong to the broker's user")
    if mode & 0o077:
        raise KeysRefused(f"`{path}` is open to others; run chmod go= on it, and renew the key")
