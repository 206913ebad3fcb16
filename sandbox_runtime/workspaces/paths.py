"""Which paths may be asked for in a workspace, and which of them shall outlive it?

Law: pure. A path is relative, printable and leads nowhere but down. What it leads through is
the kernel's to say, when it is opened (`beneath.py`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sandbox_runtime.destinations.model_text.characters import cleaned
from sandbox_runtime.errors import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH: Final = 16
"""Directories inside one another, the file's own name included."""
MAX_NAME: Final = 255
"""Bytes of one name (NAME_MAX)."""
MAX_PATH: Final = 1024
"""Bytes of a whole path."""

Steps = tuple[str, ...]
"""A path as names, from the root of a workspace."""


class PathRefused(Refusal):
    """The path cannot be one of a workspace's."""

    reason = Reason.REQUEST_INVALID

    def __init__(self, problem: str) -> None:
        super().__init__(
            problem,
            pointer="/path",
            code="file.path",
            hint="name it from the workspace's root, as `data/in.csv`",
        )


def steps(path: str) -> Steps:
    """Return the names that `path` leads along; raise `PathRefused`."""
    if len(path.encode(errors="surrogatepass")) > MAX_PATH:
        raise PathRefused(f"the path has more than {MAX_PATH} bytes")
    names = tuple(path.split("/"))
    if len(names) > MAX_DEPTH:
        raise PathRefused(f"the path leads more than {MAX_DEPTH} names deep")
    for name in names:
        if (problem := flaw(name)) is not None:
            raise PathRefused(problem)
    return names


def flaw(name: str) -> str | None:
    """Return what is wrong with one name; None where nothing is."""
    if name in {"", ".", ".."}:
        return "the path is not made of names alone: no `/` at either end, no `.`, no `..`"
    # Controls, direction marks, halves of surrogate pairs; letters that nobody sees.
    if not name.isprintable() or cleaned(name)[0] != name:
        return "the path has a character that cannot be shown"
    if len(name.encode()) > MAX_NAME:
        return f"a name in the path has more than {MAX_NAME} bytes"
    return None


def is_kept(path: str, globs: Iterable[str]) -> bool:
    """Whether one of `globs` is for this path.

    A glob is for the whole path: `*` and `?` stay within one name, `**/` is any directories.
    """
    return any(_pattern(glob).fullmatch(path) for glob in globs)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*+|\?)", glob)
    return re.compile("".join(_MEANINGS.get(part) or _plain(part) for part in parts))


_MEANINGS: Final = {"**/": "(?:[^/]+/)*+", "?": "[^/]"}


def _plain(part: str) -> str:
    return "[^/]*" if part.startswith("*") else re.escape(part)
