"""How many requests may one caller have open, and how long may it take to send one?

Law: a request takes one of its caller's places from its first byte on, whatever it asks for:
health and reflection included, and also one whose message never comes. So nobody fills a door
that others come through.
"""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.message import DecodeError

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.server import status
from sandbox_runtime.server.edge import patient
from sandbox_runtime.server.identity import known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sandbox_runtime.server.edge import Context, Core
    from sandbox_runtime.server.identity import Door


class OpenRequests(grpc.aio.ServerInterceptor):
    """Stands before every method of one server, behind `Authentication`."""

    def __init__(self, core: Core, door: Door) -> None:
        self._core, self._door = core, door

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler of whatever method it is
        """Return the method's handler, begun once it has a place; None where there is none."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        # As one that is sent a stream, whatever the method is: gRPC would wait for the one
        # message of another before anyone is asked, and for ever.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(handler), handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._unary(handler), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, handler: Any) -> Any:  # noqa: ANN401 - grpc's handlers have no public type
        method = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def answer(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401
            async with self._begun(handler, requests, context) as said:
                return await method(said, context)

        return answer

    def _streaming(self, handler: Any) -> Any:  # noqa: ANN401 - likewise
        method = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def answer(requests: AsyncIterator[Any], context: Context) -> None:
            async with self._begun(handler, requests, context) as said:
                if not inspect.isasyncgenfunction(method):
                    await method(said, context)
                    return
                async for each in method(said, context):
                    await context.write(each)

        return answer

    @asynccontextmanager
    async def _begun(
        self,
        handler: Any,  # noqa: ANN401 - likewise
        requests: AsyncIterator[Any],
        context: Context,
    ) -> AsyncIterator[Any]:
        """Yield what the method is sent, as long as its request has a place."""
        try:
            caller = known(self._door, self._core.attempts, context)
            with self._core.in_progress.one(caller.subject):
                streams = handler.request_streaming
                yield _understood(requests) if streams else await self._one(requests)
        except Refusal as refusal:
            await status.abort(context, status.refusal(refusal))

    async def _one(self, requests: AsyncIterator[Any]) -> Any:  # noqa: ANN401 - any message
        async with patient(self._core.patience):
            with _expecting_messages():
                request = await anext(requests, None)
        if request is None:
            raise Refusal("no message was sent", reason=Reason.REQUEST_INVALID)
        return request


async def _understood(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    with _expecting_messages():
        async for request in requests:
            yield request


@contextmanager
def _expecting_messages() -> Iterator[None]:
    """Raise `Refusal` at what is none: gRPC itself would tell the exception's text."""
    try:
        yield
    except DecodeError as error:
        raise Refusal("a message cannot be read", reason=Reason.REQUEST_INVALID) from error
