"""Requests as the wire carries them, with metadata of a test's choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

SERVICE = "/sandbox_runtime.v1.BrokerService/"
Metadata = tuple[tuple[str, str], ...]


async def send(
    address: str, method: str, request: Message | bytes, metadata: Metadata = ()
) -> grpc.aio.AioRpcError | bytes:
    """Send one unary request; return its answer's bytes, or the error."""
    body = request if isinstance(request, bytes) else request.SerializeToString()
    async with grpc.aio.insecure_channel(address) as channel:
        name = method if method.startswith("/") else SERVICE + method
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(name)
        try:
            return bytes(await call(body, metadata=metadata, timeout=10))
        except grpc.aio.AioRpcError as error:
            return error


async def refused(
    address: str, method: str, request: Message | bytes, metadata: Metadata = ()
) -> grpc.aio.AioRpcError:
    """Send one request that has to fail; return the error."""
    answer = await send(address, method, request, metadata)
    assert isinstance(answer, grpc.aio.AioRpcError), answer
    return answer


def details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the rich status of an error; empty where it has none."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the one `ErrorInfo` of an error."""
    found = [d for d in details(error).details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(found) == 1
    unpacked = error_details_pb2.ErrorInfo()
    found[0].Unpack(unpacked)
    return unpacked
