"""How does a record become durable, in order, before anything depends on it?

Law: the order of `enqueue` calls is the order of sequence numbers, and the number is known
at once. Whoever waits on the ticket goes on only after the bytes are synced. The first
write that fails ends the log: every waiting and every later append is `EvidenceUnavailable`.

    root/lock      held by the one writer
    root/log/      segments of records
    root/blobs/    segments of sealed bodies
    root/reserve   room kept for the last words
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence.appender import Appender, Recovered
from sandbox_runtime.evidence.commit import Append, GroupCommit
from sandbox_runtime.evidence.disk import make_directory
from sandbox_runtime.evidence.faults import LogInUse
from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.evidence.space import Space

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sandbox_runtime.evidence.blobs import Sealed

MAX_RECORD: Final = 60 * 1024
"""The largest record: with its framing it fits a transparency log's 16-bit entry."""

MAX_APPEND: Final = 32 * 2**20
"""The most that one append may bring, bodies included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Sizes in bytes."""

    segment_bytes: int = 64 * 2**20
    """A segment is full beyond this."""
    batch_bytes: int = 2**20
    """A group commit takes no more appends beyond this."""
    headroom: int = 64 * 2**20
    """With less than this free on the disk, appends that are not urgent are refused."""
    reserve: int = 16 * 2**20
    """Held in a file, for urgent appends on a full disk."""


class Ticket:
    """The promise of one append: its first sequence number now, its durability later."""

    __slots__ = ("_end", "sequence")

    def __init__(self, sequence: int, end: asyncio.Future[EvidenceUnavailable | None]) -> None:
        self.sequence, self._end = sequence, end

    @property
    def durable(self) -> bool:
        """Whether the append is on disk."""
        return self._end.done() and self._end.result() is None

    async def wait(self) -> None:
        """Return once the append is on disk; raise `EvidenceUnavailable`.

        Any number may wait. A waiter that is cancelled cancels nobody else, nor the append.
        """
        if error := await asyncio.shield(self._end):
            raise EvidenceUnavailable(str(error)) from error

    def settle(self, error: EvidenceUnavailable | None) -> None:
        """Tell those who wait. The log calls this, once."""
        self._end.set_result(error)


class Log:
    """The one writer of the log under `root`. Lives on the event loop that opened it."""

    def __init__(
        self,
        *,
        root: Path,
        settings: LogSettings,
        on_failure: Callable[[EvidenceUnavailable], None],
        lock: int,
    ) -> None:
        """See `open`."""
        self._loop, self._on_failure, self._lock = asyncio.get_running_loop(), on_failure, lock
        self._space = Space(root, headroom=settings.headroom, reserve=settings.reserve)
        records, self._bodies = (
            Appender(kind.directory(root), kind, segment_bytes=settings.segment_bytes)
            for kind in (Kind.RECORDS, Kind.BODIES)
        )
        self.next = records.next
        """The sequence number that the next record gets."""
        self.durable = records.next
        """Every record before this sequence number is on disk."""
        self.recovered: tuple[Recovered, ...] = tuple(
            stream.recovered for stream in (records, self._bodies) if stream.recovered
        )
        """What opening cut off: writes that were never acknowledged."""
        self._closed = self._told = False
        self._writer = GroupCommit[Ticket](
            records=records,
            bodies=self._bodies,
            batch_bytes=settings.batch_bytes,
            settled=self._settle_soon,
        )

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        on_failure: Callable[[EvidenceUnavailable], None],
        settings: LogSettings | None = None,
    ) -> Self:
        """Take the log under `root`, or begin one. Called on the event loop; blocks.

        `on_failure` is called once, on that loop, when a write has failed: nothing can be
        recorded from then on, so the process should end. Raises `LogInUse`, `DamagedLog`
        and `EvidenceUnavailable`.
        """
        lock = _lock(root)
        try:
            settings = settings or LogSettings()
            return cls(root=root, settings=settings, on_failure=on_failure, lock=lock)
        except OSError as failed:
            os.close(lock)
            raise EvidenceUnavailable(f"the log under `{root}` cannot be had: {failed}") from failed
        except EvidenceUnavailable:
            os.close(lock)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def healthy(self) -> bool:
        """Whether an append may succeed now."""
        return not (self._closed or self._writer.failure or self._space.is_low)

    def bodies_end(self) -> int:
        """Return the position from which a body sealed now will be found."""
        return self._bodies.end

    def enqueue(
        self, records: Sequence[bytes], bodies: Sequence[Sealed] = (), *, urgent: bool = False
    ) -> Ticket:
        """Give `records` their numbers and send them to disk, all or none, `bodies` first.

        `urgent` is for what ends something begun: it is accepted on a nearly full disk.
        Raises `EvidenceUnavailable` and then has done nothing; `ValueError` where a record
        or the whole is too large.
        """
        items = tuple(sealed.item for sealed in bodies)
        size = _size(records, items)
        if self._closed or self._writer.failure:
            raise EvidenceUnavailable(f"the log is closed: {self._writer.failure or 'by us'}")
        self._space.claim(size, urgent=urgent)
        ticket = Ticket(self.next, self._loop.create_future())
        self.next += len(records)
        self._writer.put(Append(records=tuple(records), bodies=items, size=size, ticket=ticket))
        return ticket

    async def append(
        self, records: Sequence[bytes], bodies: Sequence[Sealed] = (), *, urgent: bool = False
    ) -> int:
        """Enqueue, wait until durable, and return the first record's sequence number."""
        ticket = self.enqueue(records, bodies, urgent=urgent)
        await ticket.wait()
        return ticket.sequence

    async def close(self) -> None:
        """Write what waits, and let another writer in."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._writer.close)
            os.close(self._lock)

    def _settle_soon(
        self, batch: Sequence[Append[Ticket]], error: EvidenceUnavailable | None
    ) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
            self._loop.call_soon_threadsafe(self._settle, batch, error)

    def _settle(self, batch: Sequence[Append[Ticket]], error: EvidenceUnavailable | None) -> None:
        for append in batch:
            self._space.settle(append.size)
            if error is None:
                self.durable = append.ticket.sequence + len(append.records)
            append.ticket.settle(error)
        if error and not self._told:
            self._told = True
            self._on_failure(error)


def _size(records: Sequence[bytes], items: Sequence[bytes]) -> int:
    if not records or max(map(len, records)) > MAX_RECORD:
        raise ValueError(f"an append takes records of up to {MAX_RECORD} bytes, at least one")
    size = sum(map(len, records)) + sum(map(len, items))
    if size > MAX_APPEND:
        raise ValueError(f"an append of {size} bytes is over the limit of {MAX_APPEND}")
    return size


def _lock(root: Path) -> int:
    try:
        make_directory(root)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as failed:
        raise EvidenceUnavailable(f"the log under `{root}` cannot be had: {failed}") from failed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as held:
        os.close(descriptor)
        raise LogInUse(f"another process is writing the log under `{root}`") from held
    return descriptor
