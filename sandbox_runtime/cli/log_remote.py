"""How does a command read the log of a broker that it reaches only over the wire?

Law: the same records, narrowed by the same wishes, as beside the files. Who asks needs the role
`auditor`.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sandbox_runtime.audit.gathering import Stored
from sandbox_runtime.cli.connecting import Connection, shows
from sandbox_runtime.cli.reading import parsed
from sandbox_runtime.client import Auditor, RecordFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sandbox_runtime.audit.wanted import Wanted
    from sandbox_runtime.client import StoredRecord
    from sandbox_runtime.records import Micros


def may_connect(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--connect` and what says who asks, and give the command a `Connection`, or None."""

    @click.option(
        "--connect", metavar="ADDRESS", help="Read it from this broker and not from --state."
    )
    @shows
    @wraps(command)
    def connected(
        *args: object, connect: str | None, shown: Mapping[str, Any], **given: object
    ) -> object:
        remote = Connection(target=connect, shown=shown) if connect is not None else None
        return command(*args, remote=remote, **given)

    return connected


def listed(remote: Connection, wanted: Wanted, last: int | None) -> Iterator[Stored]:
    """Yield the records asked for, or the last of them."""
    with remote.broker() as broker:
        records = _parsed(Auditor(broker).query(_filter(wanted)))
        yield from records if last is None else deque(records, maxlen=last)


def ending(remote: Connection, wanted: Wanted, last: int, *, follow: bool) -> Iterator[Stored]:
    """Yield the newest records asked for, and then, if so wished, those that come."""
    with remote.broker() as broker:
        auditor = Auditor(broker)
        kept = deque(_parsed(auditor.query(_filter(wanted))), maxlen=last)
        yield from kept
        if follow:
            coming = kept[-1].sequence + 1 if kept else 0
            yield from _parsed(auditor.tail(_filter(wanted), first=coming))


def _parsed(records: Iterator[StoredRecord]) -> Iterator[Stored]:
    return parsed((record.sequence, record.leaf) for record in records)


def _filter(wanted: Wanted) -> RecordFilter:
    return RecordFilter(
        task=wanted.task or "",
        call=wanted.call or "",
        kinds=(wanted.kind,) if wanted.kind is not None else (),
        subject=wanted.subject or "",
        tool=wanted.tool or "",
        permitted=wanted.permitted,
        reason=wanted.reason or "",
        outcome=wanted.outcome or "",
        since=_moment(wanted.since),
        until=_moment(wanted.until),
    )


def _moment(at: Micros | None) -> datetime | None:
    return datetime.fromtimestamp(at / 1_000_000, UTC) if at is not None else None
