"""What does the log say, to someone who does not write it?

Law: reading needs no lock and changes nothing, so an auditor may read a copy or the log of
a running broker. Each record yielded was checked, as in `segments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.evidence.segments import walk

if TYPE_CHECKING:
    from collections.abc import Iterator
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
