"""What does an auditor's request mean, and how is a record written on the wire?

Law: a wish that cannot be read is refused, never ignored: it would widen what is told.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox_runtime.audit.pages import MOST_RECORDS, BodyState
from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.v1 import audit_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from sandbox_runtime.audit.pages import Entry, OpenedBody, Page
    from sandbox_runtime.records import Micros

_DEFAULT: Final = 100
_LONGEST: Final = 256
_MOST_KINDS: Final = 64
_LAST: Final = 1 << 53

_VERDICTS: Mapping[int, bool | None] = MappingProxyType(
    {
        pb.RecordFilter.VERDICT_UNSPECIFIED: None,
        pb.RecordFilter.VERDICT_PERMITTED: True,
        pb.RecordFilter.VERDICT_REFUSED: False,
    }
)
_STATES = MappingProxyType(
    {
        BodyState.OPENED: pb.RecordBody.STATE_OPENED,
        BodyState.ERASED: pb.RecordBody.STATE_ERASED,
        BodyState.DAMAGED: pb.RecordBody.STATE_DAMAGED,
    }
)


def wanted(asked: pb.RecordFilter) -> Wanted:
    """Return what a filter takes."""
    texts = (asked.task, asked.call, asked.subject, asked.tool, asked.reason, asked.outcome)
    if max(map(len, (*texts, *asked.kinds))) > _LONGEST or len(asked.kinds) > _MOST_KINDS:
        raise _invalid(f"`filter` has a text of more than {_LONGEST} characters, or too many kinds")
    if asked.verdict not in _VERDICTS:
        raise _invalid("`filter.verdict` is none that this broker knows")
    return Wanted(
        task=asked.task or None,
        call=asked.call or None,
        kinds=frozenset(asked.kinds),
        subject=asked.subject or None,
        tool=asked.tool or None,
        permitted=_VERDICTS[asked.verdict],
        reason=asked.reason or None,
        outcome=asked.outcome or None,
        since=_moment(asked.since) if asked.HasField("since") else None,
        until=_moment(asked.until) if asked.HasField("until") else None,
    )


def limit(asked: int) -> int:
    """Return how many records a page may hold."""
    if asked > MOST_RECORDS:
        raise _invalid(f"`limit` is above {MOST_RECORDS}")
    return asked or _DEFAULT


def first(asked: pb.QueryRequest) -> int:
    """Return the sequence number that a page begins with."""
    if not asked.page_token:
        return sequence(asked.first)
    if not (asked.page_token.isascii() and asked.page_token.isdigit()):
        raise _invalid("`page_token` is none that this broker gave")
    return sequence(int(asked.page_token[:20]))


def sequence(number: int) -> int:
    """Return a sequence number; none is so large in this universe's time."""
    if number > _LAST:
        raise _invalid("there is no such sequence number")
    return number


def queried(page: Page) -> pb.QueryResponse:
    """Write the answer to Query."""
    return pb.QueryResponse(
        records=[stored(entry) for entry in page.entries],
        next_page_token=str(page.next) if page.more else "",
    )


def stored(entry: Entry) -> pb.StoredRecord:
    """Write a record."""
    return pb.StoredRecord(
        sequence=entry.sequence,
        leaf_json=entry.leaf,
        body=_body(entry.body) if entry.body is not None else None,
    )


def _body(body: OpenedBody) -> pb.RecordBody:
    return pb.RecordBody(state=_STATES[body.state], json=body.content)


def _moment(stamp: Timestamp) -> Micros:
    try:
        return stamp.ToMicroseconds()
    except (ValueError, OverflowError) as error:
        raise _invalid("`filter` has a time that is none") from error


def _invalid(problem: str) -> Refusal:
    return Refusal(problem, reason=Reason.REQUEST_INVALID)
