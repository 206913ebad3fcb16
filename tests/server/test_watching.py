"""WatchCall, through the real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from sandbox_runtime.call import Printed, Progressed
from sandbox_runtime.client import (
    Broker,
    CallEnd,
    CallLog,
    CallProgress,
    CallRefused,
    CallStarted,
    CallState,
    CallWithheld,
    Outcome,
)
from sandbox_runtime.errors import Reason
from sandbox_runtime.feed import KEPT
from sandbox_runtime.server.settings import Calls
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceStub
from tests.support.eventually import eventually
from tests.support.pipeline import Scripted
from tests.support.serving import Stage, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.client import AsyncTask, CallEvent
    from tests.support.serving import Served

AT_ONCE = timedelta(milliseconds=1)
ADA = {"name": "Ada"}
FRIEND = {"friend": "Ada"}


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Served]:
    stage = Stage(sandbox=Scripted(held=True))
    async with served(tmp_path, stage, calls=Calls(watchers=2), drain=AT_ONCE) as broker:
        yield broker


@pytest.fixture
async def task(held: Served) -> AsyncIterator[AsyncTask]:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.call("greet", ADA, call_id="c-1", detach=True)
        await eventually(lambda: held.sandbox.planned[0].started)
        yield task


async def refusal(task: AsyncTask, call_id: str) -> Reason | None:
    with pytest.raises(CallRefused) as caught:
        async for _ in task.watch(call_id):
            pass
    return caught.value.reason


async def full(task: AsyncTask) -> bool:
    """Say whether nobody else may watch."""
    try:
        await anext(task.watch("c-1"))
    except CallRefused:
        return True
    return False


async def watched(events: AsyncIterator[CallEvent]) -> list[CallEvent]:
    return [event async for event in events]


async def test_a_call_is_seen_from_its_start_to_its_end(held: Served, task: AsyncTask) -> None:
    container = held.sandbox.planned[0]
    events = task.watch("c-1")
    assert await anext(events) == CallStarted(0)
    container.say(Printed("stdout", b"half"))
    assert await anext(events) == CallLog("stdout", "half")
    container.say(Progressed(b'{"done":0.5}'))
    assert await anext(events) == CallProgress({"done": 0.5})
    container.let_go.set()
    (end,) = await watched(events)
    assert end == (await task.get("c-1")).end
    assert isinstance(end, CallEnd)
    assert end.outcome is Outcome.OK


async def test_who_joins_late_gets_what_is_kept_and_then_the_rest(
    held: Served, task: AsyncTask
) -> None:
    container = held.sandbox.planned[0]
    container.say(Printed("stdout", b"early, "))
    both = [asyncio.create_task(watched(task.watch("c-1"))) for _ in "ab"]
    await asyncio.sleep(0.1)
    container.say(Printed("stdout", b"late"))
    container.let_go.set()
    for watching in both:
        started, *logs, _ = await watching
        assert started == CallStarted(0)
        assert "".join(log.text for log in logs if isinstance(log, CallLog)) == "early, late"
    assert [type(event) for event in await watched(task.watch("c-1"))] == [CallEnd]


async def test_what_a_tool_says_is_cleaned_before_anyone_sees_it(
    held: Served, task: AsyncTask
) -> None:
    container, events = held.sandbox.planned[0], task.watch("c-1")
    await anext(events)
    container.say(Printed("stderr", "a\u202eb\x1b[31mc\x07".encode()))
    container.say(Progressed('{"at":"x\u200by"}'.encode()))
    container.say(Printed("stdout", b"\xe2\x82"))
    container.let_go.set()
    seen = await watched(events)
    assert seen[:2] == [CallLog("stderr", "abc"), CallProgress({"at": "xy"})]
    assert isinstance(seen[2], CallEnd)


async def test_a_letter_torn_between_two_pieces_is_whole(held: Served, task: AsyncTask) -> None:
    events = task.watch("c-1")
    await anext(events)
    for piece in (b"\xe2\x82", b"\xac"):
        held.sandbox.planned[0].say(Printed("stdout", piece))
        await asyncio.sleep(0.05)
    assert await anext(events) == CallLog("stdout", "\u20ac")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"[" * 17 + b"]" * 17, id="deep"),
        pytest.param(b'{"a":1,"a":2}', id="a key twice"),
        pytest.param(b'"' + b"x" * (16 << 10) + b'"', id="long"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_progress_that_is_no_plain_value_stays_behind(
    held: Served, task: AsyncTask, text: bytes
) -> None:
    events = task.watch("c-1")
    await anext(events)
    held.sandbox.planned[0].say(Progressed(text))
    held.sandbox.planned[0].let_go.set()
    assert [type(event) for event in await watched(events)] == [CallWithheld, CallEnd]


async def test_a_slow_reader_is_cut_off_and_the_call_goes_on(held: Served, task: AsyncTask) -> None:
    async with grpc.aio.insecure_channel(held.unix) as channel:
        request = pb.WatchCallRequest(task_id=task.id, call_id="c-1")
        stream = BrokerServiceStub(channel).WatchCall(
            request, metadata=(("task-token", task.token),)
        )
        answers = aiter(stream)
        assert (await anext(answers)).HasField("started")
        for n in range(64):
            held.sandbox.planned[0].say(Printed("stdout", b"%03d" % n * 20_000))
            if n % 8 == 0:
                await asyncio.sleep(0.02)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [_ async for _ in answers]
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    events = task.watch("c-1")
    started = await anext(events)
    assert isinstance(started, CallStarted)
    assert started.missed_bytes >= 64 * 60_000 - KEPT
    held.sandbox.planned[0].let_go.set()
    assert (await task.wait("c-1")).outcome is Outcome.OK


async def test_hanging_up_on_a_watched_call_cancels_nothing(held: Served, task: AsyncTask) -> None:
    events = task.watch("c-1")
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert (await task.get("c-1")).state is CallState.RUNNING
    assert not held.sandbox.planned[0].killed


async def test_so_many_watch_a_call_and_a_seat_becomes_free_again(task: AsyncTask) -> None:
    seats = [task.watch("c-1") for _ in "ab"]
    for seat in seats:
        await anext(seat)
    assert await refusal(task, "c-1") is Reason.RATE_LIMITED
    await seats[0].aclose()  # type: ignore[attr-defined]

    async with asyncio.timeout(5):
        while await full(task):  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.05)


async def test_only_a_call_of_the_task_is_watched(held: Served, task: AsyncTask) -> None:
    assert await refusal(task, "c-2") is Reason.CALL_NOT_FOUND
    with pytest.raises(CallRefused):
        await task.call("greet", {"name": "Eve"}, call_id="c-3")
    assert await refusal(task, "c-3") is Reason.ARGUMENT_NOT_ALLOWED
    async with held.client() as broker:
        stranger = broker.task(task.id, "not-it")
        assert await refusal(stranger, "c-1") is Reason.TASK_NOT_FOUND


def use(address: str, task_id: str, token: str) -> list[str]:
    with Broker.connect(address) as broker:
        return [type(each).__name__ for each in broker.task(task_id, token).watch("c-1")]


async def test_a_blocking_client_watches_too(held: Served, task: AsyncTask) -> None:
    held.sandbox.planned[0].say(Printed("stdout", b"x"))
    watching = asyncio.create_task(asyncio.to_thread(use, held.unix, task.id, task.token))
    await asyncio.sleep(0.2)
    held.sandbox.planned[0].let_go.set()
    assert await watching == ["CallStarted", "CallLog", "CallEnd"]
