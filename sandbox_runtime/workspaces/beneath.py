"""How does the host open what stands in a tree that hostile code has written?

Law: only beneath the tree's root, never through a symbolic link, onto another mount or out
through `..`, and the kernel sees to that while it opens: openat2(2). What is then held is looked
at, not its name again, so nothing can change between the look and the use. Only regular files
with one name are read.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sandbox_runtime.errors import Reason, Refusal, SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_runtime.workspaces.paths import Steps

_OPENAT2: Final = 437
"""The same number on every architecture."""
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE: Final = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_ATTEMPTS: Final = 8
"""A lookup that races with a rename is tried again (EAGAIN, openat2(2))."""
_LEADS_AWAY: Final = frozenset({errno.ELOOP, errno.EXDEV})
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class FileNotFound(Refusal):
    """Nothing stands at this path that may be opened."""

    reason = Reason.FILE_NOT_FOUND


class FileRefused(Refusal):
    """What stands at this path may not be read or replaced."""

    reason = Reason.FILE_REFUSED


class _OpenHow(ctypes.Structure):
    """`struct open_how`."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@contextmanager
def opened_root(root: Path) -> Iterator[int]:
    """Hold the root of a tree open, as a directory. The host made it and trusts its path."""
    try:
        held = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxUnavailable(f"the workspace cannot be opened: {error.strerror}") from error
    try:
        yield held
    finally:
        os.close(held)


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open `path` beneath the open `directory`; the caller closes it.

    Raises `OSError` as the kernel gave it, and `SandboxUnavailable` where it has no openat2.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _openat2(directory, path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENOSYS:
                raise SandboxUnavailable(
                    "the kernel has no openat2(2): workspaces need Linux 5.6"
                ) from error
            if error.errno != errno.EAGAIN or attempt == _ATTEMPTS - 1:
                raise
    raise SandboxUnavailable("a path in the workspace does not hold still")


def _openat2(directory: int, path: str, flags: int) -> int:
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE)
    held: int = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_long(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if held < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return held


def read(root: int, steps: Steps, *, most: int) -> bytes:
    """Return what the regular file at `steps` holds: at most `most` bytes, or it is refused.

    It is first held without being opened for anything (O_PATH): a device or a pipe whose mere
    opening has an effect is seen before.
    """
    held = _held(root, steps)
    try:
        _expect_regular(os.fstat(held), most)
        # The magic link leads to this very file, whatever its name leads to by now.
        reading = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(held)
    try:
        return _whole(reading, most)
    finally:
        os.close(reading)


def _held(root: int, steps: Steps) -> int:
    try:
        return open_beneath(root, "/".join(steps), os.O_PATH)
    except OSError as error:
        raise refused(error) from error


def _whole(reading: int, most: int) -> bytes:
    before = os.fstat(reading)
    parts, left = [], most + 1
    while left > 0 and (part := os.read(reading, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    after = os.fstat(reading)
    _expect_regular(after, most)
    if left <= 0 or _version(before) != _version(after):
        raise FileRefused("the file was changed while it was read", code="file.changed")
    return b"".join(parts)


def _version(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _expect_regular(seen: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise FileRefused(f"a {kind(seen.st_mode)} stands there, no file", code="file.not_regular")
    if seen.st_nlink != 1:
        raise FileRefused("the file has more than one name", code="file.hard_link")
    if seen.st_size > most:
        raise Refusal(
            f"the file has {seen.st_size} bytes, more than {most}",
            reason=Reason.FILE_TOO_LARGE,
            hint="write it in parts, or compress it",
        )


def kind(mode: int) -> str:
    """Return what stands somewhere, by its mode."""
    return _KINDS.get(stat.S_IFMT(mode), "something unknown")


_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def refused(error: OSError) -> Refusal:
    """Return the refusal that the kernel's `error` on a path amounts to."""
    if error.errno in _NOT_THERE:
        return FileNotFound(
            "the workspace has no such file",
            pointer="/path",
            hint="list the files to see what is there",
        )
    if error.errno in _LEADS_AWAY:
        return FileRefused(
            "the path leads through a link or out of the workspace", code="file.leads_away"
        )
    if error.errno in _FULL:
        return Refusal("the workspace is full", reason=Reason.WORKSPACE_FULL)
    if error.errno in {errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}:
        return FileRefused("a directory stands there, no file", code="file.not_regular")
    raise SandboxUnavailable(f"the workspace failed: {os.strerror(error.errno or 0)}") from error


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
