"""Which records does a reader get at a time, and where does it go on?

Law: a page is bounded in records, in bytes and in how many records were looked at for it. Leaves
and bodies are the very bytes that are kept. What is not durable yet is on no page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sandbox_runtime import records
from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.evidence.faults import DamagedBody, Erased, KeysRefused
from sandbox_runtime.ledger import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.evidence.reader import LogReader
    from sandbox_runtime.records import Record

MOST_RECORDS: Final = 1000
MOST_BYTES: Final = 2 << 20
"""Of leaves and bodies on a page; a single record may have more."""
MOST_LOOKED_AT: Final = 20_000


class BodyState(StrEnum):
    """Whether a body can be read."""

    OPENED = "opened"
    ERASED = "erased"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBody:
    """What a record keeps encrypted."""

    state: BodyState
    content: bytes = b""
    """Exactly as it was kept. Not cleaned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record, as the log holds it."""

    sequence: int
    leaf: bytes
    body: OpenedBody | None

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.leaf) + (len(self.body.content) if self.body is not None else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records."""

    entries: tuple[Entry, ...]
    next: int
    """Every record before this one was looked at."""
    more: bool
    """Whether others that are durable follow."""


class Cursor:
    """Reads on from where it stopped. One thread uses it at a time."""

    def __init__(self, reader: LogReader, first: int) -> None:
        self._leaves = reader.on(first)
        self._held: tuple[int, bytes] | None = None
        self.next = first

    def page(
        self, wanted: Wanted, *, end: int, limit: int = MOST_RECORDS, bodies: Bodies | None = None
    ) -> Page:
        """Return the next records below `end` that are wanted, with their bodies if so asked.

        Blocks. Raises `EvidenceUnavailable` where the log cannot be read.
        """
        taken: list[Entry] = []
        size = 0
        for looked, (sequence, leaf) in enumerate(self._durable(end), 1):
            if (record := _wanted(leaf, wanted)) is not None:
                body = _body(record, bodies) if bodies is not None else None
                taken.append(Entry(sequence=sequence, leaf=leaf, body=body))
                size += taken[-1].size
            if len(taken) >= limit or size >= MOST_BYTES or looked >= MOST_LOOKED_AT:
                break
        return Page(entries=tuple(taken), next=self.next, more=self.next < end)

    def _durable(self, end: int) -> Iterator[tuple[int, bytes]]:
        while self.next < end:
            one = self._held or next(self._leaves)
            self._held = None
            if one is None:
                return
            if one[0] >= end:
                self._held = one
                return
            self.next = one[0] + 1
            yield one


def _wanted(leaf: bytes, wanted: Wanted) -> Record | None:
    if not all(mark in leaf for mark in wanted.marks):
        return None
    record = records.parse(leaf)
    return record if wanted.takes(record) else None


def _body(record: Record, bodies: Bodies) -> OpenedBody | None:
    """Return a record's one body; None where it has none."""
    for ref in records.bodies(record):
        try:
            content = bodies.open(getattr(record, "task", SYSTEM), ref)
        except Erased:
            return OpenedBody(state=BodyState.ERASED)
        except (DamagedBody, KeysRefused):
            return OpenedBody(state=BodyState.DAMAGED)
        return OpenedBody(state=BodyState.OPENED, content=content)
    return None
