"""How does a stream grow, and what of it outlives a crash?

Law: `append` returns after its frame is on disk, and one frame is under way at a time.
Opening cuts a torn frame from the very end and reports it; it refuses any other damage.

A segment appears under its name whole: written and synced under another, then renamed,
then its directory is synced.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox_runtime.evidence.disk import create, make_directory, sync_directory, write_all
from sandbox_runtime.evidence.frames import HEADER_BYTES, Header, Kind, frame_bytes, pack
from sandbox_runtime.evidence.segments import (
    SegmentFile,
    check_joints,
    segment_name,
    segments,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox_runtime.evidence.segments import Segment

_UNFINISHED: Final = ".new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What opening cut off: a write under way when the last writer ended."""

    file: str
    offset: int
    bytes_cut: int


class Appender:
    """Writes one stream. Its owner holds the log's lock; one thread uses it at a time."""

    def __init__(self, directory: Path, kind: Kind, *, segment_bytes: int) -> None:
        """Open the stream, or begin it. Raises `DamagedLog` and `OSError`."""
        self._directory, self._kind, self._limit = directory, kind, segment_bytes
        self.recovered: Recovered | None = None
        self.end: int
        """The position after the last frame: durable, and where the next one begins."""
        self.next: int
        """The sequence number that the next item gets."""
        self._chain: bytes
        make_directory(directory)
        _drop_unfinished(directory)
        found = segments(directory)
        if found:
            check_joints(found)
            self._resume(found[-1])
        else:
            self._begin(Header(kind=kind, base=0, first=0, chain=kind.genesis))

    def append(self, items: Sequence[bytes]) -> None:
        """Write `items` as one frame and sync it. After an `OSError` nothing may follow."""
        filled = self.end - self._base
        if filled > HEADER_BYTES and filled + frame_bytes(items) > self._limit:
            self._rotate()
        raw, chain = pack(items, chain=self._chain, position=self.end)
        write_all(self._fd, raw)
        os.fdatasync(self._fd)
        self.end += len(raw)
        self.next, self._chain = self.next + len(items), chain

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _rotate(self) -> None:
        full = self._fd
        self._begin(Header(kind=self._kind, base=self.end, first=self.next, chain=self._chain))
        os.close(full)

    def _begin(self, header: Header) -> None:
        path = self._directory / segment_name(header)
        create(path.with_suffix(_UNFINISHED), header.pack())
        path.with_suffix(_UNFINISHED).rename(path)
        sync_directory(self._directory)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._base, self.end = header.base, header.base + HEADER_BYTES
        self.next, self._chain = header.first, header.chain

    def _resume(self, last: Segment) -> None:
        self._fd = os.open(last.path, os.O_WRONLY | os.O_APPEND)
        # A frame whose sync failed may still be in the page cache and not on the disk. So
        # sync what can be synced, drop the cache, and believe what the disk says.
        os.fsync(self._fd)
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with SegmentFile(last, self._kind) as file:
            deque(iter(file.next, None), maxlen=0)
            self._base, self.end = last.base, last.base + file.offset
            self.next, self._chain = file.sequence, file.chain
            if file.tail:
                self._cut(Recovered(file=last.path.name, offset=file.offset, bytes_cut=file.tail))

    def _cut(self, torn: Recovered) -> None:
        os.ftruncate(self._fd, torn.offset)
        os.fsync(self._fd)
        self.recovered = torn


def _drop_unfinished(directory: Path) -> None:
    """Remove a segment that never got its name: nothing was ever written to it."""
    for path in directory.glob(f"*{_UNFINISHED}"):
        path.unlink()
