"""A call that is cancelled, or whose sender hangs up, at each stage of its life.

Whatever the stage: no container is left, the call has one end or was never decided, its permit
is given back, and the log tells a story that can be true.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import CallCancelled, CallRefused, Outcome
from sandbox_runtime.errors import Reason
from sandbox_runtime.records import CallOutcome
from sandbox_runtime.server.settings import Calls
from tests.support.eventually import eventually
from tests.support.pipeline import InProcess, Scripted
from tests.support.serving import Stage, served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.call import Candidate, Check, Checked, Verdict
    from sandbox_runtime.client import AsyncTask
    from sandbox_runtime.strict import Json
    from tests.support.serving import Served

ADA = {"name": "Ada"}


class Held(InProcess):
    """Validators that wait, for a call or for its result."""

    def __init__(self, at: str) -> None:
        self.at, self.there, self.let_go = at, asyncio.Event(), asyncio.Event()

    async def hold(self, at: str) -> None:
        if at == self.at:
            self.there.set()
            await self.let_go.wait()

    async def check(self, candidate: Candidate) -> Checked:
        await self.hold("deciding")
        return await super().check(candidate)

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        await self.hold("checking the result")
        return await super().check_value(value, checks)


async def reach(stage: str, here: Served, held: Held) -> None:
    """Return when the call is at this stage."""
    match stage:
        case "deciding" | "checking the result":
            await held.there.wait()
        case "running":
            await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
        case _:
            await eventually(lambda: "call.intent" in here.kinds())


def machine(stage: str) -> tuple[Stage, Held]:
    held = Held(stage)
    sandbox = Scripted(held=stage == "running")
    return Stage(sandbox=sandbox, validators=held), held


async def settled(here: Served, held: Held, task: AsyncTask) -> list[CallOutcome]:
    """Let the stage go on; return the outcomes in the log once another call has come through."""
    held.let_go.set()
    here.sandbox.held = False
    assert (await task.call("greet", ADA, call_id="next", timeout=10)).ok, "a permit is free"
    await here.stop()
    assert verify(Path(here.settings.state_dir)).problem is None
    kinds = here.kinds()
    assert kinds.count("call.intent") == kinds.count("call.outcome") == kinds.count("call.closed")
    return [r for r in here.records() if isinstance(r, CallOutcome) and r.call == "c-1"]


STAGES = ["deciding", "running", "checking the result", "recorded"]


@pytest.mark.parametrize("stage", STAGES)
async def test_cancelling_a_call_at_this_stage_leaves_it_one_end(
    tmp_path: Path, stage: str
) -> None:
    made, held = machine(stage)
    async with served(tmp_path, made, calls=Calls(running=1)) as here, here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await reach(stage, here, held)
        cancelling = asyncio.create_task(task.cancel("c-1"))
        await asyncio.sleep(0.05)
        held.let_go.set()
        status, end = await asyncio.gather(cancelling, calling)
        assert status.end == end
        (outcome,) = await settled(here, held, task)
    assert outcome.outcome.name == end.outcome.name
    if stage == "running":
        assert end.outcome is Outcome.CANCELLED
        assert here.sandbox.planned[0].killed


@pytest.mark.parametrize("stage", STAGES)
async def test_hanging_up_at_this_stage_leaves_the_call_one_end(tmp_path: Path, stage: str) -> None:
    made, held = machine(stage)
    async with served(tmp_path, made, calls=Calls(running=1)) as here, here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        other = here.client()
        calling = asyncio.create_task(
            other.task(task.id, task.token).call("greet", ADA, call_id="c-1")
        )
        await reach(stage, here, held)
        await other.close()
        await asyncio.gather(calling, return_exceptions=True)
        (outcome,) = await settled(here, held, task)
    assert outcome.outcome.name in {"CANCELLED"} | ({"OK"} if stage != "running" else set())


async def test_a_call_that_was_cancelled_while_it_waited_was_never_decided(tmp_path: Path) -> None:
    made, held = machine("running")
    async with served(tmp_path, made, calls=Calls(running=1)) as here, here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        first = asyncio.create_task(task.call("greet", ADA, call_id="first"))
        await reach("running", here, held)
        waiting = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await asyncio.sleep(0.1)
        with pytest.raises(CallRefused) as caught:
            await task.cancel("c-1")
        assert caught.value.reason is Reason.CALL_NOT_FOUND
        with pytest.raises(CallCancelled):
            await waiting
        await task.cancel("first")
        await first
        assert await settled(here, held, task) == []
