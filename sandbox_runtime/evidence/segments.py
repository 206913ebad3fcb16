"""What does one ordered stream of items say, read from its files?

Law: every frame read was checked: its place, its checksum, the chain, and the joint of
each segment with the one before. A bad byte is `DamagedLog`, never skipped; only a torn
frame at the very end of the last segment ends the reading quietly.

A segment's name tells the sequence number of its first item and its position in the stream.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence.faults import DamagedLog
from sandbox_runtime.evidence.frames import (
    HEAD_BYTES,
    HEADER_BYTES,
    Header,
    Kind,
    Malformed,
    Unpacked,
    frame_size,
    is_torn,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NAME: Final = re.compile(r"(\d{16})-(\d{16})\.seg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One group of items as read back, and where it stands."""

    file: str
    offset: int
    size: int
    first: int
    items: tuple[bytes, ...]

    @property
    def end(self) -> int:
        """Position in the stream of what follows it."""
        return int(self.file[17:33]) + self.offset + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a stream, as its name tells."""

    path: Path
    first: int
    base: int


def segments(directory: Path) -> list[Segment]:
    """Return the stream's segments in order. Files of other names are not looked at."""
    named = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    return [
        Segment(path=path, first=int(path.name[:16]), base=int(path.name[17:33]))
        for path in sorted(named)
    ]


def shown_name(path: Path) -> str:
    """Return how a segment is told to people: its stream's directory, and its name."""
    return f"{path.parent.name}/{path.name}"


def segment_name(header: Header) -> str:
    """Return the name of the segment that this header begins."""
    return f"{header.first:016d}-{header.base:016d}.seg"


class SegmentFile:
    """Reads one segment frame by frame, checking each.

    `offset`, `sequence` and `chain` tell where it stands; `tail` counts the bytes after
    that which are no frame yet; `exact` says whether `sequence` was counted from the start,
    `linked` whether `chain` is known here.
    """

    def __init__(self, segment: Segment, kind: Kind) -> None:
        self.segment = segment
        self.offset, self.sequence, self.tail = 0, segment.first, 0
        self.exact = self.linked = True
        self._fd = os.open(segment.path, os.O_RDONLY)
        try:
            self.header = self._header(kind)
        except DamagedLog:
            self.close()
            raise
        self.offset, self.chain = HEADER_BYTES, self.header.chain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @property
    def size(self) -> int:
        """The file's bytes at this moment."""
        return os.fstat(self._fd).st_size

    def skip_to(self, offset: int) -> None:
        """Go to a frame boundary without reading what is before it."""
        if offset > self.offset:
            self.offset, self.exact, self.linked = offset, False, False

    def next(self) -> Frame | None:
        """Return the next frame; None where no whole frame is yet; raise `DamagedLog`."""
        try:
            return self._advance(self._unpack(self._raw()))
        except Malformed:
            return self._look_again()

    def damaged(self, problem: str) -> DamagedLog:
        """Return the error for the place where this reader stands."""
        place = shown_name(self.segment.path)
        return DamagedLog(problem, file=place, offset=self.offset, sequence=self.sequence)

    def _header(self, kind: Kind) -> Header:
        try:
            header = Header.unpack(os.pread(self._fd, HEADER_BYTES, 0))
        except Malformed as bad:
            raise self.damaged(str(bad)) from bad
        if (header.kind, header.first, header.base) != (kind, self.sequence, self.segment.base):
            raise self.damaged("the segment's header does not fit its name or its stream")
        return header

    def _raw(self) -> bytes:
        head = os.pread(self._fd, HEAD_BYTES, self.offset)
        size = frame_size(head, self.segment.base + self.offset)
        return head + os.pread(self._fd, size - HEAD_BYTES, self.offset + HEAD_BYTES)

    def _unpack(self, raw: bytes) -> Unpacked:
        chain = self.chain if self.linked else None
        return unpack(raw, chain=chain, position=self.segment.base + self.offset)

    def _look_again(self) -> Frame | None:
        """Judge the rest of the file in one reading: a writer may have gone on meanwhile."""
        rest = os.pread(self._fd, max(self.size - self.offset, 0), self.offset)
        try:
            return self._advance(self._unpack(rest))
        except Malformed as bad:
            if rest and not is_torn(rest, base=self.segment.base, offset=self.offset):
                raise self.damaged(str(bad)) from bad
        self.tail = len(rest)
        return None

    def _advance(self, unpacked: Unpacked) -> Frame:
        frame = Frame(
            file=self.segment.path.name,
            offset=self.offset,
            first=self.sequence,
            size=unpacked.size,
            items=unpacked.items,
        )
        self.offset += unpacked.size
        self.sequence += len(unpacked.items)
        self.chain, self.linked, self.tail = unpacked.chain, True, 0
        return frame


def check_joints(found: Sequence[Segment]) -> None:
    """Check by names and sizes alone that no segment is missing or short."""
    if found and (found[0].first, found[0].base) != (0, 0):
        raise _lost(found[0], "the segments before this one are missing")
    for before, after in pairwise(found):
        if before.base + before.path.stat().st_size != after.base:
            raise _lost(after, "this segment does not begin where the one before ends")


def walk(directory: Path, kind: Kind, *, sequence: int = 0) -> Iterator[Frame]:
    """Yield frames in order, from the beginning of the segment that holds `sequence`.

    Works beside a running writer, and may then yield frames not yet acknowledged. Ends
    before a torn tail. Raises `DamagedLog`, and `EvidenceUnavailable` where the files
    cannot be read.
    """
    with readable(directory):
        found = segments(directory)
        check_joints(found[:1])
        held = [segment for segment in found if segment.first <= sequence]
        yield from _walk(directory, kind, held[-1:], position=0)


def walk_from(directory: Path, kind: Kind, *, position: int) -> Iterator[Frame]:
    """Yield frames in order from `position`, which is a frame's beginning or the end.

    The first frame's chain value is taken as it stands. Otherwise as `walk`.
    """
    with readable(directory):
        held = [segment for segment in segments(directory) if segment.base <= position]
        yield from _walk(directory, kind, held[-1:], position=position)


def segment_of(directory: Path, *, sequence: int) -> Segment | None:
    """Return the segment that holds `sequence`, or would; None where there is none yet."""
    with readable(directory):
        held = [segment for segment in segments(directory) if segment.first <= sequence]
    return held[-1] if held else None


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Turn a failure to read into `EvidenceUnavailable`."""
    try:
        yield
    except OSError as failed:
        raise EvidenceUnavailable(f"`{directory}` cannot be read: {failed}") from failed


def _walk(
    directory: Path, kind: Kind, start: Sequence[Segment], *, position: int
) -> Iterator[Frame]:
    segment, before = next(iter(start), None), None
    while segment:
        with SegmentFile(segment, kind) as file:
            if before:
                _check_joint(before, file)
            file.skip_to(position - segment.base)
            yield from iter(file.next, None)
            segment, before = _follower(directory, segment), file
            if segment:
                yield from iter(file.next, None)  # written between our last look and rotation


def _follower(directory: Path, segment: Segment) -> Segment | None:
    later = (other for other in segments(directory) if other.base > segment.base)
    return next(later, None)


def _check_joint(before: SegmentFile, after: SegmentFile) -> None:
    """Check that whole frames lead from one segment to the next, and by one chain."""
    if after.segment.base != before.segment.base + before.offset:
        raise before.damaged("the segment's end, or a segment after it, is damaged or missing")
    if before.linked and after.header.chain != before.chain:
        raise after.damaged("the segment does not continue the one before it")
    if before.exact and after.segment.first != before.sequence:
        raise after.damaged(f"sequence {before.sequence} should begin here")


def _lost(segment: Segment, problem: str) -> DamagedLog:
    return DamagedLog(problem, file=shown_name(segment.path), offset=0, sequence=segment.first)
