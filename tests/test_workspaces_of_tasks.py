"""A task's files live as long as the task, and one call has them at a time."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime import entries, records
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import Reason, Refusal, SandboxUnavailable
from sandbox_runtime.ledger import Live
from sandbox_runtime.workspaces import Workspace
from tests.support.manifests import MINUTE, SOURCES, TASK, TOOL, propose
from tests.support.pipeline import Scripted, Stage, on_stage, until
from tests.support.traces import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.broker import CallEnd

WRITER = TOOL.replace("name: greet,", "name: write,").replace(
    "  result:", "  workspace: read_write\n  result:"
)
KEEPER = TOOL.replace("name: greet,", "name: hold,").replace(
    "  result:", "  workspace: {mount: read_write, asked_by: [note]}\n  result:"
)
WRITES = """\
    - id: writing
      tool: write
      why: to leave word
      max_calls: 10
      arguments: {name: {}, times: {}}
    - id: holding
      tool: hold
      why: to leave word, now and then
      max_calls: 10
      arguments: {name: {}, times: {}}
"""
FILES = {
    **SOURCES,
    "write/tool.yaml": WRITER,
    "hold/tool.yaml": KEEPER,
    "tasks/greeting.yaml": TASK.replace(
        "  grants:\n", f"  workspace: {{size: 1Mi, inodes: 64}}\n  grants:\n{WRITES}"
    ).replace("calls: 3, wall_time: 10s", "calls: 20, wall_time: 60s"),
}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A broker whose containers hold; nothing of its workspaces is left."""
    async with on_stage(tmp_path, Scripted(held=True), FILES) as stage:
        yield stage
        for live in stage.ledger.tasks():
            await stage.broker.close_task(live, "agent:tests")
    assert traces(tmp_path) == []


async def _of(stage: Stage, live: Live) -> Workspace:
    workspace = await stage.housing.of(live)
    assert workspace is not None
    return workspace


def _call(stage: Stage, live: Live, call_id: str, tool: str = "write") -> asyncio.Task[CallEnd]:
    call = propose('{"name": "Ada"}', tool=tool, call_id=call_id)
    return asyncio.create_task(stage.broker.call_tool(live, call))


def _started(stage: Stage) -> list[bool]:
    return [container.started for container in stage.sandbox.planned]


async def test_a_task_has_its_files_when_it_is_open_and_the_log_says_which(stage: Stage) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    assert live.task.state.workspace == workspace.allotment
    opened = [record for record in stage.records() if isinstance(record, records.TaskOpened)]
    assert [record.workspace for record in opened] == [workspace.allotment]
    assert workspace.allotment.size >= 1 << 20


async def test_calls_that_work_on_files_run_one_by_one_and_others_meanwhile(stage: Stage) -> None:
    live = await stage.open_task()
    first = _call(stage, live, "c-1")
    await until(lambda: _started(stage) == [True])
    second, other = _call(stage, live, "c-2"), _call(stage, live, "c-3", tool="greet")
    await until(lambda: _started(stage) == [True, True])
    stage.sandbox.planned[1].let_go.set()
    await other
    assert _started(stage) == [True, True]
    stage.sandbox.planned[0].let_go.set()
    await first
    await until(lambda: _started(stage) == [True, True, True])
    stage.sandbox.planned[2].let_go.set()
    assert (await second).checked.outcome is Outcome.OK


async def test_of_a_tool_that_may_ask_only_the_calls_that_do_wait_for_the_files(
    stage: Stage,
) -> None:
    def hold(call_id: str, note: str = "") -> asyncio.Task[CallEnd]:
        call = propose(json.dumps({"name": "Ada", "note": note}), tool="hold", call_id=call_id)
        return asyncio.create_task(stage.broker.call_tool(live, call))

    live = await stage.open_task()
    calls = [_call(stage, live, "c-1")]
    await until(lambda: _started(stage) == [True])
    calls.append(hold("c-2", note="x"))
    await until(lambda: len(live.running) == 2)
    calls += [hold("c-3"), hold("c-4")]
    await until(lambda: _started(stage) == [True, False, True, True])
    assert [one.workspace is not None for one in stage.sandbox.planned] == [
        True,
        True,
        False,
        False,
    ]
    stage.sandbox.planned[0].let_go.set()
    await until(lambda: all(_started(stage)))
    for container in stage.sandbox.planned:
        container.let_go.set()
    assert {(await call).checked.outcome for call in calls} == {Outcome.OK}
    intents = [record for record in stage.records() if isinstance(record, records.CallIntent)]
    assert [one.workspace for one in intents] == ["read_write", "read_write", None, None]


async def test_a_log_in_which_a_call_has_files_of_a_task_that_has_none_is_not_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying(*given: Any, at: int) -> records.CallIntent:  # noqa: ANN401 - as `intent` takes
        return intent(*given, at=at).model_copy(update={"workspace": "read_only"})

    intent = entries.intent
    monkeypatch.setattr(entries, "intent", lying)
    async with on_stage(tmp_path) as stage:
        await stage.broker.call_tool(await stage.open_task(), propose('{"name": "Ada"}'))
    problem = verify(tmp_path).problem
    assert problem is not None
    assert problem.what == "the call works on files, and its task has none"


async def test_the_next_one_waits_until_the_engine_has_closed_the_one_before(stage: Stage) -> None:
    live = await stage.open_task()
    stage.sandbox.closing = asyncio.Event()
    first = _call(stage, live, "c-1")
    await until(lambda: _started(stage) == [True])
    second = _call(stage, live, "c-2")
    stage.sandbox.planned[0].let_go.set()
    await first
    await asyncio.sleep(0.05)
    assert _started(stage) == [True]
    stage.sandbox.closing.set()
    await until(lambda: _started(stage) == [True, True])
    stage.sandbox.planned[1].let_go.set()
    await second


async def test_a_call_that_is_cancelled_while_the_host_has_the_files_pays_no_time(
    stage: Stage,
) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    async with workspace.turn():
        call = _call(stage, live, "c-1")
        await until(lambda: len(live.running) == 1)
        await asyncio.sleep(0.02)
        await stage.broker.cancel_call(live, "c-1", "agent:tests")
        end = await call
        assert (end.checked.outcome, end.wall_ms) == (Outcome.CANCELLED, 0.0)
        assert _started(stage) == [False]
    async with workspace.turn():
        pass


async def test_a_call_has_no_more_time_than_its_task_when_its_turn_comes(stage: Stage) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    async with workspace.turn():
        call = _call(stage, live, "c-1")
        await until(lambda: len(live.running) == 1)
        stage.clock.at = live.task.state.expires_at - MINUTE
    await until(lambda: _started(stage) == [True])
    stage.sandbox.planned[0].let_go.set()
    await call
    most_ms = stage.sandbox.planned[0].most_ms
    assert most_ms is not None
    assert 59_000 < most_ms <= 60_000


async def test_a_task_that_ends_while_a_call_waits_does_not_run_it(stage: Stage) -> None:
    live = await stage.open_task()
    first = _call(stage, live, "c-1")
    await until(lambda: _started(stage) == [True])
    second = _call(stage, live, "c-2")
    await asyncio.sleep(0.02)
    await stage.broker.close_task(live, "agent:tests")
    assert (await first).checked.outcome is Outcome.CANCELLED
    with pytest.raises(Refusal) as refused:
        await second
    assert refused.value.why is Reason.TASK_CLOSED
    assert _started(stage) == [True]


async def test_the_host_waits_for_its_turn_as_a_call_does(stage: Stage) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    async with workspace.turn() as root:
        (root / "theirs").write_text("by the host")
        call = _call(stage, live, "c-1")
        await until(lambda: len(live.running) == 1)
        await asyncio.sleep(0.02)
        assert _started(stage) == [False]
    await until(lambda: _started(stage) == [True])
    stage.sandbox.planned[0].let_go.set()
    await call


async def test_after_closing_nothing_is_mounted_and_the_log_says_so(
    stage: Stage, tmp_path: Path
) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    (workspace.root / "a").write_text("x")
    assert traces(tmp_path)
    await stage.broker.close_task(live, "agent:tests")
    assert traces(tmp_path) == []
    assert list((tmp_path / "workspaces").iterdir()) == []
    assert stage.records()[-1].kind == "workspace.removed"
    assert await stage.housing.of(live) is None


async def test_after_expiry_its_files_are_removed_though_nobody_closed_it(
    stage: Stage, tmp_path: Path
) -> None:
    live = await stage.open_task()
    await stage.housing.tidy()
    assert await stage.housing.of(live) is not None
    stage.clock.at += 16 * MINUTE
    await stage.housing.tidy()
    assert traces(tmp_path) == []
    assert live.task.state.workspace is None


async def test_whoever_waited_for_files_that_are_gone_is_told(stage: Stage) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    await workspace.enter()
    ending = asyncio.create_task(stage.housing.end(live))
    for _ in range(10):
        await asyncio.sleep(0)
    late = asyncio.create_task(workspace.enter())
    await asyncio.sleep(0)
    workspace.leave()
    await ending
    with pytest.raises(SandboxUnavailable, match="gone"):
        await late


async def test_files_in_use_keep_nobody_waiting_and_go_when_they_can(
    stage: Stage, tmp_path: Path
) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    with (workspace.root / "a").open("w"):
        await stage.broker.close_task(live, "agent:tests")
        assert live.task.state.workspace is not None
        assert traces(tmp_path)
    await stage.housing.tidy()
    assert live.task.state.workspace is None


async def test_a_task_whose_files_cannot_be_had_is_not_opened(tmp_path: Path) -> None:
    async with on_stage(tmp_path, sources=FILES) as stage:
        (tmp_path / "workspaces").write_text("in the way")
        with pytest.raises(SandboxUnavailable):
            await stage.open_task()
        assert stage.ledger.tasks() == ()
        assert "task.opened" not in [record.kind for record in stage.records()]


async def test_a_call_whose_files_are_not_as_they_were_made_is_refused(stage: Stage) -> None:
    live = await stage.open_task()
    workspace = await _of(stage, live)
    os.chown(workspace.root, 0, 0)
    with pytest.raises(Refusal) as refused:
        await _call(stage, live, "c-1")
    assert refused.value.why is Reason.SANDBOX_UNAVAILABLE
    assert stage.sandbox.planned == []


async def test_files_outlive_the_broker_that_stops_and_the_one_that_dies(tmp_path: Path) -> None:
    async with on_stage(tmp_path, sources=FILES) as before:
        live = await before.open_task()
        ((await _of(before, live)).root / "a").write_text("state")
        await before.housing.rest()
        assert traces(tmp_path) == []
    async with on_stage(tmp_path, sources=FILES) as after:
        (live,) = after.ledger.tasks()
        workspace = await _of(after, live)
        assert (workspace.root / "a").read_text() == "state"
        (workspace.root / "b").write_text("more")  # and now it dies: nothing is unmounted
    assert traces(tmp_path)
    async with on_stage(tmp_path, sources=FILES) as last:
        (live,) = last.ledger.tasks()
        workspace = await _of(last, live)
        assert (workspace.root / "b").read_text() == "more"
        stray = await last.broker.open_task(
            "agent:tests", "greeting", prompt=[], variables={"friend": "Ada"}, lifetime=None
        )
        assert stray.live.task.state.workspace is not None
        assert stray.live.task.state.workspace.uid != workspace.uid
        for each in last.ledger.tasks():
            await last.broker.close_task(each, "agent:tests")
    assert traces(tmp_path) == []


async def test_what_a_broker_that_died_left_of_ended_tasks_is_removed(tmp_path: Path) -> None:
    async with on_stage(tmp_path, sources=FILES) as before:
        await before.open_task()
        await before.housing.make("t-never-opened", before.tree.tasks["greeting"])
    assert len(traces(tmp_path)) == 6
    async with on_stage(tmp_path, sources=FILES) as after:
        after.clock.at += 16 * MINUTE
        await after.housing.tidy()
        assert traces(tmp_path) == []
        assert after.ledger.tasks()[0].task.state.workspace is None


async def test_opening_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    async with on_stage(tmp_path, sources=FILES) as stage:
        for _ in range(20):
            opening = asyncio.create_task(stage.open_task())
            await asyncio.sleep(0.002)
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening
        for live in stage.ledger.tasks():
            await stage.broker.close_task(live, "agent:tests")
    assert traces(tmp_path) == []
