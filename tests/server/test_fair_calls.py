"""Calls that wait for a permit, through the real server and a real log."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.admission import Admission
from sandbox_runtime.client import (
    BrokerUnavailable,
    CallCancelled,
    CallRefused,
    CallState,
    DeadlineExceeded,
)
from sandbox_runtime.errors import Reason, Retry
from sandbox_runtime.records import CallIntent
from sandbox_runtime.server import join
from sandbox_runtime.server.settings import Calls
from tests.support.eventually import eventually
from tests.support.manifests import SOURCES, TASK
from tests.support.pipeline import Scripted
from tests.support.serving import Stage, served, write_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.client import AsyncBroker, AsyncTask
    from tests.support.serving import Served

ADA = {"name": "Ada"}
ONE = Calls(running=1, queued=4, queued_per_task=2)


@pytest.fixture(autouse=True)
def admissions(monkeypatch: pytest.MonkeyPatch) -> list[Admission]:
    """Return the admission of each broker of the test, which nothing shows from outside."""
    made: list[Admission] = []

    def make(**given: Any) -> Admission:  # noqa: ANN401 - whatever a broker gives
        made.append(Admission(**given))
        return made[-1]

    monkeypatch.setattr(join, "Admission", make)
    return made


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, Stage(sandbox=Scripted(held=True)), calls=ONE) as broker:
        yield broker


@pytest.fixture
async def client(here: Served) -> AsyncIterator[AsyncBroker]:
    async with here.client() as broker:
        yield broker


async def opened(client: AsyncBroker) -> AsyncTask:
    return await client.open_task("greeting", variables={"friend": "Ada"})


async def busy(here: Served, client: AsyncBroker) -> asyncio.Task[object]:
    """Take the one permit."""
    task = await opened(client)
    calling = asyncio.create_task(task.call("greet", ADA, call_id="busy"))
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
    return calling


async def waits(admissions: list[Admission], count: int) -> None:
    """Return once so many calls wait. Nothing of them is recorded, so the log cannot say it."""
    await eventually(lambda: admissions[-1].queued == count)


async def test_a_call_that_waits_leaves_no_word_in_the_log_until_it_may_run(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    task = await opened(client)
    second = asyncio.create_task(task.call("greet", ADA, call_id="second"))
    await waits(admissions, 1)
    assert here.kinds().count("call.decided") == 1
    here.sandbox.planned[0].let_go.set()
    await first
    await eventually(lambda: len(here.sandbox.planned) == 2)
    here.sandbox.planned[1].let_go.set()
    assert (await second).ok
    outcome = here.kinds().index("call.closed")
    assert outcome < [i for i, k in enumerate(here.kinds()) if k == "call.decided"][1]


async def test_a_full_queue_refuses_at_once_with_a_hint_and_records_nothing(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    task = await opened(client)
    waiting = [asyncio.create_task(task.call("greet", ADA)) for _ in range(2)]
    await waits(admissions, 2)
    with pytest.raises(CallRefused) as caught:
        await task.call("greet", ADA)
    assert caught.value.reason is Reason.QUEUE_FULL
    assert caught.value.retry is Retry.LATER
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= timedelta(seconds=1)
    assert "the task's queue" in caught.value.problem
    assert (await task.status()).used.calls == 0, "whose queue is full may still look"
    assert here.kinds().count("call.decided") == 1
    for each in (first, *waiting):
        each.cancel()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    await waits(admissions, 0)


async def test_who_hangs_up_while_waiting_leaves_neither_record_nor_container(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    task = await opened(client)
    with pytest.raises(DeadlineExceeded):
        await task.call("greet", ADA, call_id="late", timeout=0.3)
    leaving = asyncio.create_task(task.call("greet", ADA, call_id="gone"))
    await waits(admissions, 1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await waits(admissions, 0)
    here.sandbox.planned[0].let_go.set()
    await first
    await eventually(lambda: admissions[-1].held == 0)
    assert len(here.sandbox.planned) == 1
    for call_id in ("late", "gone"):
        with pytest.raises(CallRefused) as caught:
            await task.get(call_id)
        assert caught.value.reason is Reason.CALL_NOT_FOUND


async def test_a_waiting_call_is_withdrawn_by_its_id(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    task = await opened(client)
    waiting = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
    await waits(admissions, 1)
    with pytest.raises(CallRefused) as caught:
        await task.cancel("c-1")
    assert caught.value.reason is Reason.CALL_NOT_FOUND
    with pytest.raises(CallCancelled):
        await waiting
    assert here.kinds().count("call.decided") == 1
    here.sandbox.planned[0].let_go.set()
    await first


async def test_closing_a_task_sends_its_waiting_calls_away(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    task = await opened(client)
    waiting = asyncio.create_task(task.call("greet", ADA))
    await waits(admissions, 1)
    await task.close()
    with pytest.raises(CallRefused) as caught:
        await waiting
    assert caught.value.reason is Reason.TASK_CLOSED
    here.sandbox.planned[0].let_go.set()
    await first


async def test_waiting_ends_with_the_task_s_time_unless_that_is_extended(
    here: Served, client: AsyncBroker, admissions: list[Admission]
) -> None:
    first = await busy(here, client)
    brief, longer = [
        await client.open_task(
            "greeting", variables={"friend": "Ada"}, lifetime=timedelta(seconds=1)
        )
        for _ in range(2)
    ]
    waiting = asyncio.create_task(brief.call("greet", ADA))
    extended = asyncio.create_task(longer.call("greet", ADA))
    await waits(admissions, 2)
    await longer.extend(timedelta(minutes=5))
    with pytest.raises(CallRefused) as caught:
        await waiting
    assert caught.value.reason is Reason.TASK_EXPIRED
    assert not extended.done()
    assert here.kinds().count("call.decided") == 1
    here.sandbox.planned[0].let_go.set()
    await first
    await eventually(lambda: len(here.sandbox.planned) == 2)
    here.sandbox.planned[1].let_go.set()
    assert (await extended).ok


async def test_a_stop_refuses_what_waits_and_lets_end_what_runs(
    tmp_path: Path, admissions: list[Admission]
) -> None:
    stage = Stage(sandbox=Scripted(held=True))
    async with served(tmp_path, stage, calls=ONE) as here, here.client() as client:
        first = await busy(here, client)
        task = await opened(client)
        waiting = asyncio.create_task(task.call("greet", ADA, timeout=1))
        await waits(admissions, 1)
        stopping = asyncio.create_task(here.stop())
        with pytest.raises((BrokerUnavailable, DeadlineExceeded)):
            await waiting
        here.sandbox.planned[0].let_go.set()
        await first
        await stopping
    assert here.kinds().count("call.decided") == 1
    assert here.kinds()[-1] == "operator.stopped"


async def test_a_call_that_is_refused_gives_its_permit_back(
    client: AsyncBroker, admissions: list[Admission]
) -> None:
    task = await opened(client)
    for _ in range(2):
        with pytest.raises(CallRefused):
            await task.call("greet", {"name": "Eve"})
    await eventually(lambda: admissions[-1].held == 0)


async def test_a_call_sent_again_waits_for_no_permit(here: Served, client: AsyncBroker) -> None:
    task = await opened(client)
    calls = [asyncio.create_task(task.call("greet", ADA, call_id="c-1")) for _ in range(1)]
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
    calls.append(asyncio.create_task(task.call("greet", ADA, call_id="c-1")))
    status = await task.call("greet", ADA, call_id="c-1", detach=True)
    assert status.state is CallState.RUNNING
    here.sandbox.planned[0].let_go.set()
    ends = await asyncio.gather(*calls)
    assert ends[0] == ends[1]


async def test_who_has_too_much_in_progress_is_told_so_and_may_go_on_after_an_answer(
    tmp_path: Path,
) -> None:
    few = Calls(running=1, queued_per_subject=0)
    stage = Stage(sandbox=Scripted(held=True))
    async with served(tmp_path, stage, calls=few) as here, here.client() as client:
        task = await opened(client)
        joined = [asyncio.create_task(task.call("greet", ADA, call_id="c-1"))]
        await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
        joined += [
            asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
            for _ in range(few.requests())
        ]
        await eventually(lambda: any(each.done() for each in joined))
        here.sandbox.planned[0].let_go.set()
        ends = await asyncio.gather(*joined, return_exceptions=True)
        (refused,) = [end for end in ends if isinstance(end, BaseException)]
        assert isinstance(refused, CallRefused)
        assert refused.reason is Reason.RATE_LIMITED
        assert refused.retry_after is not None
        assert (await task.status()).running_calls == ()


async def test_two_hundred_calls_share_few_permits_fairly(
    tmp_path: Path, admissions: list[Admission]
) -> None:
    many = TASK.replace("max_calls: 2", "max_calls: 200").replace(
        "calls: 3, wall_time: 10s, result_bytes: 1Ki", "calls: 200, wall_time: 1h"
    )
    tree = write_tree(tmp_path / "many", {**SOURCES, "tasks/greeting.yaml": many})
    calls = Calls(running=4, queued=400, queued_per_subject=400, queued_per_task=400)
    stage = Stage(sandbox=Scripted(held=True))
    async with (
        served(tmp_path, stage, calls=calls, manifests=str(tree)) as here,
        here.client() as client,
    ):
        greedy = await opened(client)
        sent = [asyncio.create_task(greedy.call("greet", ADA)) for _ in range(190)]
        await waits(admissions, 186)
        small = [await opened(client) for _ in range(10)]
        sent += [asyncio.create_task(task.call("greet", ADA)) for task in small]
        await waits(admissions, 196)
        while not all(each.done() for each in sent):
            assert admissions[-1].held <= 4
            for container in here.sandbox.planned:
                container.let_go.set()
            await asyncio.sleep(0.01)
        ends = [await each for each in sent]
    assert all(end.ok for end in ends)
    order = [record.task for record in here.records() if isinstance(record, CallIntent)]
    assert len(order) == 200
    places = [order.index(task.id) for task in small]
    assert max(places) < 4 + 2 * 11, places
