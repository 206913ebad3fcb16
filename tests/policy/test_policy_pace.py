"""A grant waits its turn: after others, and not more often than its rate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.call import Candidate, Outcome, Permitted, Refused
from sandbox_runtime.errors import TABLE, Mender, Reason, Refusal, Retry
from sandbox_runtime.policy import decide, match
from tests.support.manifests import (
    MINUTE,
    NOW,
    SOURCES,
    TASK,
    check,
    open_task,
    propose,
    with_state,
)
from tests.support.pipeline import Scripted, ok, on_stage

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.task import OpenTask

ADA, GRACE = '{"name": "Ada"}', '{"name": "Grace Hopper"}'
ORDERED = {
    **SOURCES,
    "tasks/greeting.yaml": TASK.replace("max_calls: 1\n", "max_calls: 9\n      after: [friends]\n"),
}
PACED = {
    **SOURCES,
    "tasks/greeting.yaml": TASK.replace(
        "max_calls: 2\n", "max_calls: 9\n      rate: {calls: 2, per: 1m}\n"
    ).replace("calls: 3,", "calls: 99,"),
}


def decided(arguments: str, task: OpenTask, now: int = NOW) -> Permitted | Refused:
    candidate = match(task, propose(arguments), now)
    assert isinstance(candidate, Candidate)
    return decide(task, candidate, check(candidate), now)


def test_a_grant_that_waits_is_refused_until_the_other_has_succeeded() -> None:
    task = open_task(ORDERED)
    early = decided(GRACE, task)
    assert isinstance(early, Refused)
    assert (early.reason, early.grant) == (Reason.ORDER_NOT_MET, "colleagues")
    assert early.rule == ("spec", "grants", 1, "after", 0)
    assert str(task.manifest.place(early.rule)) == "tasks/greeting.yaml:20"
    assert early.hint == "call `greet` under `friends` first; then send this as a new call"
    assert isinstance(decided(GRACE, with_state(task, succeeded={"friends": 1})), Permitted)


def test_a_call_that_was_started_and_did_not_end_ok_opens_no_way() -> None:
    task = with_state(open_task(ORDERED), spent={"friends": 1})
    assert isinstance(decided(GRACE, task), Refused)


def test_a_rate_counts_starts_within_its_time_and_no_others() -> None:
    task = with_state(open_task(PACED), starts={"friends": (NOW, NOW + MINUTE // 2)})
    late = decided(ADA, task, NOW + MINUTE - 1)
    assert isinstance(late, Refused)
    assert (late.reason, late.hint) == (Reason.RATE_EXCEEDED, "send this as a new call in 1 s")
    assert late.rule == ("spec", "grants", 0, "rate")
    assert late.retry_after == timedelta(microseconds=1)
    assert isinstance(decided(ADA, task, NOW + MINUTE), Permitted)


def test_a_clock_that_was_set_back_makes_no_room() -> None:
    task = with_state(open_task(PACED), starts={"friends": (NOW + 5, NOW + 6)})
    assert isinstance(decided(ADA, task, NOW), Refused)


@given(st.lists(st.integers(0, 3 * MINUTE), max_size=12))
def test_no_window_ever_holds_more_starts_than_the_rate(times: list[int]) -> None:
    task, starts = open_task(PACED), list[int]()
    for at in sorted(times):
        kept = {"friends": tuple(starts[-2:])}
        if isinstance(decided(ADA, with_state(task, starts=kept), NOW + at), Permitted):
            starts.append(NOW + at)
    for start in starts:
        assert sum(start <= other < start + MINUTE for other in starts) <= 2


@pytest.mark.parametrize("reason", [Reason.ORDER_NOT_MET, Reason.RATE_EXCEEDED])
def test_who_waits_may_try_later(reason: Reason) -> None:
    assert (TABLE[reason].retry, TABLE[reason].mender) == (Retry.LATER, Mender.AGENT)


async def test_what_opened_the_way_still_does_after_a_restart(tmp_path: Path) -> None:
    failed = ok(b'{"error": {"code": "no", "message": "no"}}')
    async with on_stage(tmp_path, Scripted(answers=[failed]), ORDERED) as stage:
        live = await stage.open_task()
        end = await stage.broker.call_tool(live, propose(ADA, call_id="c-1"))
        assert end.checked.outcome is Outcome.TOOL_ERROR
        with pytest.raises(Refusal) as caught:
            await stage.broker.call_tool(live, propose(GRACE, call_id="c-2"))
        assert caught.value.why is Reason.ORDER_NOT_MET
        await stage.broker.call_tool(live, propose(ADA, call_id="c-3"))
        before = live.task.state
    async with on_stage(tmp_path, sources=ORDERED) as stage:
        (live,) = stage.ledger.tasks()
        assert live.task.state == before
        assert (await stage.broker.call_tool(live, propose(GRACE, call_id="c-4"))).grant


async def test_a_restart_forgets_no_start(tmp_path: Path) -> None:
    async with on_stage(tmp_path, sources=PACED) as stage:
        live = await stage.open_task()
        for call in ("c-1", "c-2"):
            await stage.broker.call_tool(live, propose(ADA, call_id=call))
        before = live.task.state
    async with on_stage(tmp_path, sources=PACED) as stage:
        (live,) = stage.ledger.tasks()
        assert live.task.state == before
        assert len(before.starts["friends"]) == 2
        with pytest.raises(Refusal) as caught:
            await stage.broker.call_tool(live, propose(ADA, call_id="c-3"))
        assert caught.value.why is Reason.RATE_EXCEEDED
        assert caught.value.retry_after is not None
        assert timedelta(seconds=59) < caught.value.retry_after <= timedelta(seconds=60)
