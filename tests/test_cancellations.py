"""Whoever cancels a call is on record."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit import gathering, reading
from sandbox_runtime.audit.timeline import timeline
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import Outcome
from sandbox_runtime.entries import ToldPermission
from sandbox_runtime.records import CallOutcome, Cancellation
from tests.support.manifests import propose
from tests.support.pipeline import Scripted, Stage, on_stage, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sandbox_runtime.ledger import Live

    Deed = Callable[[Stage, Live, asyncio.Task[object]], Awaitable[object]]


async def ask(stage: Stage, live: Live, _: asyncio.Task[object]) -> None:
    await stage.broker.cancel_call(live, "c-1", "agent:other")


async def close(stage: Stage, live: Live, _: asyncio.Task[object]) -> None:
    await stage.broker.close_task(live, "agent:tests")


async def hang_up(stage: Stage, live: Live, calling: asyncio.Task[object]) -> None:
    calling.cancel()
    await until(lambda: not live.running)
    assert stage.sandbox.planned[0].killed


async def stop(stage: Stage, _: Live, __: asyncio.Task[object]) -> None:
    await stage.broker.drain(0)


@pytest.mark.parametrize(
    ("deed", "why", "told"),
    [
        (ask, Cancellation(how="asked", by="agent:other"), "(asked for by agent:other)"),
        (
            close,
            Cancellation(how="task_closed", by="agent:tests"),
            "(its task closed by agent:tests)",
        ),
        (hang_up, Cancellation(how="hung_up"), "(who sent it hung up)"),
        (stop, Cancellation(how="stopped"), "(the broker stopped)"),
    ],
)
async def test_the_outcome_says_who_cancelled(
    tmp_path: Path, deed: Deed, why: Cancellation, told: str
) -> None:
    async with on_stage(tmp_path, Scripted(held=True)) as stage:
        live = await stage.open_task()
        calling = asyncio.create_task(stage.broker.call_tool(live, propose('{"name": "Ada"}')))
        await until(lambda: bool(stage.sandbox.planned) and stage.sandbox.planned[0].started)
        await deed(stage, live, calling)
        with suppress(asyncio.CancelledError):
            await calling
    stored = list(reading.stored(tmp_path))
    (outcome,) = [one.record for one in stored if isinstance(one.record, CallOutcome)]
    assert (outcome.outcome, outcome.cancelled) == (Outcome.CANCELLED, why)
    (task,) = gathering.tasks(stored)
    assert any(told in event.what for event in timeline(task, stage.clock.at))
    assert verify(tmp_path).problem is None


async def test_a_call_that_had_ended_was_cancelled_by_nobody(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose('{"name": "Ada"}'))
        await stage.broker.cancel_call(live, "c-1", "agent:other")
    outcomes = [one.record for one in reading.stored(tmp_path)]
    assert [one.cancelled for one in outcomes if isinstance(one, CallOutcome)] == [None]


def test_a_permission_of_an_early_log_is_still_read() -> None:
    early = '{"arguments": {"a": 1}, "changes": [], "facts": {}}'
    assert ToldPermission.model_validate_json(early).shown == {}
