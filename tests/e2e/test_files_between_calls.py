"""What a call wrote is there for the next one, whatever became of the broker meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sandbox_runtime.client import Outcome
from tests.support.eventually import eventually
from tests.support.traces import traces

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Start

TOOL = "note-e2e"


async def test_state_lives_in_the_workspace_through_a_kill_and_a_stop_until_the_task_is_closed(
    start: Start, tmp_path: Path
) -> None:
    async with start() as first, first.client() as client:
        task = await client.open_task("noting")
        assert (await task.call(TOOL, {"text": "a"}, timeout=60)).result == "a"
        call = task.call(TOOL, {"text": "b", "seconds": 15}, call_id="cut", timeout=60)
        calling = asyncio.create_task(call)
        await eventually(lambda: first.kinds().count("call.intent") == 2)
        await eventually(first.containers)
        await asyncio.sleep(1)
        first.process.kill()
        await first.process.wait()
        await asyncio.gather(calling, return_exceptions=True)
    assert len(traces(tmp_path)) == 3
    async with start() as second, second.client() as client:
        again = client.task(task.id, task.token)
        assert (await again.call(TOOL, {"text": "c"}, timeout=60)).result == "abc"
    assert traces(tmp_path) == []
    async with start() as third, third.client() as client:
        last = client.task(task.id, task.token)
        assert (await last.call(TOOL, {"text": "d"}, timeout=60)).result == "abcd"
        await last.close()
        assert traces(tmp_path) == []
    assert "workspace.removed" in third.kinds()
    assert list((third.state / "workspaces").iterdir()) == []


async def test_calls_sent_at_once_write_one_after_the_other(start: Start, tmp_path: Path) -> None:
    async with start() as broker, broker.client() as client:
        one, other = [await client.open_task("noting") for _ in range(2)]
        sent = [one.call(TOOL, {"text": x, "seconds": 1}, timeout=120) for x in "abc"]
        ends = await asyncio.gather(*sent, other.call(TOOL, {"text": "z"}, timeout=120))
        assert all(end.outcome is Outcome.OK for end in ends)
        assert sorted(len(str(end.result)) for end in ends[:3]) == [1, 2, 3]
        assert ends[3].result == "z"
        for task in (one, other):
            await task.close()
        assert traces(tmp_path) == []
