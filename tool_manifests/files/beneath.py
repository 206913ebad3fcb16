"""What is opened below one folder, and nowhere else?

Law: a name is walked part by part and no link is followed, whoever put it there; what is
opened is an ordinary file or a folder. The names were checked before; here the file system
has its say.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # of a pipe somebody planted: do not wait
SAID = {
    errno.EACCES: ("denied", "it may not be opened"),
    errno.EDQUOT: ("full", "the workspace is full"),
    errno.EEXIST: ("exists", "there is a file of this name already"),
    errno.EFBIG: ("full", "the file would be larger than a file may be"),
    errno.EISDIR: ("not_a_file", "it is a folder"),
    errno.ELOOP: ("not_a_file", "it is a link, and links are not followed"),
    errno.ENAMETOOLONG: ("name_too_long", "the name is too long"),
    errno.ENOENT: ("missing", "there is no such file or folder"),
    errno.ENOSPC: ("full", "the workspace is full"),
    errno.ENOTDIR: ("not_a_folder", "a part of the path is no folder, or a link"),
    errno.ENXIO: ("not_a_file", "it is no ordinary file"),
    errno.EROFS: ("denied", "the workspace is not to be written to"),
}


class Failed(Exception):  # noqa: N818 - how the call ended
    """The call ends with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


def parts(path: str) -> tuple[str, ...]:
    """Return a path's names. It leads only downwards, or somebody forgot to check it."""
    names = PurePosixPath(path).parts
    if path.startswith("/") or ".." in names or "\0" in path:
        raise Failed("not_relative", "the path leads out of the workspace")
    return names


@contextmanager
def folder(root: str, names: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """Open the folder that `names` lead to; with `make` those that are missing are made."""
    at = os.open(root, FOLDER)
    try:
        for name in names:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=at)
            inner = os.open(name, FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def opened(at: int, name: str, flags: int) -> int:
    """Open an ordinary file of the folder `at`."""
    file = os.open(name, flags | FILE, 0o644, dir_fd=at)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise Failed("not_a_file", "it is no ordinary file")


def answer(program: Callable[[str, dict[str, Any]], object]) -> None:
    """Answer one call: what `program` returns for the root and the arguments."""
    call = json.load(sys.stdin)
    try:
        said = {"result": program(sys.argv[1], call["arguments"])}
    except Failed as failed:
        said = {"error": failed.error}
    except OSError as error:
        code, message = SAID.get(error.errno or 0, ("failed", "the file system refuses"))
        print(error, file=sys.stderr)  # noqa: T201 - the operators' log
        said = {"error": {"code": code, "message": message}}
    with open(3, "w", encoding="ascii") as answers:
        json.dump(said, answers)
