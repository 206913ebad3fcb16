"""Fairness, as a game: calls come, go and end in any order, and the laws hold after each move."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandbox_runtime.turns import Limits, Turn, Turns

SMALL = Limits(
    running=4,
    running_per_subject=3,
    running_per_task=2,
    queued=30,
    queued_per_subject=20,
    queued_per_task=10,
)


def turn(subject: str, task: str, *, alone: bool = False) -> Turn:
    return Turn(subject=subject, task=f"{subject}/{task}", alone=alone)


class Game(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(SMALL)
        self.waiting: list[Turn] = []
        self.running: list[Turn] = []

    @rule(subject=st.sampled_from("abc"), task=st.sampled_from("xy"), alone=st.booleans())
    def come(self, subject: str, task: str, alone: bool) -> None:  # noqa: FBT001 - drawn
        wish = turn(subject, task, alone=alone)
        if self.turns.full(wish) is None:
            self.turns.ask(wish)
            self.waiting.append(wish)
            self.grant()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(self.running))
        self.running.remove(ended)
        self.turns.end(ended)
        self.grant()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(gone)
        self.turns.leave(gone)
        self.grant()

    def grant(self) -> None:
        for granted in self.turns.grant():
            earlier = self.waiting[: self.waiting.index(granted)]
            passed = [one for one in earlier if one.task == granted.task]
            assert not any(self.may_run(one) for one in passed), "not first come, first served"
            self.waiting.remove(granted)
            self.running.append(granted)

    def may_run(self, one: Turn) -> bool:
        subjects = Counter(each.subject for each in self.running)
        tasks = Counter(each.task for each in self.running)
        beside = one.alone and any(each.alone and each.task == one.task for each in self.running)
        return (
            len(self.running) < SMALL.running
            and subjects[one.subject] < SMALL.running_per_subject
            and tasks[one.task] < SMALL.running_per_task
            and not beside
        )

    @invariant()
    def no_more_run_than_may(self) -> None:
        assert len(self.running) <= SMALL.running
        for count, most in [
            (Counter(each.subject for each in self.running), SMALL.running_per_subject),
            (Counter(each.task for each in self.running), SMALL.running_per_task),
            (Counter(each.task for each in self.running if each.alone), 1),
        ]:
            assert max(count.values(), default=0) <= most

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        assert not any(self.may_run(each) for each in self.waiting)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert (self.turns.queued, self.turns.running) == (len(self.waiting), len(self.running))


Game.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestGame = Game.TestCase


def served(turns: Turns, count: int) -> list[str]:
    """Return whose turns come, one at a time."""
    order = []
    for _ in range(count):
        (granted,) = turns.grant()
        order.append(granted.task)
        turns.end(granted)
    return order


ONE = Limits(
    running=1,
    running_per_subject=1,
    running_per_task=1,
    queued=1000,
    queued_per_subject=1000,
    queued_per_task=1000,
)


def test_a_greedy_task_lets_every_other_have_its_turn() -> None:
    turns = Turns(ONE)
    for _ in range(200):
        turns.ask(turn("a", "greedy"))
    for subject, task in [("a", "small"), ("b", "small"), ("c", "small")]:
        turns.ask(turn(subject, task))
    assert served(turns, 5) == ["a/greedy", "b/small", "c/small", "a/small", "a/greedy"]


def test_a_subject_gains_nothing_by_many_tasks() -> None:
    turns = Turns(ONE)
    for number in range(50):
        turns.ask(turn("a", f"task {number}"))
    for _ in range(3):
        turns.ask(turn("b", "only"))
    assert [task[0] for task in served(turns, 6)] == list("ababab")


def test_a_call_that_runs_alone_holds_up_no_other_of_its_task() -> None:
    turns = Turns(SMALL)
    first, second, beside = (turn("a", "x", alone=alone) for alone in (True, True, False))
    for each in (first, second, beside):
        turns.ask(each)
    assert list(turns.grant()) == [first, beside]
    turns.end(beside)
    assert list(turns.grant()) == []
    turns.end(first)
    assert list(turns.grant()) == [second]


@pytest.mark.parametrize(
    ("queued", "whose"),
    [
        ({"queued": 1}, "the broker's"),
        ({"queued_per_subject": 1}, "the subject's"),
        ({"queued_per_task": 1}, "the task's"),
    ],
)
def test_a_full_queue_says_whose_it_is(queued: dict[str, int], whose: str) -> None:
    given = {**{name: getattr(ONE, name) for name in Limits.__slots__}, **queued}
    turns = Turns(Limits(**given))
    turns.ask(turn("a", "x"))
    assert turns.full(turn("a", "x")) == whose
    others = {"the broker's": turn("b", "x"), "the subject's": turn("a", "y")}
    for name, other in others.items():
        assert (turns.full(other) == whose) is (whose in {name, "the broker's"})
