"""What was written, and where?

Law: a file is there whole or not at all: it is written beside its place and then moved there.
Only what is to be appended to is changed in place.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from beneath import Failed, answer, folder, opened, parts

NEW = ".new-file"
"""What is being written; of one call, which is the only one at its time."""


def write(root: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Write a text to a file, and say what the file is now."""
    *folders, name = parts(arguments["path"]) or ("",)
    if not name:
        raise Failed("not_a_file", "it is a folder")
    if NEW in (*folders, name):
        raise Failed("name_taken", f"`{NEW}` is what a file is called while it is written")
    content, mode = arguments["text"].encode(), arguments["mode"]
    with folder(root, tuple(folders), make=True) as at:
        if mode == "append":
            append(at, name, content)
        else:
            put(at, name, content, over=mode == "replace")
        return {"path": arguments["path"], **facts(at, name)}


def append(at: int, name: str, content: bytes) -> None:
    """Add to a file, which is made where there is none; a part that did not fit goes again."""
    with os.fdopen(opened(at, name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab", 0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            whole(file.fileno(), content)
        except OSError:
            file.truncate(before)
            raise


def put(at: int, name: str, content: bytes, *, over: bool) -> None:
    """Make a file, or set a new one in an old one's place; of a link, in the link's."""
    remove(at, NEW)
    try:
        with os.fdopen(opened(at, NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb", 0) as file:
            whole(file.fileno(), content)
        if over:
            os.rename(NEW, name, src_dir_fd=at, dst_dir_fd=at)
        else:
            os.link(NEW, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    finally:
        remove(at, NEW)


def whole(file: int, content: bytes) -> None:
    """Write all of it."""
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def remove(at: int, name: str) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return


def facts(at: int, name: str) -> dict[str, Any]:
    """Return size and digest of a file."""
    with os.fdopen(opened(at, name, os.O_RDONLY), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "digest": f"sha256:{digest}"}


if __name__ == "__main__":
    answer(write)
