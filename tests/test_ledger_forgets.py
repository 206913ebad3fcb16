"""What a broker that runs for years keeps in memory: nothing that ended long ago."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.manifests.loader import load_texts
from tests.support.manifests import SOURCES, TASK, TOOL, propose
from tests.support.pipeline import Scripted, on_stage, until

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
SECOND = 1_000_000
ADA = '{"name": "Ada"}'


async def test_an_ended_task_is_told_for_a_day_and_then_only_by_the_log(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose(ADA))
        await stage.broker.close_task(live, "agent:tests")
        stage.clock.at += 86_000 * SECOND
        assert stage.ledger.forget(DAY) == 0
        assert stage.ledger.find(live.task.state.id, "secret") is live
        stage.clock.at += 401 * SECOND
        assert stage.ledger.forget(DAY) == 1
        with pytest.raises(Refusal) as refused:
            stage.ledger.find(live.task.state.id, "secret")
        assert refused.value.why is Reason.TASK_NOT_FOUND
    assert verify(tmp_path).problem is None


async def test_an_open_task_is_never_forgotten_and_an_expired_one_is(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        stage.clock.at = live.task.state.expires_at
        assert stage.ledger.forget(DAY) == 0
        stage.clock.at = live.task.state.expires_at + 86_400 * SECOND
        assert stage.ledger.forget(DAY) == 1


async def test_what_still_runs_is_not_forgotten(tmp_path: Path) -> None:
    async with on_stage(tmp_path, Scripted(held=True)) as stage:
        live = await stage.open_task()
        calling = asyncio.create_task(stage.broker.call_tool(live, propose(ADA)))
        await until(lambda: bool(live.running))
        stage.clock.at = live.task.state.expires_at + 10 * 86_400 * SECOND
        assert stage.ledger.forget(DAY) == 0
        stage.sandbox.planned[0].let_go.set()
        await calling
        assert stage.ledger.forget(DAY) == 1


async def test_kept_files_keep_their_task(tmp_path: Path) -> None:
    files = 'workspace: {size: 1Mi, keep: ["*.csv"], retain: 7d}'
    sources = {
        "greet/tool.yaml": TOOL.replace("spec:\n", "spec:\n  workspace: read_write\n", 1),
        "tasks/greeting.yaml": TASK.replace("  grants:", f"  {files}\n  grants:", 1),
    }
    async with on_stage(tmp_path, sources=sources) as stage:
        live = await stage.open_task()
        stage.clock.at = live.task.state.expires_at + 2 * 86_400 * SECOND
        assert stage.ledger.forget(DAY) == 0
        stage.clock.at += 6 * 86_400 * SECOND
        assert stage.ledger.forget(DAY) == 0, "its workspace is still there"
        await stage.housing.tidy()
        assert stage.ledger.forget(DAY) == 1


async def test_manifests_that_no_task_needs_any_more_go_with_their_last_one(
    tmp_path: Path,
) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        other = load_texts({**SOURCES, "tasks/greeting.yaml": TASK + "# reviewed again\n"})
        await stage.ledger.load(other, {})
        assert len(stage.ledger._trees) == 2  # noqa: SLF001 - memory is what this is about
        stage.clock.at = live.task.state.expires_at + 2 * 86_400 * SECOND
        stage.ledger.forget(DAY)
        assert len(stage.ledger._trees) == 1  # noqa: SLF001
