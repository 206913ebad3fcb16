"""How do many appends share one sync?

Law: one thread writes. Whatever waits when it is ready becomes one frame, synced once and
acknowledged after. Bodies are on disk before the records that name them. After the first
failure nothing is written again, and nothing is retried: what the disk holds is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from sandbox_runtime.errors import EvidenceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_runtime.evidence.appender import Appender

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(Generic[T]):
    """What is written together or not at all, and the ticket of who waits for it."""

    records: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    size: int
    ticket: T


class GroupCommit(Generic[T]):
    """The writing thread. `settled` is called in it, once for each batch, with its end."""

    def __init__(
        self,
        *,
        records: Appender,
        bodies: Appender,
        batch_bytes: int,
        settled: Callable[[Sequence[Append[T]], EvidenceUnavailable | None], None],
    ) -> None:
        self.failure: EvidenceUnavailable | None = None
        self._records, self._bodies = records, bodies
        self._batch_bytes, self._settled = batch_bytes, settled
        self._waiting: SimpleQueue[Append[T] | None] = SimpleQueue()
        self._closing = False
        self._thread = Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def put(self, append: Append[T]) -> None:
        """Give one append to the thread. The order of these calls is the order on disk."""
        self._waiting.put(append)

    def close(self) -> None:
        """Write what waits, end the thread, let go of the files. Blocks."""
        self._waiting.put(None)
        self._thread.join()
        self._bodies.close()
        self._records.close()

    def _run(self) -> None:
        while batch := self._gather():
            if self.failure is None:
                self.failure = self._write(batch)
            self._settled(batch, self.failure)

    def _gather(self) -> list[Append[T]]:
        batch: list[Append[T]] = []
        size = 0
        while not self._closing and size < self._batch_bytes:
            try:
                append = self._waiting.get(block=not batch)
            except Empty:
                break
            if append is None:
                self._closing = True
            else:
                batch.append(append)
                size += append.size
        return batch

    def _write(self, batch: Sequence[Append[T]]) -> EvidenceUnavailable | None:
        try:
            if bodies := [body for append in batch for body in append.bodies]:
                self._bodies.append(bodies)
            self._records.append([record for append in batch for record in append.records])
        except Exception as failed:  # noqa: BLE001 - any end but success leaves the log unknown
            error = EvidenceUnavailable(f"the log could not be written: {failed}")
            error.__cause__ = failed
            return error
        return None
