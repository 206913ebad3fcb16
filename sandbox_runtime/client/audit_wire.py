"""What does an auditor's request look like on the wire, and what does its answer mean?

Law: pure, as `wire`. Leaves and bodies stay the bytes that they are.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from sandbox_runtime.client.values import BodyState, RecordBody, RecordPage, StoredRecord
from sandbox_runtime.client.wire import Exchange
from sandbox_runtime.v1 import audit_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_runtime.client.values import RecordFilter

_VERDICTS = {
    None: pb.RecordFilter.VERDICT_UNSPECIFIED,
    True: pb.RecordFilter.VERDICT_PERMITTED,
    False: pb.RecordFilter.VERDICT_REFUSED,
}
_STATES = {
    pb.RecordBody.STATE_OPENED: BodyState.OPENED,
    pb.RecordBody.STATE_ERASED: BodyState.ERASED,
    pb.RecordBody.STATE_DAMAGED: BodyState.DAMAGED,
}

Told = tuple[StoredRecord | None, int]
"""A record, where one was taken; and the sequence number to go on from."""


def query(
    wanted: RecordFilter, *, first: int, limit: int, page: str, bodies: bool
) -> Exchange[RecordPage]:
    """Ask for a page of records."""
    request = pb.QueryRequest(
        filter=_filter(wanted), limit=limit, page_token=page, first=first, include_bodies=bodies
    )
    return Exchange(service="AuditService", method="Query", request=request, read=_page)


def tail(wanted: RecordFilter, *, first: int | None, bodies: bool) -> Exchange[Told]:
    """Ask for records and those to come."""
    request = pb.TailRequest(filter=_filter(wanted), first=first, include_bodies=bodies)
    return Exchange(
        service="AuditService", method="Tail", request=request, read=_told, repeatable=False
    )


def _filter(wanted: RecordFilter) -> pb.RecordFilter:
    return pb.RecordFilter(
        task=wanted.task,
        call=wanted.call,
        kinds=wanted.kinds,
        subject=wanted.subject,
        tool=wanted.tool,
        verdict=_VERDICTS[wanted.permitted],
        reason=wanted.reason,
        outcome=wanted.outcome,
        since=_stamp(wanted.since),
        until=_stamp(wanted.until),
    )


def _stamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _page(answer: pb.QueryResponse) -> RecordPage:
    records = tuple(_stored(record) for record in answer.records)
    return RecordPage(records=records, next=answer.next_page_token)


def _told(answer: pb.TailResponse) -> Told:
    return (_stored(answer.record) if answer.HasField("record") else None), answer.next


def _stored(record: pb.StoredRecord) -> StoredRecord:
    body = record.body if record.HasField("body") else None
    return StoredRecord(
        sequence=record.sequence,
        leaf=record.leaf_json,
        body=RecordBody(
            state=_STATES.get(body.state, BodyState.UNSPECIFIED),
            text=body.json,
        )
        if body is not None
        else None,
    )
