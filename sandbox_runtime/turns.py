"""Who runs next, when more want to than may?

Law: subjects take turns, and within a subject its tasks; within a task it is first come, first
served. So before a subject's turn comes at most one of each other subject, and before a task's
at most one of each other task of its subject, however many calls those have sent. What no limit
keeps back never waits while there is room. Pure.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many calls may run, and how many may wait for that."""

    running: int
    running_per_subject: int
    running_per_task: int
    queued: int
    queued_per_subject: int
    queued_per_task: int


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """One call's wish to run."""

    subject: str
    task: str
    alone: bool = False
    """Whether it runs beside no other such call of its task."""
    granted: bool = False


@dataclass(slots=True)
class Turns:
    """Turns that run and turns that wait."""

    limits: Limits
    _waiting: dict[str, dict[str, deque[Turn]]] = field(default_factory=dict)
    """By subject and task, in the order in which their turns come."""
    _queued: Counter[str] = field(default_factory=Counter)
    """How many wait, under each of their keys."""
    _running: Counter[str] = field(default_factory=Counter)
    """How many run, likewise."""
    _alone: set[str] = field(default_factory=set)
    """Tasks of which a call runs that runs alone."""

    @property
    def queued(self) -> int:
        """How many wait."""
        return self._queued[_ALL]

    @property
    def running(self) -> int:
        """How many run."""
        return self._running[_ALL]

    def full(self, turn: Turn) -> str | None:
        """Return whose queue is full, if one is: the broker's, the subject's or the task's."""
        most, (all_, subject, task) = self.limits, _keys(turn)
        bounds = {
            "the task's": (task, most.queued_per_task),
            "the subject's": (subject, most.queued_per_subject),
            "the broker's": (all_, most.queued),
        }
        return next((name for name, (key, at) in bounds.items() if self._queued[key] >= at), None)

    def ask(self, turn: Turn) -> None:
        """Put a turn behind those of its task. Grants nothing by itself."""
        tasks = self._waiting.setdefault(turn.subject, {})
        tasks.setdefault(turn.task, deque()).append(turn)
        self._queued.update(_keys(turn))

    def leave(self, turn: Turn) -> None:
        """Forget a turn that waits."""
        tasks = self._waiting[turn.subject]
        tasks[turn.task].remove(turn)
        if not tasks[turn.task]:
            del tasks[turn.task]
        if not tasks:
            del self._waiting[turn.subject]
        _less(self._queued, turn)

    def end(self, turn: Turn) -> None:
        """Say that a granted turn is over."""
        _less(self._running, turn)
        if turn.alone:
            self._alone.discard(turn.task)

    def grant(self) -> Iterator[Turn]:
        """Yield those whose turn it is now, each granted as it is yielded."""
        while (turn := self._next()) is not None:
            self.leave(turn)
            self._last(turn)
            turn.granted = True
            self._running.update(_keys(turn))
            if turn.alone:
                self._alone.add(turn.task)
            yield turn

    def _next(self) -> Turn | None:
        every = (
            turn for tasks in self._waiting.values() for turns in tasks.values() for turn in turns
        )
        return next((turn for turn in every if self._may_run(turn)), None)

    def _may_run(self, turn: Turn) -> bool:
        most, (all_, subject, task) = self.limits, _keys(turn)
        return (
            self._running[all_] < most.running
            and self._running[subject] < most.running_per_subject
            and self._running[task] < most.running_per_task
            and not (turn.alone and turn.task in self._alone)
        )

    def _last(self, turn: Turn) -> None:
        """Put subject and task behind the others, where more of them waits."""
        if (tasks := self._waiting.pop(turn.subject, None)) is None:
            return
        self._waiting[turn.subject] = tasks
        if (turns := tasks.pop(turn.task, None)) is not None:
            tasks[turn.task] = turns


_ALL = ""


def _keys(turn: Turn) -> tuple[str, str, str]:
    return _ALL, f"subject {turn.subject}", f"task {turn.task}"


def _less(counts: Counter[str], turn: Turn) -> None:
    for key in _keys(turn):
        counts[key] -= 1
        if not counts[key]:
            del counts[key]
