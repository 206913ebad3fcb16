from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.policy import extended, hears, opener
from tests.support.manifests import BODY, MINUTE, NOW, open_task, with_state

TASK = open_task()
OPENER = "agent:tests"


def reason(what: object, *said: object) -> Reason:
    with pytest.raises(Refusal) as caught:
        what(*said)  # type: ignore[operator]
    return caught.value.why


def test_a_longer_life_counts_from_the_opening() -> None:
    assert extended(TASK, OPENER, timedelta(minutes=40), NOW + MINUTE) == NOW + 40 * MINUTE


def test_a_shorter_life_than_the_task_has_changes_nothing() -> None:
    assert extended(TASK, OPENER, timedelta(minutes=1), NOW) == TASK.state.expires_at


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(-1), timedelta(hours=1, seconds=1)])
def test_no_life_is_longer_than_the_manifest_allows(lifetime: timedelta) -> None:
    assert reason(extended, TASK, OPENER, lifetime, NOW) is Reason.REQUEST_INVALID


def test_who_did_not_open_the_task_neither_extends_nor_instructs_it() -> None:
    hour = timedelta(hours=1)
    assert reason(extended, TASK, "agent:other", hour, NOW) is Reason.OPENER_NOT_ALLOWED
    assert reason(hears, TASK, "agent:other", 1, NOW) is Reason.OPENER_NOT_ALLOWED


def test_a_task_that_has_ended_comes_back_by_nothing() -> None:
    closed, late = with_state(TASK, closed=True), NOW + 16 * MINUTE
    for task, now, why in [
        (closed, NOW, Reason.TASK_CLOSED),
        (TASK, late, Reason.TASK_EXPIRED),
    ]:
        assert reason(extended, task, OPENER, timedelta(hours=1), now) is why
        assert reason(hears, task, OPENER, 1, now) is why


def test_what_is_added_to_a_prompt_has_an_end() -> None:
    many = with_state(TASK, inputs=(BODY,) * opener.MAX_INPUTS)
    large = with_state(TASK, inputs=(BODY.model_copy(update={"size": opener.MAX_INPUT_BYTES}),))
    hears(TASK, OPENER, opener.MAX_INPUT_BYTES, NOW)
    assert reason(hears, many, OPENER, 1, NOW) is Reason.BUDGET_SPENT
    assert reason(hears, large, OPENER, 1, NOW) is Reason.BUDGET_SPENT
