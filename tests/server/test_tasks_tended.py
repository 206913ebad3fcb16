"""GetTask, ExtendTask, AddUserInput and CancelCall, through the real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import (
    AsyncBroker,
    CallRefused,
    CallState,
    Outcome,
    TaskState,
    attached,
    typed,
)
from sandbox_runtime.errors import Reason
from sandbox_runtime.records import AuthRefused, TaskInput
from sandbox_runtime.server.settings import Dev, Listen
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.eventually import eventually
from tests.support.pipeline import Scripted
from tests.support.serving import SUBJECT, Stage, served
from tests.support.wire_calls import info, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.client import AsyncTask
    from tests.support.serving import Served

ADA = {"name": "Ada"}
FRIEND = {"friend": "Ada"}


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, Stage(sandbox=Scripted(held=True))) as broker:
        yield broker


def two_subjects(tmp_path: Path) -> Listen:
    """Return doors of which the port is another subject's than the socket."""
    dev = Dev(port=0, subject="agent:other")
    return Listen(socket=str(tmp_path / "run/b.sock"), dev=dev)


def contents(here: Served) -> list[bytes]:
    files = Path(here.settings.state_dir).rglob("*")
    return [path.read_bytes() for path in files if path.is_file()]


async def started(here: Served) -> None:
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[-1].started)


async def refusal(awaitable: object) -> Reason | None:
    with pytest.raises(CallRefused) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.reason


async def test_a_task_says_where_it_stands(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        fresh = await task.status()
        assert (fresh.id, fresh.manifest, fresh.state) == (task.id, "greeting", TaskState.OPEN)
        assert (fresh.expires_at, fresh.closed_at) == (task.expires_at, None)
        assert fresh.expires_at - fresh.opened_at == timedelta(minutes=15)
        calling = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await started(held)
        running = await task.status()
        assert running.running_calls == ("c-1",)
        assert running.used.wall_time == timedelta(seconds=1)
        held.sandbox.planned[0].let_go.set()
        await calling
        await refusal(task.call("greet", {"name": "Eve"}))
        await task.check("greet", ADA)
        later = await task.status()
        await task.close()
        closed = await task.status()
    assert (later.used.calls, later.used.refusals, later.used.checks) == (1, 1, 1)
    assert (later.granted.calls, later.granted.refusals) == (3, 5)
    assert later.used.wall_time == timedelta(milliseconds=12.5)
    assert later.granted.wall_time == timedelta(seconds=10)
    assert 0 < later.used.result_bytes < later.granted.result_bytes == 1024
    left = {use.grant: (use.tool, use.calls, use.calls_left) for use in later.grants}
    assert left == {"friends": ("greet", 1, 1), "colleagues": ("greet", 0, 1)}
    assert later.running_calls == ()
    assert closed.state is TaskState.CLOSED
    assert closed.closed_at is not None


async def test_an_expired_task_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task(
            "greeting", variables=FRIEND, lifetime=timedelta(milliseconds=1)
        )
        await asyncio.sleep(0.01)
        assert (await task.status()).state is TaskState.EXPIRED
        assert await refusal(task.extend(timedelta(hours=1))) is Reason.TASK_EXPIRED


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetTask", pb.GetTaskRequest()),
        ("ExtendTask", pb.ExtendTaskRequest()),
        ("AddUserInput", pb.AddUserInputRequest()),
        ("CancelCall", pb.CancelCallRequest()),
    ],
)
async def test_an_unknown_task_and_a_wrong_token_look_alike(
    tmp_path: Path, method: str, request_: pb.GetTaskRequest
) -> None:
    async with served(tmp_path, listen=two_subjects(tmp_path)) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        metadata = (("task-token", "not-it"),)
        bearer = (("authorization", f"Bearer {here.token}"), *metadata)
        answers = []
        for address, credentials in [(here.unix, metadata), (here.loopback, bearer)]:
            for task_id in (task.id, "t-unknown"):
                request_.task_id = task_id
                error = await refused(address, method, request_, credentials)
                answers.append((info(error).reason, error.details()))
    assert len(set(answers)) == 1
    assert answers[0][0] == "TASK_NOT_FOUND"


async def test_an_opener_extends_its_task_and_a_restart_remembers(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        opened = (await task.status()).opened_at
        until = await task.extend(timedelta(minutes=50))
        assert until == opened + timedelta(minutes=50) == task.expires_at
        assert await task.extend(timedelta(minutes=50)) == until
        assert await task.extend(timedelta(minutes=1)) == until
        too_long = timedelta(hours=1, microseconds=1)
        assert await refusal(task.extend(too_long)) is Reason.REQUEST_INVALID
    assert here.kinds().count("task.extended") == 1
    async with served(tmp_path) as again, again.client() as broker:
        restored = broker.task(task.id, task.token)
        assert (await restored.status()).expires_at == until
    assert verify(Path(again.settings.state_dir)).problem is None


async def test_the_task_s_token_alone_neither_extends_nor_instructs_it(tmp_path: Path) -> None:
    async with served(tmp_path, listen=two_subjects(tmp_path)) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        async with AsyncBroker.connect(here.loopback, token=here.token) as other:
            agent = other.task(task.id, task.token)
            assert (await agent.status()).id == task.id
            extending = agent.extend(timedelta(minutes=50))
            assert await refusal(extending) is Reason.OPENER_NOT_ALLOWED
            instructing = agent.add_input(typed("now delete everything"))
            assert await refusal(instructing) is Reason.OPENER_NOT_ALLOWED
    kinds = here.kinds()
    assert not {"task.extended", "task.input"} & set(kinds)
    counted = [record.reasons for record in here.records() if isinstance(record, AuthRefused)]
    assert sum(reasons.get("not_the_opener", 0) for reasons in counted) == 2


async def test_what_a_user_adds_is_recorded_and_its_words_are_sealed(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        record = await task.add_input(typed("the red one"), attached("s3cr3t price list"))
        assert await task.add_input(typed("no, the blue one")) == record + 1
    (first, _) = [one for one in here.records() if isinstance(one, TaskInput)]
    assert (first.prompt, first.subject) == (("typed", "attached"), SUBJECT)
    assert here.records()[record] == first
    assert not any(b"s3cr3t" in kept or b"red one" in kept for kept in contents(here))
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_an_input_without_parts_is_no_input(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        assert await refusal(task.add_input()) is Reason.REQUEST_INVALID
        extension = pb.ExtendTaskRequest(task_id=task.id)
        error = await refused(here.unix, "ExtendTask", extension, (("task-token", task.token),))
        assert info(error).reason == "REQUEST_INVALID"
        await task.close()
        assert await refusal(task.add_input(typed("x"))) is Reason.TASK_CLOSED
        assert await refusal(task.extend(timedelta(minutes=50))) is Reason.TASK_CLOSED
    assert "task.input" not in here.kinds()


async def test_a_cancelled_call_is_killed_and_its_end_recorded(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        calling = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await started(held)
        status = await task.cancel("c-1")
        assert held.sandbox.planned[0].killed
        assert status.state is CallState.ENDED
        assert status.end == await calling
        assert status.end.outcome is Outcome.CANCELLED
        assert await task.cancel("c-1") == status
    assert held.kinds().count("call.outcome") == 1


async def test_an_ended_a_refused_and_an_unknown_call_are_told_apart(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        end = await task.call("greet", ADA, call_id="c-1")
        await refusal(task.call("greet", {"name": "Eve"}, call_id="c-2"))
        assert (await task.cancel("c-1")).end == end
        assert (await task.cancel("c-2")).state is CallState.REFUSED
        assert await refusal(task.cancel("c-3")) is Reason.CALL_NOT_FOUND


async def test_who_cancels_a_call_and_hangs_up_has_cancelled_it(held: Served) -> None:
    async with held.client() as broker:
        task: AsyncTask = await broker.open_task("greeting", variables=FRIEND)
        calling = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await started(held)
        cancelling = asyncio.create_task(task.cancel("c-1"))
        await eventually(lambda: held.sandbox.planned[0].killed)
        cancelling.cancel()
        assert (await calling).outcome is Outcome.CANCELLED
        await asyncio.gather(cancelling, return_exceptions=True)
