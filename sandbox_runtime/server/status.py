"""What does a request that ended without an answer look like on the wire?

Law: a refusal is told as the table in `errors` says, and a fault by a fixed sentence and an
incident's id. No text that an exception of ours carries is ever part of a status.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc.aio
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from sandbox_runtime.errors import DOMAIN, TABLE, Reason, Refusal, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from google.protobuf.message import Message

DETAILS: Final = "grpc-status-details-bin"

SENTENCES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.SANDBOX_UNAVAILABLE: "no container can be had for this call now",
        Reason.EVIDENCE_UNAVAILABLE: "the log cannot be written, so nothing may run",
        Reason.DRAINING: "the broker is about to stop",
        Reason.DEADLINE_EXCEEDED: "the time for this request is over",
        Reason.INTERNAL: "the broker failed; its operators find why under the incident",
    }
)
"""All that a caller hears of a fault."""

_LONGEST: Final = 700
"""Bytes of each text: a status is a trailer, and trailers beyond 8 KiB are dropped."""
_SOON: Final = 1


def refusal(refused: Refusal) -> status_pb2.Status:
    """Return the status of a request that its sender may mend."""
    told = {"code": refused.code, "pointer": refused.pointer, "hint": refused.hint}
    details: list[Message] = [_info(refused.why, told)]
    if refused.pointer:
        details.append(_violation(refused.pointer, refused.problem))
    if TABLE[refused.why].retry is Retry.LATER:
        details.append(_retry(refused.retry_after))
    return _status(refused.why, refused.problem, details)


def fault(reason: Reason, incident: str) -> status_pb2.Status:
    """Return the status of a request that failed through us."""
    details: list[Message] = [_info(reason, {"incident": incident})]
    if TABLE[reason].retry is Retry.LATER:
        details.append(_retry(None))
    return _status(reason, SENTENCES.get(reason, SENTENCES[Reason.INTERNAL]), details)


async def abort(context: grpc.aio.ServicerContext[Any, Any], said: status_pb2.Status) -> NoReturn:
    """End the request with this status."""
    trailer = ((DETAILS, said.SerializeToString()),)
    await context.abort(_CODES[said.code], said.message, trailer)


_CODES = {number: code for code in grpc.StatusCode for number in [code.value[0]]}


def _status(reason: Reason, sentence: str, details: list[Message]) -> status_pb2.Status:
    number = grpc.StatusCode[TABLE[reason].status].value[0]
    packed = [Packed() for _ in details]
    for each, detail in zip(packed, details, strict=True):
        each.Pack(detail)
    return status_pb2.Status(code=number, message=_clipped(sentence), details=packed)


def _info(reason: Reason, told: Mapping[str, str | None]) -> error_details_pb2.ErrorInfo:
    meaning = TABLE[reason]
    metadata = {key: _clipped(text) for key, text in told.items() if text}
    return error_details_pb2.ErrorInfo(
        reason=reason,
        domain=DOMAIN,
        metadata={**metadata, "retry": meaning.retry, "mender": meaning.mender},
    )


def _violation(pointer: str, problem: str) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=_clipped(pointer), description=_clipped(problem)
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


def _retry(after: timedelta | None) -> error_details_pb2.RetryInfo:
    delay = Duration(seconds=_SOON)
    if after is not None:
        delay.FromTimedelta(after)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _clipped(text: str) -> str:
    """Return the text as UTF-8 can carry it, cut where it is too long for a trailer."""
    encoded = text.encode("utf-8", errors="replace")
    if len(encoded) <= _LONGEST:
        return encoded.decode()
    return encoded[:_LONGEST].decode("utf-8", errors="ignore") + "…"
