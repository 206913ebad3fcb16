"""What does the log say, to someone who does not write it?

Law: reading needs no lock and changes nothing, so an auditor may read a copy or the log of
a running broker. Each record yielded was checked, as in `segments`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.evidence.segments import segment_of, walk, walk_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReader:
    """Reads the log under `root`."""

    root: Path

    def read(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, record) from `first` to `last`, both included, in order.

        Without `last`, up to what stands there when the reader arrives; beside a writer
        that may go beyond what was acknowledged. Raises `DamagedLog`.
        """
        for frame in walk(Kind.RECORDS.directory(self.root), Kind.RECORDS, sequence=first):
            for sequence, record in enumerate(frame.items, frame.first):
                if last is not None and sequence > last:
                    return
                if sequence >= first:
                    yield sequence, record

    def newest(self) -> bytes | None:
        """Return the newest record; None where the last segment holds none. Raises as `read`."""
        last = None
        for frame in walk(Kind.RECORDS.directory(self.root), Kind.RECORDS, sequence=sys.maxsize):
            last = frame
        return last.items[-1] if last is not None and last.items else None

    def follow(self, first: int, wait: Callable[[], None]) -> Iterator[tuple[int, bytes]]:
        """Yield from `first` on without end; `wait` is called whenever there is no more.

        Otherwise as `on`.
        """
        for one in self.on(first):
            if one is None:
                wait()
            else:
                yield one

    def on(self, first: int) -> Iterator[tuple[int, bytes] | None]:
        """Yield from `first` on without end, and None whenever there is no more.

        Reads each frame once, from where the one before it ended. Otherwise as `read`.
        """
        directory = Kind.RECORDS.directory(self.root)
        begun = segment_of(directory, sequence=first)
        position, following = (begun.base, begun.first) if begun else (0, 0)
        while True:
            for frame in walk_from(directory, Kind.RECORDS, position=position):
                for sequence, record in enumerate(frame.items, following):
                    if sequence >= first:
                        yield sequence, record
                position, following = frame.end, following + len(frame.items)
            yield None
