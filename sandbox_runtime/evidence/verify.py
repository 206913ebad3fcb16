"""Is everything that was kept still what was written?

Law: verifying walks every byte of every segment of both streams: framing, checksums, the
chain through frames and segments, the numbering; and, with the keys, it opens each body
that a record names. It reports the first problem by file, offset and sequence.

What this does not prove: a chain without signatures is no witness against its own writer,
who can compute all of it anew; and whoever cuts whole frames off the very end leaves a
shorter log that verifies. Signed checkpoints, kept elsewhere, are what shows either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.evidence.faults import DamagedBody, DamagedLog, Erased, KeysRefused
from sandbox_runtime.evidence.frames import HEADER_BYTES, Kind
from sandbox_runtime.evidence.segments import (
    Frame,
    check_joints,
    readable,
    segments,
    shown_name,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sandbox_runtime.evidence.blobs import Bodies, Reference

    Named = Callable[[bytes], Iterable[tuple[str, Reference]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The first thing found wrong."""

    what: str
    file: str
    offset: int
    sequence: int


@dataclass(slots=True, kw_only=True)
class Report:
    """What was walked, up to the first problem."""

    records: int = 0
    bytes: int = 0
    """Of both streams, framing included."""
    segments: int = 0
    unfinished: int = 0
    """Bytes at an end that are no frame: a write under way, or one that a crash cut short."""
    opened: int = 0
    """Bodies that were opened and are the ones committed to."""
    erased: int = 0
    """Bodies whose key was destroyed on purpose."""
    problem: Problem | None = None


def verify(root: Path, *, bodies: Bodies | None = None, named: Named | None = None) -> Report:
    """Walk the log under `root` and return what was found. Blocks; changes nothing.

    Raises `EvidenceUnavailable` where the files cannot be read at all.

    `named` yields the (task id, reference) of each body that a record names, as this room
    knows records as bytes alone; with it and `bodies`, each of those is opened.
    """
    report = Report()
    try:
        for frame in _walk(report, root, Kind.RECORDS):
            report.records += len(frame.items)
            if bodies and named:
                _open_named(report, root, frame, bodies, named)
        for _ in _walk(report, root, Kind.BODIES):
            pass
    except DamagedLog as bad:
        report.problem = Problem(
            what=bad.problem, file=bad.file, offset=bad.offset, sequence=bad.sequence
        )
    return report


def _walk(report: Report, root: Path, kind: Kind) -> Iterator[Frame]:
    directory = kind.directory(root)
    with readable(directory):
        check_joints(segments(directory))
    seen: dict[str, int] = {}
    for frame in walk(directory, kind):
        seen[frame.file] = frame.offset + frame.size
        yield frame
    _count_segments(report, directory, seen)


def _count_segments(report: Report, directory: Path, seen: dict[str, int]) -> None:
    found = segments(directory)
    if not found:
        raise DamagedLog("every segment is missing", file=directory.name, offset=0, sequence=0)
    for segment in found:
        size, read = segment.path.stat().st_size, seen.get(segment.path.name, HEADER_BYTES)
        report.bytes += size
        report.unfinished += size - read
    report.segments += len(found)


def _open_named(report: Report, root: Path, frame: Frame, bodies: Bodies, named: Named) -> None:
    for sequence, record in enumerate(frame.items, frame.first):
        for task_id, ref in named(record):
            try:
                bodies.open(task_id, ref)
            except Erased:
                report.erased += 1
            except (DamagedBody, KeysRefused) as bad:
                raise DamagedLog(
                    str(bad),
                    file=shown_name(Kind.RECORDS.directory(root) / frame.file),
                    offset=frame.offset,
                    sequence=sequence,
                ) from bad
            else:
                report.opened += 1
