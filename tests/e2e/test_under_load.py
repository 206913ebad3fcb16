"""A broker under load, on the real engine: it is stopped, and gets other images meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import BrokerError, CallEnd, Outcome
from sandbox_runtime.records import CallIntent, CallOutcome
from sandbox_runtime.sandbox.images import ToolSource, build
from tests.support.command import PROGRAM, TASK
from tests.support.eventually import eventually
from tests.support.rooms import BASE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Running, Start

ECHO = {"act": "echo", "text": "hello"}
ROOM = "budgets: {calls: 20, wall_time: 100s}"


@pytest.fixture
def roomy(tmp_path: Path, manifests: Path) -> Path:
    """Return a tree of this test's own, whose task allows many calls."""
    tree = tmp_path / "own"
    shutil.copytree(manifests, tree)
    text = TASK.replace("max_calls: 10", "max_calls: 200").replace(
        ROOM, "budgets: {calls: 200, wall_time: 2000s}"
    )
    (tree / "tasks/probing.yaml").write_text(text)
    return tree


async def test_a_stop_under_load_loses_no_end_and_leaves_no_container(
    start: Start, roomy: Path
) -> None:
    calls = {"running": 3, "queued_per_task": 100}
    async with start(roomy, calls=calls, drain="20s") as broker:
        async with broker.client() as client:
            task = await client.open_task("probing")
            sent = [
                asyncio.create_task(task.call("probe-e2e", ECHO, call_id=f"c-{n}", timeout=30))
                for n in range(60)
            ]
            await eventually(lambda: broker.kinds().count("call.outcome") >= 6)
            broker.process.send_signal(signal.SIGTERM)
            ends = await asyncio.gather(*sent, return_exceptions=True)
        assert await broker.process.wait() == 0
        heard = {end.call_id for end in ends if isinstance(end, CallEnd)}
        assert all(isinstance(end, CallEnd | BrokerError) for end in ends)
        begun = {r.call for r in broker.records() if isinstance(r, CallIntent)}
        ended = {r.call for r in broker.records() if isinstance(r, CallOutcome)}
        assert 6 <= len(heard) < 60
        assert heard <= ended == begun
        assert broker.kinds()[-1] == "operator.stopped"
        assert broker.containers() == []
    assert verify(broker.state).problem is None


async def test_a_tool_built_anew_is_run_by_new_tasks_and_not_by_open_ones(
    start: Start, roomy: Path
) -> None:
    async with start(roomy) as broker, broker.client() as client:
        before = await client.open_task("probing")
        (roomy / "probe/main.py").write_text(PROGRAM.replace('{"said": text}', '{"sang": text}'))
        await asyncio.to_thread(built, roomy)
        await reloaded(broker)
        after = await client.open_task("probing")
        for task, result in [(before, {"said": "hello"}), (after, {"sang": "hello"})]:
            end = await task.call("probe-e2e", ECHO, timeout=60)
            assert (end.outcome, end.result) == (Outcome.OK, result)
    old, new = [r.image for r in broker.records() if isinstance(r, CallIntent)]
    assert old != new


def built(tree: Path) -> None:
    """Build both tools of a tree again."""
    argv = ("/usr/bin/python3", "/tool/main.py")
    tools = [ToolSource(name=f"{n}-e2e", folder=tree / n, argv=argv) for n in ("probe", "note")]
    build(tools, BASE, tree / "images.lock.json", lambda _: None)


async def reloaded(broker: Running) -> None:
    broker.process.send_signal(signal.SIGHUP)
    await eventually(lambda: broker.kinds().count("manifest.loaded") == 2)
