"""How does a whole file come into a workspace, or nothing of it?

Law: its bytes lie complete and synced under a name of ours before the name it is meant for leads
to it, in one step (rename(2)). Who reads sees the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox_runtime.workspaces.beneath import FileRefused, open_beneath, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.workspaces.paths import Steps

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that lies complete beside its place."""

    directory: int
    temporary: str
    name: str

    def appear(self) -> None:
        """Put it in its place, durably. Raises `Refusal` where a directory stands there."""
        try:
            os.rename(
                self.temporary, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory
            )
            os.fsync(self.directory)
        except OSError as error:
            raise refused(error) from error


Staging = AbstractContextManager[Staged]
"""Copies a file when it is entered, and removes what did not appear when it is left."""


@contextmanager
def staged(root: int, steps: Steps, source: int, *, uid: int) -> Iterator[Staged]:
    """Copy the open file `source` to beside `steps`, as `uid`'s; what did not appear is removed.

    Directories on the way are made, and stay. Raises `Refusal`: full, leading away, something in
    the way.
    """
    with ExitStack() as held:
        try:
            directory = _parents(root, steps[:-1], uid, held)
            _expect_no_directory(directory, steps[-1])
            temporary = f".put-{secrets.token_hex(8)}"
            held.callback(_remove, directory, temporary)
            _copy(source, directory, temporary, uid)
        except OSError as error:
            raise refused(error) from error
        yield Staged(directory, temporary, steps[-1])


def _parents(root: int, names: Steps, uid: int, held: ExitStack) -> int:
    """Return the last of the directories `names`, open until `held` ends."""
    directory = root
    for name in names:
        directory = _entered(directory, name, uid)
        held.callback(os.close, directory)
    return directory


def _entered(directory: int, name: str, uid: int) -> int:
    try:
        with suppress(FileNotFoundError):
            return open_beneath(directory, name, _DIRECTORY)
        os.mkdir(name, 0o700, dir_fd=directory)
        made = open_beneath(directory, name, _DIRECTORY)
    except NotADirectoryError as error:
        problem = "the path leads through what is no directory"
        raise FileRefused(problem, code="file.leads_away") from error
    os.fchown(made, uid, uid)
    return made


def _expect_no_directory(directory: int, name: str) -> None:
    """Raise where a directory stands in the file's place, before anything is recorded."""
    with suppress(FileNotFoundError):
        seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(seen.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _copy(source: int, directory: int, temporary: str, uid: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        os.lseek(source, 0, os.SEEK_SET)
        while piece := os.read(source, _PIECE):
            write_all(writing, piece)
        os.fchown(writing, uid, uid)
        os.fsync(writing)
    finally:
        os.close(writing)


def write_all(writing: int, piece: bytes) -> None:
    """Write every byte. A short write is gone on with, and ends in its error."""
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(writing, rest) :]


def _remove(directory: int, temporary: str) -> None:
    try:
        os.unlink(temporary, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
