"""What do these lines of a text file say?

Law: what is no UTF-8 text is an error, and never a guess. A cut is said to be one.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from beneath import Failed, answer, folder, opened, parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

BYTES = 64 << 10
"""The most of one answer."""


def read(root: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return lines of a file, from the first that is wanted."""
    *folders, name = parts(arguments["path"]) or ("",)
    if not name:
        raise Failed("not_a_file", "it is a folder")
    with folder(root, tuple(folders)) as at, os.fdopen(opened(at, name, os.O_RDONLY), "rb") as file:
        first, most = arguments["first_line"], arguments["lines"]
        lines = list(fitting(islice(bounded(file), first - 1, first - 1 + most)))
        more = bool(file.read(1))
        return {"text": text(lines), "first_line": first, "lines": len(lines), "more": more}


def bounded(file: BufferedReader) -> Iterator[bytes]:
    """Yield a file's lines; one that is too long for any answer is an error."""
    while line := file.readline(BYTES + 1):
        if len(line) > BYTES:
            raise Failed("line_too_long", f"a line has more than {BYTES} bytes")
        yield line


def fitting(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield as many lines as fit into one answer."""
    room = BYTES
    for line in lines:
        room -= len(line)
        if room < 0:
            raise Failed("too_long", f"these lines have more than {BYTES} bytes; ask for fewer")
        yield line


def text(lines: list[bytes]) -> str:
    """Return what lines say, if they are text."""
    try:
        said = b"".join(lines).decode()
    except UnicodeDecodeError as error:
        raise Failed("not_text", "the file is no UTF-8 text") from error
    if "\0" in said:
        raise Failed("not_text", "the file is no text")
    return said


if __name__ == "__main__":
    answer(read)
