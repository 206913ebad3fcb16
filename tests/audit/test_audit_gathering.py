"""What is gathered from records, and what a wish takes of them."""

from __future__ import annotations

import os

import pytest

from sandbox_runtime.audit import gathering
from sandbox_runtime.audit.gathering import CallRecords, Standing, Stored
from sandbox_runtime.audit.timeline import budgets, timeline
from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import Reason
from sandbox_runtime.records import (
    Body,
    CallClosed,
    CallDecided,
    CallIntent,
    CallOutcome,
    Record,
    RefusalsSpent,
    TaskClosed,
    TaskExtended,
    TaskInput,
    TaskOpened,
    leaf,
)

BODY = Body(commitment="0" * 64, size=7, at=0)


def opened(at: int = 0, task: str = "t-1") -> TaskOpened:
    return TaskOpened(
        at=at,
        task=task,
        manifest="greeting",
        manifest_digest="sha256:m",
        tree_digest="sha256:t",
        subject="agent:a",
        token_mac="",
        expires_at=1000,
        prompt=("typed", "attached"),
        body=BODY,
    )


def decided(call: str, reason: Reason | None = None, **changes: object) -> CallDecided:
    given: dict[str, object] = {
        "at": 10,
        "task": "t-1",
        "call": call,
        "tool": "greet",
        "tool_digest": "sha256:g",
        "subject": "agent:a",
        "request_mac": "",
        "checked_only": False,
        "permitted": reason is None,
        "grant": "hello" if reason is None else None,
        "reason": reason,
        "code": None,
        "pointer": "",
        "rule": "tasks/greeting.yaml:9",
        "checks": (),
        "stages": {"decide": 1.0},
        "body": BODY,
    }
    return CallDecided.model_validate({**given, **changes})


def intent(call: str) -> CallIntent:
    return CallIntent(
        at=11, task="t-1", call=call, grant="hello", image="i", plan_digest="p", reserved_ms=9
    )


def outcome(call: str, ended: Outcome = Outcome.OK, code: str | None = None) -> CallOutcome:
    return CallOutcome(
        at=12,
        task="t-1",
        call=call,
        outcome=ended,
        code=code,
        checks=(),
        walls_digest="w",
        wall_ms=250.0,
        result_bytes=40,
        integrity="untrusted",
        stages={"run": 250.0},
        body=BODY,
    )


def closed(call: str) -> CallClosed:
    return CallClosed(
        at=13,
        task="t-1",
        call=call,
        container="c",
        exit_code=0,
        out_of_memory=False,
        facts={},
        body=BODY,
    )


def stored(*entries: Record) -> list[Stored]:
    return [Stored(sequence, leaf(entry), entry) for sequence, entry in enumerate(entries)]


REFUSED = decided("no", Reason.ARGUMENT_NOT_ALLOWED, code="schema.type", at=20)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), 3),
        (Wanted(task="t-2"), 0),
        (Wanted(subject="agent:a"), 2),
        (Wanted(subject="agent"), 0),
        (Wanted(tool="greet"), 2),
        (Wanted(kind="call.outcome"), 1),
        (Wanted(permitted=False), 1),
        (Wanted(permitted=True), 1),
        (Wanted(reason="ARGUMENT_NOT_ALLOWED"), 1),
        (Wanted(reason="schema.type"), 1),
        (Wanted(outcome="OK"), 1),
        (Wanted(since=12), 2),
        (Wanted(until=12), 1),
        (Wanted(since=12, until=20), 1),
        (Wanted(permitted=True, reason="schema.type"), 0),
    ],
    ids=str,
)
def test_a_wish_takes_only_the_records_that_say_so(wanted: Wanted, taken: int) -> None:
    entries: list[Record] = [decided("yes"), outcome("yes"), REFUSED]
    found = [entry for entry in entries if wanted.takes(entry)]
    assert len(found) == taken
    assert all(mark in leaf(entry) for entry in found for mark in wanted.marks)


def test_a_call_is_wanted_for_how_it_was_decided_and_how_it_ended() -> None:
    ran = outcome("x", Outcome.RESULT_REFUSED, "schema.enum")
    call = CallRecords(sequence=1, decided=decided("x"), outcome=ran)
    assert Wanted(outcome="RESULT_REFUSED", tool="greet").takes_call(call)
    assert Wanted(reason="schema.enum").takes_call(call)
    assert not Wanted(outcome="OK").takes_call(call)
    assert not Wanted(outcome="OK").takes_call(CallRecords(sequence=1, decided=decided("x")))


def test_records_of_calls_side_by_side_are_told_apart() -> None:
    entries = (decided("a"), intent("a"), decided("b"), intent("b"), outcome("b"), outcome("a"))
    first, second = gathering.calls(stored(*entries, closed("b")))
    assert (first.sequence, first.decided.call, first.closed) == (0, "a", None)
    assert (second.sequence, second.outcome, second.closed) == (2, entries[4], closed("b"))
    assert second.stages == {"decide": 1.0, "run": 250.0}


def test_a_check_takes_no_records_of_the_call_of_the_same_name() -> None:
    check = decided("a", checked_only=True)
    first, second = gathering.calls(stored(check, decided("a"), intent("a")))
    assert (first.intent, second.intent) == (None, intent("a"))


def test_what_follows_no_decision_belongs_to_no_call() -> None:
    assert gathering.calls(stored(intent("a"), outcome("a"))) == []


def test_a_task_stands_open_until_it_is_closed_or_its_time_is_over() -> None:
    (task,) = gathering.tasks(stored(opened()))
    assert [task.standing(now) for now in (0, 999, 1000)] == [
        Standing.OPEN,
        Standing.OPEN,
        Standing.EXPIRED,
    ]
    (task,) = gathering.tasks(stored(opened(), TaskClosed(at=5, task="t-1", subject="agent:a")))
    assert task.standing(2000) is Standing.CLOSED


def test_a_timeline_tells_each_call_in_one_line_and_how_the_task_ended() -> None:
    entries = (
        opened(),
        decided("yes"),
        intent("yes"),
        outcome("yes"),
        REFUSED,
        decided("now"),
        intent("now"),
        decided("odd", Reason.TOOL_NOT_GRANTED, tool=None),
        decided("try", checked_only=True),
    )
    (task,) = gathering.tasks(stored(*entries))
    told = [event.what for event in timeline(task, now=1000)]
    assert told == [
        "opened by agent:a as greeting, with typed, attached",
        "yes greet: permitted by `hello`, OK after 250 ms",
        "no greet: refused ARGUMENT_NOT_ALLOWED schema.type",
        "now greet: permitted by `hello`, under way",
        "odd (no tool of ours): refused TOOL_NOT_GRANTED",
        "try greet: checked only, permitted by `hello`",
        "expired",
    ]
    ended = stored(*entries[:1], TaskClosed(at=5, task="t-1", subject="agent:a"), REFUSED)
    (task,) = gathering.tasks(ended)
    assert [event.sequence for event in timeline(task, now=5000)] == [0, 1, 2]


def test_more_time_more_input_and_the_last_refusal_stand_in_the_timeline() -> None:
    entries = (
        opened(),
        TaskInput(at=2, task="t-1", subject="agent:a", prompt=("typed",), body=BODY),
        TaskExtended(at=3, task="t-1", subject="agent:a", expires_at=9000),
        REFUSED,
        RefusalsSpent(at=21, task="t-1"),
    )
    (task,) = gathering.tasks(stored(*entries))
    assert task.standing(1000) is Standing.OPEN
    assert [event.what.partition(" by")[0] for event in timeline(task, now=1000)] == [
        "opened",
        "told more",
        "extended",
        "no greet: refused ARGUMENT_NOT_ALLOWED schema.type",
        "refusals used up: nothing more of it is decided or logged",
    ]


def test_what_a_task_used_is_what_the_broker_s_own_fold_says() -> None:
    entries = (opened(), decided("yes"), intent("yes"), outcome("yes"), REFUSED)
    (task,) = gathering.tasks(stored(*entries))
    used = {one.name: (one.used, one.granted) for one in budgets(task, None)}
    assert used == {
        "calls": ("1", None),
        "wall time": ("0.250s", None),
        "result bytes": ("40", None),
        "refusals": ("1", None),
        "checks": ("0", None),
        "outputs": ("0", None),
        "grant `hello`": ("1", None),
    }


def test_a_wish_that_is_no_text_is_looked_for_and_never_found() -> None:
    assert Wanted(subject=os.fsdecode(b"\xff"), reason="\ud800").marks == (b'"?"', b'"?"')
