"""What does the log say of each call, in one piece?

Law: a view is gathered from records and their bodies and from nothing else. What a model or
a tool wrote is carried as it was; whoever shows it cleans it for where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sandbox_runtime import records
from sandbox_runtime.call import CheckedResult, Closed
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import Erased
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.records import (
        Body,
        CallClosed,
        CallDecided,
        CallIntent,
        CallOutcome,
        Record,
    )

B = TypeVar("B", bound=Strict)


@dataclass(frozen=True, slots=True)
class Stored:
    """One record, as the log holds it."""

    sequence: int
    leaf: bytes
    record: Record


@dataclass(slots=True, kw_only=True)
class CallView:
    """All that the log holds of one call. A body is None where its key was destroyed."""

    decided: CallDecided
    sequence: int
    """Of the decision's record."""
    decision: DecisionBody | None
    intent: CallIntent | None = None
    outcome: CallOutcome | None = None
    result: CheckedResult | None = None
    closed: CallClosed | None = None
    word: Closed | None = None
    stages: dict[str, float] = field(default_factory=dict)
    """Milliseconds by stage, in the order of the call's life."""


def stored(state: Path, first: int = 0, last: int | None = None) -> Iterator[Stored]:
    """Yield the records of the log under the state directory, in order."""
    for sequence, leaf in layout.reader(state).read(first, last):
        yield Stored(sequence, leaf, records.parse(leaf))


def calls(state: Path, task: str | None = None) -> list[CallView]:
    """Return the calls of one task, or of all, in the order in which they were decided."""
    bodies = layout.bodies(state)
    views: list[CallView] = []
    by_call: dict[tuple[str, str], CallView] = {}
    for one in stored(state):
        record = one.record
        if task is not None and getattr(record, "task", None) != task:
            continue
        if isinstance(record, records.CallDecided):
            view = _begin(one.sequence, record, bodies)
            views.append(view)
            if not record.checked_only:
                by_call[record.task, record.call] = view
        elif isinstance(record, records.CallIntent | records.CallOutcome | records.CallClosed):
            _add(by_call[record.task, record.call], record, bodies)
    return views


def body(bodies: Bodies, task: str, ref: Body, model: type[B]) -> B | None:
    """Return a record's body; None where the task's key was destroyed."""
    try:
        return model.model_validate_json(bodies.open(task, ref))
    except Erased:
        return None


def _begin(sequence: int, record: CallDecided, bodies: Bodies) -> CallView:
    return CallView(
        decided=record,
        sequence=sequence,
        decision=body(bodies, record.task, record.body, DecisionBody),
        stages=dict(record.stages),
    )


def _add(view: CallView, record: CallIntent | CallOutcome | CallClosed, bodies: Bodies) -> None:
    match record:
        case records.CallIntent():
            view.intent = record
        case records.CallOutcome():
            view.outcome = record
            view.result = body(bodies, record.task, record.body, CheckedResult)
            view.stages.update(record.stages)
        case records.CallClosed():
            view.closed = record
            view.word = body(bodies, record.task, record.body, Closed)
