"""Which document was written, and where?

Law: a document is there whole or not at all: it is written beside its place and then moved
there. A link that somebody put in its place is replaced, not followed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

NEW = ".new-document"
"""What is being written; of one call, which is the only one at its time."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Failed(Exception):  # noqa: N818 - how the call ended
    """The call ends with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


def written(root: str, name: str, text: str) -> dict[str, Any]:
    """Write a document below `root`; return its name, size and digest."""
    content = text.encode("utf-8", "replace")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        put(folder, name, content)
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the operators' log
        if error.errno in FULL:
            raise Failed("full", "the workspace is full") from error
        raise Failed("not_writable", f"{name} cannot be written there") from error
    finally:
        os.close(folder)
    digest = hashlib.sha256(content).hexdigest()
    return {"path": name, "bytes": len(content), "digest": f"sha256:{digest}"}


def put(folder: int, name: str, content: bytes) -> None:
    """Write beside the place, then move there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(NEW, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(NEW, flags, 0o644, dir_fd=folder), "wb") as file:
            file.write(content)
        os.rename(NEW, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(NEW, dir_fd=folder)
        raise


def answer(program: Callable[[str, dict[str, Any]], object]) -> None:
    """Answer one call: what `program` returns for the workspace and the arguments."""
    call = json.load(sys.stdin)
    try:
        said = {"result": program(sys.argv[1], call["arguments"])}
    except Failed as failed:
        said = {"error": failed.error}
    with open(3, "w", encoding="ascii") as answers:
        json.dump(said, answers)
