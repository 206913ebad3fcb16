"""AuditService, through the real server: exact, narrowed, the auditor's alone."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from sandbox_runtime.client import (
    AsyncAuditor,
    Auditor,
    BodyState,
    BrokerUnavailable,
    CallRefused,
    RecordFilter,
)
from sandbox_runtime.errors import Reason
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import LogSettings
from sandbox_runtime.ledger import SYSTEM
from sandbox_runtime.records import bodies as bodies_of
from sandbox_runtime.records import parse
from sandbox_runtime.server import join
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.settings import Audit, Dev, Listen
from sandbox_runtime.v1 import audit_pb2 as pb
from tests.support.commands import document
from tests.support.serving import SUBJECT, served
from tests.support.wire_calls import info, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.client import AsyncTask, StoredRecord
    from tests.support.serving import Served

FRIEND = {"friend": "Ada"}
AUDIT = "/sandbox_runtime.v1.AuditService/"
LATER = "2099-01-01"


def serving(tmp_path: Path, **changes: Any) -> Any:  # noqa: ANN401 - a context manager
    auditor = Dev(port=0, subject="person:auditor", roles=(Role.AUDITOR,))
    listen = Listen(socket=str(tmp_path / "run/b.sock"), dev=auditor)
    return served(tmp_path, listen=listen, **changes)


def auditing(here: Served) -> AsyncAuditor:
    return AsyncAuditor.connect(here.loopback, token=here.token)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as broker:
        yield broker


async def busy(here: Served) -> AsyncTask:
    """Have an agent be permitted, refused, and refused by its manifest."""
    async with here.client() as broker:
        task = await broker.open_task("greeting", variables=FRIEND)
        await task.call("greet", {"name": "Ada"}, call_id="fine")
        for arguments in ({"name": "Bob"}, {"name": "Ada", "times": 99}):
            with pytest.raises(CallRefused):
                await task.call("greet", arguments)
        other = await broker.open_task("greeting", variables=FRIEND)
        await other.close()
    return task


async def read(here: Served, wanted: RecordFilter, **how: Any) -> list[StoredRecord]:  # noqa: ANN401
    async with auditing(here) as auditor:
        return [record async for record in auditor.query(wanted, **how)]


async def why(asked: Any) -> Reason | None:  # noqa: ANN401 - whatever it would answer
    with pytest.raises(CallRefused) as caught:
        await asked
    return caught.value.reason


async def test_leaves_come_exactly_as_they_are_stored(here: Served) -> None:
    await busy(here)
    stored = list(layout.reader(Path(here.settings.state_dir)).read())
    told = await read(here, RecordFilter())
    assert [(one.sequence, one.leaf) for one in told] == stored
    assert all(one.body is None for one in told)


async def test_an_agent_reads_nothing_even_of_its_own_task(here: Served) -> None:
    task = await busy(here)
    metadata = (("task-token", task.token),)
    for method, request in (
        ("Query", pb.QueryRequest()),
        ("Query", pb.QueryRequest(filter=pb.RecordFilter(task=task.id))),
        ("Tail", pb.TailRequest(first=0)),
    ):
        error = await refused(here.unix, AUDIT + method, request, metadata)
        assert info(error).reason == Reason.ROLE_MISSING
    error = await refused(here.loopback, AUDIT + "Query", pb.QueryRequest())
    assert info(error).reason == Reason.UNAUTHENTICATED


async def test_an_auditor_does_nothing_but_read(here: Served) -> None:
    token = ("authorization", f"Bearer {here.token}")
    error = await refused(here.loopback, "OpenTask", b"", (token,))
    assert info(error).reason == Reason.ROLE_MISSING


async def test_a_query_takes_what_log_list_takes(here: Served) -> None:
    task = await busy(here)
    since = datetime.now(UTC) - timedelta(minutes=5)
    future = datetime.fromisoformat(LATER).replace(tzinfo=UTC)
    for wanted, words in (
        (RecordFilter(task=task.id), ("--task", task.id)),
        (RecordFilter(call="fine"), ("--call", "fine")),
        (RecordFilter(subject=SUBJECT), ("--subject", SUBJECT)),
        (RecordFilter(tool="greet"), ("--tool", "greet")),
        (RecordFilter(permitted=True), ("--verdict", "permitted")),
        (RecordFilter(permitted=False), ("--verdict", "refused")),
        (RecordFilter(reason="ARGUMENT_NOT_ALLOWED"), ("--reason", "ARGUMENT_NOT_ALLOWED")),
        (RecordFilter(reason="schema.maximum"), ("--reason", "schema.maximum")),
        (RecordFilter(outcome="OK"), ("--outcome", "OK")),
        (RecordFilter(kinds=("task.opened",)), ("--kind", "task.opened")),
        (RecordFilter(since=since, task=task.id), ("--since", "5m", "--task", task.id)),
        (RecordFilter(until=since), ("--until", "5m")),
        (RecordFilter(since=future), ("--since", LATER)),
        (RecordFilter(task=task.id, permitted=True, tool="none"), ("--tool", "none")),
    ):
        code, listed = document("log", "list", "--state", here.settings.state_dir, *words)
        expected = [one["sequence"] for one in listed["records"]]
        assert code == 0
        assert [one.sequence for one in await read(here, wanted)] == expected, wanted
    both = await read(here, RecordFilter(kinds=("task.opened", "task.closed")))
    assert [one.fields["kind"] for one in both] == ["task.opened"] * 2 + ["task.closed"]


async def test_the_commands_list_over_the_wire_what_they_list_beside_the_files(
    here: Served,
) -> None:
    await busy(here)
    remote = ("--connect", here.loopback, "--token", here.token)
    for words in (("log", "list"), ("log", "list", "--verdict", "refused", "--last", "1")):
        beside = await asyncio.to_thread(document, *words, "--state", here.settings.state_dir)
        assert await asyncio.to_thread(document, *words, *remote) == beside
    as_agent = await asyncio.to_thread(document, "log", "list", "--connect", here.unix)
    assert (as_agent[0], as_agent[1]["reason"]) == (1, Reason.ROLE_MISSING)


async def test_bodies_come_exactly_and_only_when_asked_for(here: Served) -> None:
    await busy(here)
    bodies = layout.bodies(Path(here.settings.state_dir))
    for one in await read(here, RecordFilter(), bodies=True):
        record = parse(one.leaf)
        expected = [bodies.open(getattr(record, "task", SYSTEM), ref) for ref in bodies_of(record)]
        told = [one.body.text] if one.body is not None else []
        assert told == expected
    decisions = await read(here, RecordFilter(kinds=("call.decided",)), bodies=True)
    assert decisions[0].body is not None
    assert json.loads(decisions[0].body.text)["text"] == '{"name":"Ada"}'


async def test_an_erased_task_s_bodies_are_gone_and_its_leaves_are_not(here: Served) -> None:
    task = await busy(here)
    Keys.open(layout.keys_directory(Path(here.settings.state_dir))).destroy(task.id)
    told = await read(here, RecordFilter(task=task.id), bodies=True)
    assert len(told) == 7
    states = {one.body.state for one in told if one.body is not None}
    assert states == {BodyState.ERASED}
    assert all(one.body.text == b"" for one in told if one.body is not None)


async def test_pages_join_without_a_gap_or_a_repetition(here: Served) -> None:
    await busy(here)
    whole = [one.sequence for one in await read(here, RecordFilter())]
    async with auditing(here) as auditor:
        seen: list[int] = []
        place = ""
        for _ in itertools.count():
            page = await auditor.page(limit=2, page=place)
            seen += [one.sequence for one in page.records]
            if not (place := page.next):
                break
        later = [one.sequence async for one in auditor.query(first=5)]
    assert seen == whole
    assert later == whole[5:]


@pytest.mark.parametrize(
    "request_",
    [
        pb.QueryRequest(limit=1001),
        pb.QueryRequest(page_token="next"),  # noqa: S106 - of a page
        pb.QueryRequest(page_token="-1"),  # noqa: S106 - of a page
        pb.QueryRequest(first=2**63),
        pb.QueryRequest(filter=pb.RecordFilter(task="t" * 300)),
        pb.QueryRequest(filter=pb.RecordFilter(kinds=["k"] * 65)),
        pb.QueryRequest(filter=pb.RecordFilter(verdict=7)),  # type: ignore[arg-type]
        b"\x98\x06\x01",
    ],
)
async def test_a_wish_that_cannot_be_read_is_refused(here: Served, request_: Any) -> None:  # noqa: ANN401
    token = ("authorization", f"Bearer {here.token}")
    error = await refused(here.loopback, AUDIT + "Query", request_, (token,))
    assert info(error).reason == Reason.REQUEST_INVALID


async def test_a_tail_follows_over_rotations_while_the_broker_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = LogSettings(segment_bytes=4096)
    monkeypatch.setattr(join, "_log_settings", lambda _: small)
    async with serving(tmp_path) as here:
        async with auditing(here) as auditor, aclosing(auditor.tail(first=0)) as coming:
            working = asyncio.gather(*(busy(here) for _ in range(12)))
            seen: list[StoredRecord] = []
            async with asyncio.timeout(30):
                async for one in coming:
                    seen.append(one)
                    if working.done() and len(seen) == stored_now(here):
                        break
            await working
        segments = list((Path(here.settings.state_dir) / "log" / "log").glob("*.seg"))
        stored = list(layout.reader(Path(here.settings.state_dir)).read())
    assert len(segments) > 3
    assert [(one.sequence, one.leaf) for one in seen] == stored[: len(seen)]
    assert len(seen) > 100


def stored_now(here: Served) -> int:
    return sum(1 for _ in layout.reader(Path(here.settings.state_dir)).read())


async def test_a_tail_begins_with_what_is_to_come_and_takes_what_is_wanted(here: Served) -> None:
    await busy(here)
    refusals = RecordFilter(permitted=False)
    async with auditing(here) as auditor, aclosing(auditor.tail(refusals)) as coming:
        first = asyncio.ensure_future(anext(coming))
        await asyncio.sleep(0.3)  # it begins where the log ends when it arrives
        before = stored_now(here)
        await busy(here)
        one = await asyncio.wait_for(first, 10)
    assert one.sequence >= before
    assert one.fields["permitted"] is False


async def test_a_tail_goes_on_where_an_earlier_one_was_cut(here: Served) -> None:
    await busy(here)
    async with auditing(here) as auditor:
        async with aclosing(auditor.tail(first=0)) as coming:
            seen = [await anext(coming) for _ in range(4)]
        async with aclosing(auditor.tail(first=seen[-1].sequence + 1)) as coming:
            seen += [await anext(coming) for _ in range(4)]
    assert [one.sequence for one in seen] == list(range(8))


async def test_who_does_not_read_is_cut_off_and_the_broker_works_on(tmp_path: Path) -> None:
    soon = timedelta(milliseconds=200)
    async with serving(tmp_path, patience=soon, audit=Audit(tails=1)) as here:
        await busy(here)
        options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024))
        token = (("authorization", f"Bearer {here.token}"),)
        async with grpc.aio.insecure_channel(here.loopback, options) as channel:
            tail: Any = channel.unary_stream(AUDIT + "Tail")
            asked = pb.TailRequest(first=0, include_bodies=True).SerializeToString()
            stalled = tail(asked, metadata=token)
            await stalled.read()
            async with auditing(here) as auditor:
                others = auditor.tail(first=0)
                assert await why(anext(others)) is Reason.RATE_LIMITED
                until = time.monotonic() + 20
                await busy_until_free(here, auditor, until)
            stalled.cancel()


async def busy_until_free(here: Served, auditor: AsyncAuditor, until: float) -> None:
    while time.monotonic() < until:
        await busy(here)
        async with aclosing(auditor.tail(first=0)) as coming:
            try:
                await anext(coming)
            except CallRefused:
                continue
            return
    raise TimeoutError


async def test_a_broker_that_stops_says_so_to_who_follows(tmp_path: Path) -> None:
    async with serving(tmp_path) as here, auditing(here) as auditor:
        coming = auditor.tail(first=0)
        await anext(coming)
        with pytest.raises(BrokerUnavailable) as caught:
            await asyncio.gather(here.stop(), drained(coming))
    assert caught.value.reason is Reason.DRAINING


async def drained(coming: AsyncIterator[StoredRecord]) -> None:
    async for _ in coming:
        pass


def use(address: str, token: str) -> tuple[list[int], int]:
    with Auditor.connect(address, token=token) as auditor:
        listed = [one.sequence for one in auditor.query(RecordFilter(permitted=True))]
        return listed, next(auditor.tail(first=listed[0])).sequence


async def test_a_blocking_client_reads_too(here: Served) -> None:
    await busy(here)
    listed, first = await asyncio.to_thread(use, here.loopback, here.token)
    assert listed == [first]
