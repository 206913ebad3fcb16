"""What is mounted, as one process sees it?

Law: every line of mountinfo becomes a `Mount` or is an error; none is passed over.
Format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

ESCAPE = re.compile(r"\\([0-7]{3})")
SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """One mount. `root` is the part of the file system that shows at `point`."""

    device: str
    root: str
    point: str
    flags: frozenset[str]
    type: str
    options: frozenset[str]

    def option(self, name: str) -> str | None:
        """Return the value of the file system's own option `name`."""
        found = (item.partition("=")[2] for item in self.options if item.startswith(f"{name}="))
        return next(found, None)

    @property
    def size(self) -> int | None:
        """Bytes at most, where the file system says so."""
        text = self.option("size")
        return None if text is None else parse_size(text)

    @property
    def inodes(self) -> int | None:
        """Files at most, where the file system says so."""
        text = self.option("nr_inodes")
        return None if text is None else parse_size(text)


def parse_size(text: str) -> int:
    """Return the number that tmpfs wrote: digits, perhaps with a unit."""
    unit = SIZES.get(text[-1:])
    return int(text[:-1]) * unit if unit else int(text)


def parse(mountinfo: str) -> tuple[Mounted, ...]:
    """Return the mounts in their order: a later one covers an earlier one."""
    return tuple(parse_line(line) for line in mountinfo.splitlines())


def parse_line(line: str) -> Mounted:
    """Return one mount. Optional fields end with a dash."""
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < 6 or len(rest) < 3:  # noqa: PLR2004 - as the page says
        raise ValueError("a line of mountinfo is not as proc_pid_mountinfo(5) says")
    return Mounted(
        device=fields[2],
        root=unescape(fields[3]),
        point=unescape(fields[4]),
        flags=frozenset(fields[5].split(",")),
        type=rest[0],
        options=frozenset(rest[2].split(",")),
    )


def unescape(text: str) -> str:
    """Return `text` with its octal escapes (space, tab, newline, backslash) undone."""
    return ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def origin(path: str, mounts: tuple[Mounted, ...]) -> tuple[str, str]:
    """Return the device and the place in its file system that `path` shows.

    A bind mount of `path` has exactly these as its device and root.
    """
    wanted = PurePosixPath(path)
    holders = [mount for mount in mounts if wanted.is_relative_to(mount.point)]
    holder = max(reversed(holders), key=lambda mount: len(mount.point))
    inner = wanted.relative_to(holder.point)
    return holder.device, str(PurePosixPath(holder.root) / inner)
