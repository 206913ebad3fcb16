"""Default deny, before anything is checked."""

from __future__ import annotations

import pytest

from sandbox_runtime.call import Candidate, Refused
from sandbox_runtime.errors import Reason
from sandbox_runtime.policy import match
from tests.support.manifests import MINUTE, NOW, open_task, propose, with_state


def refused(arguments: str, *, tool: str = "greet", now: int = NOW, **state: object) -> Refused:
    decision = match(with_state(open_task(), **state), propose(arguments, tool=tool), now)
    assert isinstance(decision, Refused)
    return decision


def test_a_tool_that_no_grant_names_is_refused() -> None:
    decision = refused("{}", tool="send_email")
    assert decision.reason is Reason.TOOL_NOT_GRANTED
    assert decision.hint == "granted tools: `greet`"


def test_a_closed_task_is_refused_everything() -> None:
    assert refused('{"name": "Ada"}', closed=True).reason is Reason.TASK_CLOSED


def test_a_task_is_over_at_the_microsecond_it_expires() -> None:
    call = propose('{"name": "Ada"}')
    end = NOW + 15 * MINUTE
    assert isinstance(match(open_task(), call, end - 1), Candidate)
    over = match(open_task(), call, end)
    assert isinstance(over, Refused)
    assert over.reason is Reason.TASK_EXPIRED


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="an array"),
        pytest.param('"name"', id="a string"),
        pytest.param('{"name": "Ada", "name": "Eve"}', id="a repeated key"),
        pytest.param('{"name": NaN}', id="not a number"),
        pytest.param('{"name": "Ada"} {"name": "Eve"}', id="two objects"),
        pytest.param('{"name": ' + "[" * 100 + "]" * 100 + "}", id="too deep"),
        pytest.param('{"name": "' + "a" * 300_000 + '"}', id="too long"),
        pytest.param('{"name": "\\ud800"}', id="half a character"),
    ],
)
def test_arguments_that_are_not_one_strict_object_are_refused(arguments: str) -> None:
    assert refused(arguments).reason is Reason.REQUEST_INVALID


def test_an_argument_that_the_tool_lacks_is_refused_and_pointed_at() -> None:
    decision = refused('{"name": "Ada", "a/b": 1}')
    assert (decision.reason, decision.pointer) == (Reason.ARGUMENT_UNKNOWN, "/a~1b")
    assert decision.hint == "its arguments: `name`, `times`, `note`, `tags`"


def test_a_missing_required_argument_is_refused_and_pointed_at() -> None:
    decision = refused("{}")
    assert (decision.reason, decision.pointer) == (Reason.ARGUMENT_MISSING, "/name")


def test_defaults_are_put_in_and_each_grant_of_the_tool_becomes_an_attempt() -> None:
    candidate = match(open_task(), propose('{"name": "Ada"}'), NOW)
    assert isinstance(candidate, Candidate)
    assert candidate.arguments == {"name": "Ada", "times": 1, "note": "", "tags": []}
    assert [attempt.grant for attempt in candidate.attempts] == ["friends", "colleagues"]


def test_matching_twice_gives_the_same_candidate() -> None:
    task, call = open_task(), propose('{"name": "Ada"}')
    assert match(task, call, NOW) == match(task, call, NOW)
