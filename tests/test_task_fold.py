"""A task's state is what its records tell, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime import records
from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.model import Grant, Rate
from sandbox_runtime.task import Phase, begin, evolve
from tests.support.manifests import BODY, NOW, opened

if TYPE_CHECKING:
    from sandbox_runtime.task import TaskState

GRANTS = [
    Grant(id="friends", tool="greet", why="tests", rate=Rate(calls=2, per=timedelta(minutes=1)))
]


def decided(call: str, **changes: object) -> records.CallDecided:
    record = records.CallDecided(
        at=NOW,
        task="t-1",
        call=call,
        tool="greet",
        tool_digest="sha256:0",
        subject="agent:tests",
        request_mac="0",
        checked_only=False,
        permitted=True,
        grant="friends",
        reason=None,
        code=None,
        pointer="",
        rule="tasks/greeting.yaml:10",
        checks=(),
        stages={},
        body=BODY,
    )
    return record.model_copy(update=changes)


def refused(call: str, **changes: object) -> records.CallDecided:
    return decided(call, permitted=False, reason=Reason.ARGUMENT_NOT_ALLOWED, **changes)


def intent(call: str, at: int = NOW) -> records.CallIntent:
    return records.CallIntent(
        at=at,
        task="t-1",
        call=call,
        grant="friends",
        image="sha256:0",
        plan_digest="sha256:0",
        reserved_ms=4000,
    )


def outcome(call: str, how: Outcome = Outcome.OK) -> records.CallOutcome:
    return records.CallOutcome(
        at=NOW,
        task="t-1",
        call=call,
        outcome=how,
        code=None,
        checks=(),
        walls_digest=None,
        wall_ms=250.0,
        result_bytes=17,
        integrity="untrusted",
        stages={},
        body=BODY,
    )


def fold(*entries: records.Record) -> TaskState:
    state = begin(opened(), GRANTS)
    for sequence, entry in enumerate(entries):
        state = evolve(state, entry, sequence)
    return state


def test_a_running_call_has_spent_a_call_and_set_its_wall_time_aside() -> None:
    state = fold(decided("c-1"), intent("c-1"))
    assert (state.started, state.reserved_ms, state.running) == (1, 4000, ("c-1",))


def test_an_ended_call_gives_back_what_it_did_not_use() -> None:
    state = fold(decided("c-1"), intent("c-1"), outcome("c-1"))
    assert (state.reserved_ms, state.wall_ms, state.result_bytes) == (0, 250.0, 17)
    assert state.calls["c-1"].phase is Phase.ENDED
    assert state.running == ()


def test_a_call_of_unknown_end_stays_spent() -> None:
    assert fold(decided("c-1"), intent("c-1"), outcome("c-1", Outcome.UNKNOWN)).started == 1


def test_a_call_whose_container_could_not_be_had_is_given_back() -> None:
    state = fold(decided("c-1"), intent("c-1"), outcome("c-1", Outcome.SANDBOX_UNAVAILABLE))
    assert state.started == 0


def test_a_call_whose_container_could_not_be_had_counts_as_refused() -> None:
    state = fold(decided("c-1"), intent("c-1"), outcome("c-1", Outcome.SANDBOX_UNAVAILABLE))
    assert state.refusals == 1


def test_refused_and_checked_only_calls_spend_nothing() -> None:
    state = fold(refused("c-1"), decided("c-2", checked_only=True))
    assert (state.started, state.refusals, state.checks) == (0, 1, 1)
    assert set(state.calls) == {"c-1"}


def test_what_the_log_keeps_of_calls_that_spent_nothing_is_added_up() -> None:
    large = BODY.model_copy(update={"size": 1000})
    state = fold(
        refused("c-1", body=large),
        decided("c-2", checked_only=True, body=large),
        decided("c-3", body=large),
        intent("c-3"),
        outcome("c-3", Outcome.SANDBOX_UNAVAILABLE),
        decided("c-4", body=large),
        intent("c-4"),
        outcome("c-4"),
    )
    assert state.unspent_bytes == 3000


def test_a_refused_check_counts_as_both() -> None:
    state = fold(refused("c-1", checked_only=True))
    assert (state.refusals, state.checks) == (1, 1)


def test_closing_and_muting_are_remembered() -> None:
    closed = fold(records.TaskClosed(at=NOW, task="t-1", subject="agent:tests"))
    muted = fold(records.RefusalsSpent(at=NOW, task="t-1"))
    assert closed.closed
    assert muted.muted


def test_an_extended_task_lives_longer_and_never_shorter() -> None:
    later = records.TaskExtended(at=NOW, task="t-1", subject="agent:tests", expires_at=NOW * 2)
    assert fold(later).expires_at == NOW * 2
    sooner = later.model_copy(update={"expires_at": NOW})
    assert fold(later, sooner).expires_at == NOW * 2


def test_what_the_opener_added_is_remembered_in_order() -> None:
    first = BODY.model_copy(update={"at": 1})
    added = records.TaskInput(
        at=NOW, task="t-1", subject="agent:tests", prompt=("attached",), body=first
    )
    story = (added, added.model_copy(update={"body": BODY}))
    assert fold(*story).inputs == (first, BODY)


def test_a_record_survives_its_way_to_the_log_and_back() -> None:
    for record in (opened(), refused("c-1"), intent("c-1"), outcome("c-1")):
        assert records.parse(records.leaf(record)) == record


def test_only_a_call_that_ended_ok_has_succeeded() -> None:
    assert fold(decided("c-1"), intent("c-1")).succeeded == {}
    assert fold(decided("c-1"), intent("c-1"), outcome("c-1")).succeeded == {"friends": 1}
    for how in set(Outcome) - {Outcome.OK}:
        assert fold(decided("c-1"), intent("c-1"), outcome("c-1", how)).succeeded == {}


def test_of_the_starts_only_those_are_kept_that_the_window_needs() -> None:
    entries = [e for n in range(5) for e in (decided(f"c-{n}"), intent(f"c-{n}", NOW + n))]
    assert fold(*entries).starts == {"friends": (NOW + 3, NOW + 4)}


def test_a_grant_without_a_rate_keeps_no_starts() -> None:
    state = begin(opened(), [GRANTS[0].model_copy(update={"rate": None})])
    for entry in (decided("c-1"), intent("c-1")):
        state = evolve(state, entry, 0)
    assert (state.starts, state.spent) == ({}, {"friends": 1})


def test_a_start_of_which_nothing_came_is_taken_back() -> None:
    entries = (decided("c-1"), intent("c-1", NOW), decided("c-2"), intent("c-2", NOW + 1))
    state = fold(*entries, outcome("c-1", Outcome.SANDBOX_UNAVAILABLE))
    assert state.starts == {"friends": (NOW + 1,)}
    assert fold(*entries, outcome("c-1", Outcome.UNKNOWN)).starts == {"friends": (NOW, NOW + 1)}


def test_folding_what_the_log_holds_gives_the_same_state() -> None:
    story: list[records.Record] = [decided("c-1"), intent("c-1"), outcome("c-1"), refused("c-2")]
    assert fold(*story) == fold(*(records.parse(records.leaf(entry)) for entry in story))
