"""Permits, while whoever asks hangs up, cancels, closes and repeats at any moment."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.admission import Admission
from sandbox_runtime.errors import Refusal
from sandbox_runtime.turns import Limits
from tests.support import pipeline
from tests.support.manifests import SOURCES, TASK, propose
from tests.support.pipeline import on_stage, until

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from sandbox_runtime.call import ProposedCall
    from sandbox_runtime.ledger import Live
    from tests.support.pipeline import Stage

FEW = Limits(
    running=3,
    running_per_subject=3,
    running_per_task=2,
    queued=40,
    queued_per_subject=40,
    queued_per_task=10,
)
LONG = (
    TASK.replace("max_calls: 1", "max_calls: 100")
    .replace("max_calls: 2", "max_calls: 100")
    .replace("calls: 3, wall_time: 10s", "calls: 100, wall_time: 10m")
    .replace("refusals: 5, checks: 5", "refusals: 100, checks: 100")
)
MANY = {**SOURCES, "tasks/greeting.yaml": LONG}


@pytest.fixture
def admissions(monkeypatch: pytest.MonkeyPatch) -> list[Admission]:
    made: list[Admission] = []

    def make(**given: Any) -> Admission:  # noqa: ANN401 - whatever a broker gives
        made.append(Admission(**given))
        return made[-1]

    monkeypatch.setattr(pipeline, "Admission", make)
    return made


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_whenever_who_asks_hangs_up(
    tmp_path: Path, admissions: list[Admission], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same moments each time
    async with on_stage(tmp_path, sources=MANY, limits=FEW) as stage:
        tasks = [await stage.open_task() for _ in range(5)]
        wishes = [hasty(wish(stage, dice, dice.choice(tasks)), dice) for _ in range(120)]
        await asyncio.gather(*wishes)
        await until(lambda: not any(live.running for live in tasks))
        await stage.runs.closed()
        (admission,) = admissions
        assert (admission.held, admission.queued) == (0, 0)
        assert not any(live.lock.locked() for live in tasks)
        last = await stage.open_task()
        assert (await stage.broker.call_tool(last, call(last, "last"))).record


def call(live: Live, call_id: str) -> ProposedCall:
    return replace(propose('{"name":"Ada"}', call_id=call_id), task_id=live.task.state.id)


def wish(stage: Stage, dice: random.Random, live: Live) -> Coroutine[Any, Any, Any]:
    """Return something that a caller may ask for."""
    call_id, broker = f"c-{dice.randrange(6)}", stage.broker
    match dice.choice(("call", "call", "call", "call", "detach", "check", "cancel", "close")):
        case "call":
            return broker.call_tool(live, call(live, call_id))
        case "detach":
            return broker.detach_call(live, call(live, call_id))
        case "check":
            return broker.check_call(live, call(live, call_id))
        case "close" if dice.random() < 0.2:
            return broker.close_task(live, "agent:tests")
        case _:
            return broker.cancel_call(live, call_id, "agent:tests")


async def hasty(asking: Coroutine[Any, Any, Any], dice: random.Random) -> None:
    """Ask at some moment, and hang up at another."""
    for _ in range(dice.randrange(60)):
        await asyncio.sleep(0)
    patience = dice.choice((0, 1, 2, 3, 5, 8, 13, 34, 89, None))
    asked = asyncio.create_task(asking)
    if patience is not None:
        for _ in range(patience):
            await asyncio.sleep(0)
        asked.cancel()
    with suppress(Refusal, asyncio.CancelledError):
        await asked
