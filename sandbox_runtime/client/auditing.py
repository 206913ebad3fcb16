"""How does an auditor read the log of a running broker?

    with Auditor.connect("unix:/run/sandbox-broker/broker.sock") as auditor:
        for record in auditor.query(RecordFilter(permitted=False)):
            print(record.sequence, record.fields["reason"])

Law: reading changes nothing, so a query goes on where a dropped one stopped. Whoever asks needs the
role `auditor`.
"""

# ruff: noqa: ASYNC109 - a timeout here travels with the request, and ends it at the broker

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, Self

from sandbox_runtime.client import audit_wire
from sandbox_runtime.client.asynchronous import AsyncBroker
from sandbox_runtime.client.blocking import Broker
from sandbox_runtime.client.values import RecordFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from sandbox_runtime.client.values import RecordPage, StoredRecord

_ANY = RecordFilter()
_PAGE = 500


class Auditor:
    """Reads the log over a connection to its broker. Threads may share it."""

    def __init__(self, broker: Broker) -> None:
        """See `connect`; a connection that is there already serves as well."""
        self._broker = broker

    @classmethod
    def connect(cls, address: str, **how: Any) -> Self:  # noqa: ANN401 - as `Broker.connect` has it
        """Return an auditor; all arguments are those of `Broker.connect`."""
        return cls(Broker.connect(address, **how))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._broker.close()

    def page(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int = 0,
        limit: int = 0,
        page: str = "",
        bodies: bool = False,
        timeout: float | None = None,
    ) -> RecordPage:
        """Return one page of records. Raises `BrokerError`, as every method here does."""
        asked = audit_wire.query(wanted, first=first, limit=limit, page=page, bodies=bodies)
        return self._broker.send(asked, timeout=timeout)

    def query(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int = 0,
        bodies: bool = False,
        timeout: float | None = None,
    ) -> Generator[StoredRecord, None, None]:
        """Yield records in the log's order, up to what is durable when the last page is asked for.

        `timeout` is for each page. With `bodies`, what models, users and tools wrote comes along.
        """
        place = ""
        while True:
            page = self.page(
                wanted, first=first, limit=_PAGE, page=place, bodies=bodies, timeout=timeout
            )
            yield from page.records
            if not (place := page.next):
                return

    def tail(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int | None = None,
        bodies: bool = False,
        timeout: float | None = None,
    ) -> Generator[StoredRecord, None, None]:
        """Yield records from `first` on, by default the next one, and those that come.

        Raises `CallRefused` with `WATCHER_TOO_SLOW` where they are not read as they come, and
        `BrokerUnavailable` when the broker stops.
        """
        asked = audit_wire.tail(wanted, first=first, bodies=bodies)
        with closing(self._broker.receive(asked, timeout=timeout)) as coming:
            for record, _ in coming:
                if record is not None:
                    yield record


class AsyncAuditor:
    """The same on an event loop."""

    def __init__(self, broker: AsyncBroker) -> None:
        """See `connect`; a connection that is there already serves as well."""
        self._broker = broker

    @classmethod
    def connect(cls, address: str, **how: Any) -> Self:  # noqa: ANN401 - as `AsyncBroker.connect` has it
        """Return an auditor; all arguments are those of `AsyncBroker.connect`."""
        return cls(AsyncBroker.connect(address, **how))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._broker.close()

    async def page(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int = 0,
        limit: int = 0,
        page: str = "",
        bodies: bool = False,
        timeout: float | None = None,
    ) -> RecordPage:
        """Return one page of records. Raises `BrokerError`, as every method here does."""
        asked = audit_wire.query(wanted, first=first, limit=limit, page=page, bodies=bodies)
        return await self._broker.send(asked, timeout=timeout)

    async def query(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int = 0,
        bodies: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[StoredRecord, None]:
        """Yield records in the log's order; as `Auditor.query`."""
        place = ""
        while True:
            page = await self.page(
                wanted, first=first, limit=_PAGE, page=place, bodies=bodies, timeout=timeout
            )
            for record in page.records:
                yield record
            if not (place := page.next):
                return

    async def tail(
        self,
        wanted: RecordFilter = _ANY,
        *,
        first: int | None = None,
        bodies: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[StoredRecord, None]:
        """Yield records from `first` on and those that come; as `Auditor.tail`."""
        asked = audit_wire.tail(wanted, first=first, bodies=bodies)
        async with aclosing(self._broker.receive(asked, timeout=timeout)) as coming:
            async for record, _ in coming:
                if record is not None:
                    yield record
