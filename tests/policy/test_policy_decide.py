"""The only decider: each way to be refused, and the few to be permitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.call import Candidate, CheckAborted, Checked, Permitted, Refused
from sandbox_runtime.errors import Reason
from sandbox_runtime.policy import decide, match, wall_time_left
from sandbox_runtime.task import CallEntry, Phase
from tests.support.manifests import (
    BODY,
    MINUTE,
    NOW,
    TASK,
    TOOL,
    check,
    open_task,
    propose,
    with_state,
)

if TYPE_CHECKING:
    from sandbox_runtime.task import OpenTask


def decided(arguments: str, task: OpenTask | None = None, **state: object) -> Permitted | Refused:
    task = with_state(task or open_task(), **state)
    candidate = match(task, propose(arguments), NOW)
    assert isinstance(candidate, Candidate)
    return decide(task, candidate, check(candidate), NOW)


def refused(arguments: str, task: OpenTask | None = None, **state: object) -> Refused:
    decision = decided(arguments, task, **state)
    assert isinstance(decision, Refused)
    return decision


def permitted(arguments: str, task: OpenTask | None = None, **state: object) -> Permitted:
    decision = decided(arguments, task, **state)
    assert isinstance(decision, Permitted)
    return decision


def test_the_first_grant_that_allows_the_call_permits_it() -> None:
    assert permitted('{"name": "Ada", "times": 3}').grant == "friends"
    assert permitted('{"name": "Grace Hopper"}').grant == "colleagues"


def test_grants_are_never_merged() -> None:
    decision = refused('{"name": "Grace Hopper", "times": 3}')
    assert decision.reason is Reason.ARGUMENT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("arguments", "code", "pointer"),
    [
        ('{"name": "Eve"}', "constraint.exact", "/name"),
        ('{"name": "Ada", "times": 4}', "constraint.range", "/times"),
        ('{"name": "Ada\\n"}', "constraint.exact", "/name"),
        ('{"name": "Grace Hopper; DROP"}', "constraint.exact", "/name"),
        ('{"name": "ada"}', "constraint.exact", "/name"),
    ],
)
def test_a_broken_constraint_is_named_and_pointed_at(
    arguments: str, code: str, pointer: str
) -> None:
    decision = refused(arguments)
    assert (decision.code, decision.pointer) == (code, pointer)
    assert decision.reason is Reason.ARGUMENT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        ('{"name": 7}', "/name"),
        ('{"name": "Ada", "times": true}', "/times"),
        ('{"name": "Ada", "times": 1.5}', "/times"),
        ('{"name": "Ada", "times": 11}', "/times"),
        ('{"name": "Ada", "tags": ["a", 1]}', "/tags/1"),
        ('{"name": null}', "/name"),
    ],
)
def test_a_value_outside_the_tools_own_bounds_is_refused(arguments: str, pointer: str) -> None:
    decision = refused(arguments)
    assert decision.pointer == pointer
    assert decision.code is not None
    assert decision.code.startswith("schema.")


def test_a_grants_calls_are_used_up_one_by_one() -> None:
    assert permitted('{"name": "Ada"}', spent={"friends": 1}).grant == "friends"
    decision = refused('{"name": "Ada"}', spent={"friends": 2})
    assert (decision.reason, decision.rule) == (
        Reason.CALLS_SPENT,
        ("spec", "grants", 0, "max_calls"),
    )


def test_the_tasks_calls_are_used_up_over_all_grants() -> None:
    decision = refused('{"name": "Ada"}', spent={"friends": 1, "colleagues": 2})
    assert (decision.reason, decision.rule) == (Reason.BUDGET_SPENT, ("spec", "budgets", "calls"))


def test_wall_time_that_running_calls_set_aside_counts_as_spent() -> None:
    running = CallEntry(
        request_mac="", phase=Phase.RUNNING, decided=BODY, grant="friends", reserved_ms=6000
    )
    task = with_state(open_task(), calls={"c-0": running}, wall_ms=3000.0)
    assert wall_time_left(task) == 1000
    assert isinstance(decided('{"name": "Ada"}', task), Permitted)
    assert refused('{"name": "Ada"}', task, wall_ms=4000.0).rule == ("spec", "budgets", "wall_time")


def test_result_bytes_are_a_budget() -> None:
    assert refused('{"name": "Ada"}', result_bytes=1024).rule == ("spec", "budgets", "result_bytes")


def test_a_task_that_ends_while_its_call_is_checked_is_refused() -> None:
    task = open_task()
    candidate = match(task, propose('{"name": "Ada"}'), NOW)
    assert isinstance(candidate, Candidate)
    late = decide(task, candidate, check(candidate), NOW + 15 * MINUTE)
    assert isinstance(late, Refused)
    assert late.reason is Reason.TASK_EXPIRED


def test_a_check_that_was_aborted_refuses_the_call() -> None:
    task = open_task()
    candidate = match(task, propose('{"name": "Ada"}'), NOW)
    assert isinstance(candidate, Candidate)
    aborted = (CheckAborted(pointer="", kind="schema", cause="time"),)
    decision = decide(task, candidate, Checked(verdicts=(aborted, aborted)), NOW)
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.CHECK_ABORTED


def test_a_check_that_was_left_out_refuses_the_call() -> None:
    task = open_task()
    candidate = match(task, propose('{"name": "Ada"}'), NOW)
    assert isinstance(candidate, Candidate)
    decision = decide(task, candidate, Checked(verdicts=((), ())), NOW)
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.CHECK_ABORTED


def test_deciding_is_a_pure_function_of_its_inputs() -> None:
    assert decided('{"name": "Ada"}') == decided('{"name": "Ada"}')
    assert decided('{"name": "Eve"}') == decided('{"name": "Eve"}')


WORDS = """\
  program:
    transport: command
    argv: [/usr/bin/greet, {argument: name, dash: refused}, {argument: times, flag: --times}]
    stdin: {argument: note}
  arguments:
    name: {type: string, role: control, maxLength: 100}
    times: {type: integer, role: control, minimum: 1, maximum: 10, default: 1}
    note: {type: string, default: ""}
"""


def test_a_value_that_a_program_could_take_for_a_flag_is_refused_before_anything_runs() -> None:
    head, _, rest = TOOL.partition("  arguments:\n")
    tool = head + WORDS + rest[rest.index("  result:") :]
    grants = TASK.replace("exact: $friend", "any_of: [{exact: $friend}, {length: {max: 50}}]")
    task = open_task({"greet/tool.yaml": tool, "tasks/greeting.yaml": grants})
    decision = refused('{"name": "--output=/etc/passwd"}', task)
    assert (decision.reason, decision.code, decision.pointer) == (
        Reason.ARGUMENT_NOT_ALLOWED,
        "command.dash",
        "/name",
    )
    assert permitted('{"name": "Ada"}', task).grant == "friends"
