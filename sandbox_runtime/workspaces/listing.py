"""What stands in a tree that hostile code has written?

Law: as much as a listing may hold, and a word when there is more. Nothing is opened but
directories, each beneath the one that it was found in; names that cannot be shown are counted and
not told.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sandbox_runtime.workspaces.beneath import kind, open_beneath
from sandbox_runtime.workspaces.paths import MAX_DEPTH, MAX_PATH, flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES: Final = 10_000
"""Of one listing, those left out included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that stands in a tree."""

    path: str
    kind: str
    """As found: `file`, `directory`, `link`, `pipe`, `socket`, `device`."""
    size: int
    modified_ns: int


@dataclass(slots=True, kw_only=True)
class Listing:
    """What was found."""

    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0
    """Things whose name cannot be shown, and directories too deep to enter."""
    complete: bool = True
    """False where there is more than a listing may hold."""

    @property
    def looked_at(self) -> int:
        """How many things were counted."""
        return len(self.entries) + self.left_out


def listed(root: int) -> Listing:
    """Return what stands beneath `root`, sorted by path."""
    found = Listing()
    waiting = [""]
    while waiting and found.complete:
        waiting.extend(_look(root, waiting.pop(), found))
    found.entries.sort(key=lambda entry: entry.path)
    return found


def _look(root: int, path: str, found: Listing) -> list[str]:
    """Take in one directory; return those below it that may be entered."""
    try:
        directory = open_beneath(root, path or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it is gone, or something else by now
        found.left_out += 1
        return []
    try:
        return list(_below(directory, path, found))
    finally:
        os.close(directory)


def _below(directory: int, path: str, found: Listing) -> Iterator[str]:
    with os.scandir(directory) as names:
        for each in names:
            if found.looked_at >= MAX_ENTRIES:
                found.complete = False
                return
            entry = _entry(directory, f"{path}/{each.name}" if path else each.name, each.name)
            if entry is None:
                found.left_out += 1
                continue
            found.entries.append(entry)
            if entry.kind == "directory":
                yield from _deeper(entry, found)


def _deeper(entry: Entry, found: Listing) -> Iterator[str]:
    if entry.path.count("/") + 1 < MAX_DEPTH:
        yield entry.path
    else:
        found.left_out += 1


def _entry(directory: int, path: str, name: str) -> Entry | None:
    if flaw(name) is not None or len(path.encode()) > MAX_PATH:
        return None
    try:
        seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    size = seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return Entry(path=path, kind=kind(seen.st_mode), size=size, modified_ns=seen.st_mtime_ns)
