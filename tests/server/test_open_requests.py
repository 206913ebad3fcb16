"""One caller that opens all the requests it can, and another that comes through the same door."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from sandbox_runtime.server.settings import Calls
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.identities import ask, issue, listen
from tests.support.serving import served
from tests.support.wire_calls import SERVICE, info, refused

if TYPE_CHECKING:
    from pathlib import Path

OPEN = pb.OpenTaskRequest(manifest="greeting", variables_json='{"friend":"Ada"}')
FEW = Calls(running=1, queued_per_subject=0)
HEALTH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ASKING = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()


async def watching(through: grpc.aio.Channel) -> Any:  # noqa: ANN401 - any kind of call
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = through.unary_stream(HEALTH)
    call: Any = method(b"")
    return call if await call.read() is not grpc.aio.EOF else await refusal(call)


async def reflecting(through: grpc.aio.Channel) -> Any:  # noqa: ANN401
    call: Any = through.stream_stream(REFLECTION)()
    await call.write(ASKING)
    return call if await call.read() is not grpc.aio.EOF else await refusal(call)


async def refusal(call: Any) -> Any:  # noqa: ANN401
    raise AssertionError(await call.details())


@pytest.mark.parametrize("begin", [watching, reflecting])
async def test_health_and_reflection_take_places_as_everything_does(
    tmp_path: Path,
    begin: Any,  # noqa: ANN401
) -> None:
    greedy, other = issue(tmp_path / "state", subject="agent:greedy"), issue(tmp_path / "state")
    async with (
        served(tmp_path, listen=listen(tmp_path), calls=FEW) as here,
        greedy.channel(str(here.ready.tls)) as theirs,
        other.channel(str(here.ready.tls)) as ours,
    ):
        calls = [await begin(theirs) for _ in range(FEW.requests())]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await begin(theirs)
        assert info(caught.value).reason == "RATE_LIMITED"
        assert isinstance(await ask(ours, "OpenTask", OPEN), bytes)
        calls.pop().cancel()
        calls.append(await begun_again(begin, theirs))
        for call in calls:
            call.cancel()


async def begun_again(begin: Any, through: grpc.aio.Channel) -> Any:  # noqa: ANN401
    """Begin once the broker has seen that a place is free."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await begin(through)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)


async def test_a_request_whose_message_never_comes_takes_a_place_and_is_given_up(
    tmp_path: Path,
) -> None:
    soon = timedelta(milliseconds=500)
    async with (
        served(tmp_path, calls=FEW, patience=soon) as here,
        grpc.aio.insecure_channel(here.unix) as through,
    ):
        call: Any = through.stream_unary(f"{SERVICE}OpenTask")()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert info(caught.value).reason == "TRANSFER_TOO_SLOW"


async def test_a_request_without_a_message_is_none(tmp_path: Path) -> None:
    async with served(tmp_path) as here, grpc.aio.insecure_channel(here.unix) as through:
        call: Any = through.stream_unary(f"{SERVICE}OpenTask")(iter(()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert info(caught.value).reason == "REQUEST_INVALID"


@pytest.mark.parametrize("method", ["OpenTask", "WatchCall", "PutFile", REFLECTION])
async def test_a_message_that_cannot_be_read_is_refused_in_our_words(
    tmp_path: Path, method: str
) -> None:
    name = method if method.startswith("/") else SERVICE + method
    async with served(tmp_path) as here, grpc.aio.insecure_channel(here.unix) as through:
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = through.stream_stream(name)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stream(iter([b"\xff\xff"])):
                pass
    assert caught.value.details() == "a message cannot be read"
    assert info(caught.value).reason == "REQUEST_INVALID"


async def test_a_method_that_is_not_there_is_not_there(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        error = await refused(here.unix, "/not.there/AtAll", b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
