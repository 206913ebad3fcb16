"""What did a failed request's status say?

Law: a status is read as the table in `errors` writes it. One that the broker did not write
(a dead connection, a size limit of gRPC's) is told by its code alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

from sandbox_runtime.client.failures import (
    BrokerError,
    BrokerFault,
    BrokerUnavailable,
    CallCancelled,
    CallRefused,
    DeadlineExceeded,
)
from sandbox_runtime.errors import DOMAIN, Mender, Reason, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

    from google.protobuf.message import Message

    D = TypeVar("D", bound=Message)
    E = TypeVar("E", bound=StrEnum)

DETAILS = "grpc-status-details-bin"
"""The metadata key under which a status carries its details."""


def failure(code: grpc.StatusCode, message: str, metadata: Iterable[Any]) -> BrokerError:
    """Return what to raise for a failed request."""
    status = _status(metadata)
    info = _detail(status, error_details_pb2.ErrorInfo)
    if info is None or info.domain != DOMAIN:
        return _bare(code, message)
    reason = _named(Reason, info.reason)
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return BrokerUnavailable(message, reason=reason)
        case grpc.StatusCode.INTERNAL:
            return BrokerFault(message, reason=reason, incident=info.metadata["incident"])
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(message, reason=reason)
        case grpc.StatusCode.CANCELLED:
            return CallCancelled(message, reason=reason)
        case _:
            return _refused(message, reason, info, status)


def _refused(
    message: str,
    reason: Reason | None,
    info: error_details_pb2.ErrorInfo,
    status: status_pb2.Status,
) -> CallRefused:
    said, retry = info.metadata, _detail(status, error_details_pb2.RetryInfo)
    return CallRefused(
        message,
        reason=reason,
        code=said.get("code", ""),
        pointer=said.get("pointer", ""),
        hint=said.get("hint", ""),
        retry=_named(Retry, said.get("retry", "")) or Retry.NEVER,
        mender=_named(Mender, said.get("mender", "")) or Mender.OPERATOR,
        retry_after=_time(retry),
    )


def _bare(code: grpc.StatusCode, message: str) -> BrokerError:
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return BrokerUnavailable(message)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(message)
        case grpc.StatusCode.CANCELLED:
            return CallCancelled(message)
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN | grpc.StatusCode.DATA_LOSS:
            return BrokerFault(message, reason=None)
        case _:
            return CallRefused(message, reason=None, code=code.name)


def _status(metadata: Iterable[Any]) -> status_pb2.Status:
    for key, value in metadata:
        if key == DETAILS and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[D]) -> D | None:
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


def _time(retry: error_details_pb2.RetryInfo | None) -> timedelta | None:
    return retry.retry_delay.ToTimedelta() if retry is not None else None


def _named(names: type[E], name: str) -> E | None:
    return names(name) if name in {each.value for each in names} else None
