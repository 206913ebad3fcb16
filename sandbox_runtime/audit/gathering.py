"""Which records belong to one call, and which to one task?

Law: records alone are gathered here, and nothing is opened: whoever has no keys is told as
much. A task stands where the broker's own fold puts it. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from sandbox_runtime import records
from sandbox_runtime.task import begin, evolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox_runtime.records import (
        CallClosed,
        CallDecided,
        CallIntent,
        CallOutcome,
        ManifestsLoaded,
        Micros,
        Record,
        TaskClosed,
        TaskOpened,
    )
    from sandbox_runtime.task import TaskState


@dataclass(frozen=True, slots=True)
class Stored:
    """One record, as the log holds it."""

    sequence: int
    leaf: bytes
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecords:
    """What the log's leaves say of one call, as far as it came."""

    sequence: int
    """Of the decision's record."""
    decided: CallDecided
    intent: CallIntent | None = None
    outcome: CallOutcome | None = None
    closed: CallClosed | None = None

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds by stage, in the order of the call's life."""
        return {**self.decided.stages, **(self.outcome.stages if self.outcome else {})}


class Standing(StrEnum):
    """Whether anything more can happen in a task."""

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecords:
    """What the log's leaves say of one task."""

    sequence: int
    """Of the record that opened it."""
    opened: TaskOpened
    state: TaskState
    closed: TaskClosed | None = None
    closed_at: int | None = None
    """Sequence of the record that closed it."""
    notes: tuple[Stored, ...] = ()
    """What else was recorded of it, in order: more time and input, models, final answers."""
    calls: tuple[CallRecords, ...] = ()

    def standing(self, now: Micros) -> Standing:
        """Return whether it is open at `now`."""
        if self.closed is not None:
            return Standing.CLOSED
        return Standing.EXPIRED if now >= self.state.expires_at else Standing.OPEN


def calls(stored: Iterable[Stored]) -> list[CallRecords]:
    """Return the calls in the order in which they were decided.

    What follows no decision belongs to none; `verifying` says that it stands there.
    """
    found: list[CallRecords] = []
    places: dict[tuple[str, str], int] = {}
    for one in stored:
        match one.record:
            case records.CallDecided() as decided:
                if not decided.checked_only:
                    places[decided.task, decided.call] = len(found)
                found.append(CallRecords(sequence=one.sequence, decided=decided))
            case records.CallIntent() | records.CallOutcome() | records.CallClosed() as later:
                if (place := places.get((later.task, later.call))) is not None:
                    found[place] = _followed(found[place], later)
            case _:
                pass
    return found


def _followed(call: CallRecords, later: CallIntent | CallOutcome | CallClosed) -> CallRecords:
    match later:
        case records.CallIntent():
            return replace(call, intent=later)
        case records.CallOutcome():
            return replace(call, outcome=later)
        case records.CallClosed():
            return replace(call, closed=later)


def tasks(stored: Iterable[Stored]) -> list[TaskRecords]:
    """Return the tasks in the order in which they were opened."""
    kept = list(stored)
    found: dict[str, TaskRecords] = {}
    for one in kept:
        record = one.record
        if isinstance(record, records.TaskOpened):
            state = begin(record, ())  # the windows of rates decide, and are not shown
            found[record.task] = TaskRecords(sequence=one.sequence, opened=record, state=state)
        elif (task := found.get(getattr(record, "task", ""))) is not None:
            found[task.opened.task] = _evolved(task, one)
    called = _by_task(calls(kept))
    return [replace(task, calls=tuple(called.get(name, ()))) for name, task in found.items()]


def _evolved(task: TaskRecords, one: Stored) -> TaskRecords:
    match one.record:
        case records.TaskClosed() as closed:
            task = replace(task, closed=closed, closed_at=one.sequence)
        case (
            records.TaskExtended()
            | records.TaskInput()
            | records.ModelCalled()
            | records.FilePut()
            | records.FileGot()
            | records.FileHeldBack()
            | records.FileKept()
            | records.FileDeleted()
            | records.OutputChecked()
            | records.RefusalsSpent()
            | records.WorkspaceRemoved()
        ):
            task = replace(task, notes=(*task.notes, one))
        case _:
            pass
    return replace(task, state=evolve(task.state, one.record, one.sequence))


def _by_task(found: Iterable[CallRecords]) -> Mapping[str, list[CallRecords]]:
    by_task: defaultdict[str, list[CallRecords]] = defaultdict(list)
    for call in found:
        by_task[call.decided.task].append(call)
    return by_task


def tree(stored: Iterable[Stored], task: TaskOpened) -> ManifestsLoaded | None:
    """Return the record of the manifests under which the task was opened."""
    loaded = (one.record for one in stored if isinstance(one.record, records.ManifestsLoaded))
    return next((record for record in loaded if record.digest == task.tree_digest), None)
