"""Calls that run by themselves, through the real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import (
    Broker,
    BrokerUnavailable,
    CallCancelled,
    CallRefused,
    CallState,
    DeadlineExceeded,
    Outcome,
)
from sandbox_runtime.errors import Mender, Reason, Retry
from sandbox_runtime.server.settings import Calls
from tests.support.eventually import eventually
from tests.support.pipeline import Scripted
from tests.support.serving import Stage, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.serving import Served

AT_ONCE = timedelta(milliseconds=1)
ADA = {"name": "Ada"}
FRIEND = {"friend": "Ada"}


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, Stage(sandbox=Scripted(held=True)), drain=AT_ONCE) as broker:
        yield broker


async def started(here: Served) -> None:
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[-1].started)


async def test_a_detached_call_is_answered_for_once_it_is_decided(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        status = await task.call("greet", ADA, detach=True)
        assert (status.state, status.end) == (CallState.RUNNING, None)
        assert held.kinds()[-2:] == ["call.decided", "call.intent"]
        await started(held)
        waiting = asyncio.create_task(task.wait(status.call_id))
        held.sandbox.planned[0].let_go.set()
        end = await waiting
    assert (end.outcome, end.result) == (Outcome.OK, {"greeting": "hello"})


async def test_a_detached_call_lives_on_when_its_client_is_gone(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.call("greet", ADA, call_id="c-1", detach=True)
    await started(held)
    assert not held.sandbox.planned[0].killed
    async with held.client() as restarted:
        same = restarted.task(task.id, task.token)
        assert (await same.status()).running_calls == ("c-1",)
        again = await same.call("greet", ADA, call_id="c-1", detach=True)
        assert again.state is CallState.RUNNING
        held.sandbox.planned[0].let_go.set()
        end = await same.wait("c-1", timeout=5)
        assert end.outcome is Outcome.OK
        assert (await same.call("greet", ADA, call_id="c-1", detach=True)).end == end
    assert len(held.sandbox.planned) == 1


async def test_a_running_call_can_be_detached_from_its_stream(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        other = held.client()
        calling = asyncio.create_task(
            other.task(task.id, task.token).call("greet", ADA, call_id="c-1")
        )
        await started(held)
        await task.call("greet", ADA, call_id="c-1", detach=True)
        await other.close()
        with pytest.raises((CallCancelled, BrokerUnavailable, asyncio.CancelledError)):
            await calling
        held.sandbox.planned[0].let_go.set()
        assert (await task.wait("c-1")).outcome is Outcome.OK


async def test_who_detaches_a_call_and_hangs_up_while_it_is_decided_has_asked(
    held: Served,
) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        asking = asyncio.create_task(task.call("greet", ADA, call_id="c-1", detach=True))
        await eventually(lambda: held.sandbox.planned)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        held.sandbox.planned[0].let_go.set()
        assert (await task.wait("c-1")).outcome is Outcome.OK


async def test_a_detached_call_is_cancelled_by_name_and_with_its_task(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        for call_id in ("c-1", "c-2"):
            await task.call("greet", ADA, call_id=call_id, detach=True)
        await task.cancel("c-1")
        assert await task.close() == 1
        for call_id in ("c-1", "c-2"):
            assert (await task.wait(call_id)).outcome is Outcome.CANCELLED


async def test_a_refused_call_is_refused_detached_or_not(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        with pytest.raises(CallRefused) as told:
            await task.call("greet", {"name": "Eve"}, call_id="c-1", detach=True)
        with pytest.raises(CallRefused) as waited:
            await task.wait("c-1")
        with pytest.raises(CallRefused) as unknown:
            await task.wait("c-2")
    assert told.value.reason is waited.value.reason is Reason.ARGUMENT_NOT_ALLOWED
    assert (waited.value.pointer, waited.value.mender) == ("/name", Mender.AGENT)
    assert unknown.value.reason is Reason.CALL_NOT_FOUND


async def test_waiting_has_an_end_and_the_call_has_not(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.call("greet", ADA, call_id="c-1", detach=True)
        with pytest.raises(DeadlineExceeded):
            await task.wait("c-1", timeout=0.1)
        assert (await task.get("c-1")).state is CallState.RUNNING


async def test_so_many_calls_run_by_themselves_and_one_more_is_not_recorded(
    tmp_path: Path,
) -> None:
    stage = Stage(sandbox=Scripted(held=True))
    async with served(tmp_path, stage, calls=Calls(detached=1)) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.call("greet", ADA, call_id="c-1", detach=True)
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", ADA, call_id="c-2", detach=True)
        assert (caught.value.reason, caught.value.retry) == (Reason.RATE_LIMITED, Retry.LATER)
        assert here.kinds().count("call.decided") == 1
        attached = asyncio.create_task(task.call("greet", ADA, call_id="c-2"))
        await eventually(lambda: len(stage.sandbox.planned) == 2)
        with pytest.raises(CallRefused):
            await task.call("greet", ADA, call_id="c-2", detach=True)
        for container in stage.sandbox.planned:
            container.let_go.set()
        await task.wait("c-1")
        assert (await attached).ok
        assert (await task.call("greet", ADA, call_id="c-2", detach=True)).end is not None


def use(address: str) -> None:
    """Do with a blocking client what the tests above do."""
    with Broker.connect(address) as broker, broker.open_task("greeting", variables=FRIEND) as task:
        status = task.call("greet", ADA, detach=True)
        end = task.wait(status.call_id, timeout=10)
        assert end.outcome is Outcome.OK
        assert task.cancel(status.call_id).end == end
        assert task.status().used.calls == 1
        assert task.extend(end.wall_time * 100_000) == task.expires_at


async def test_a_blocking_client_detaches_waits_and_cancels_too(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        await asyncio.to_thread(use, here.unix)
    assert verify(Path(here.settings.state_dir)).problem is None
