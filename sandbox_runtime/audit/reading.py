"""What does the log say of each call and each task, in one piece?

Law: a view is gathered from records and their bodies and from nothing else. What a model or
a tool wrote is carried as it was; whoever shows it cleans it for where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import ValidationError

from sandbox_runtime import records
from sandbox_runtime.audit import gathering
from sandbox_runtime.audit.gathering import Stored
from sandbox_runtime.call import CheckedResult, Closed
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import Erased
from sandbox_runtime.ledger import SYSTEM, Brought, Files, PromptPart, Said
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox_runtime.audit.gathering import CallRecords, TaskRecords
    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.records import (
        Body,
        CallClosed,
        CallDecided,
        CallIntent,
        CallOutcome,
        ManifestsLoaded,
    )

B = TypeVar("B", bound=Strict)


class WrittenOtherwise(Fault):
    """Another version of the broker wrote this."""


@dataclass(slots=True, kw_only=True)
class CallView:
    """All that the log holds of one call. A body is None where it was not opened, or erased."""

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

    @classmethod
    def of(cls, call: CallRecords) -> Self:
        """Return what the leaves alone say."""
        return cls(
            decided=call.decided,
            sequence=call.sequence,
            decision=None,
            intent=call.intent,
            outcome=call.outcome,
            closed=call.closed,
            stages=call.stages,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task, with what its opener brought and what its manifest granted."""

    records: TaskRecords
    brought: Brought | None
    """None: its key was destroyed."""
    said: tuple[PromptPart, ...]
    """What its opener added to the prompt later."""
    manifest: LoadedTask | None


def stored(state: Path, first: int = 0, last: int | None = None) -> Iterator[Stored]:
    """Yield the records of the log under the state directory, in order."""
    for sequence, leaf in layout.reader(state).read(first, last):
        yield Stored(sequence, leaf, records.parse(leaf))


def follow(state: Path, first: int, wait: Callable[[], None]) -> Iterator[Stored]:
    """Yield records from `first` on as a broker writes them, without end.

    `wait` is called whenever there is no more.
    """
    for sequence, leaf in layout.reader(state).follow(first, wait):
        yield Stored(sequence, leaf, records.parse(leaf))


def calls(state: Path, task: str | None = None) -> list[CallView]:
    """Return the calls of one task, or of all, in the order in which they were decided."""
    bodies = layout.bodies(state)
    found = gathering.calls(stored(state))
    return [call_view(one, bodies) for one in found if task in (None, one.decided.task)]


def call_view(call: CallRecords, bodies: Bodies) -> CallView:
    """Return a call with its bodies. Raises as `body`."""
    view, task = CallView.of(call), call.decided.task
    view.decision = body(bodies, task, call.decided.body, DecisionBody)
    if call.outcome is not None:
        view.result = body(bodies, task, call.outcome.body, CheckedResult)
    if call.closed is not None:
        view.word = body(bodies, task, call.closed.body, Closed)
    return view


def task_view(task: TaskRecords, loaded: ManifestsLoaded, bodies: Bodies) -> TaskView:
    """Return a task with its bodies; `loaded` is the tree that was in force.

    Raises as `body`, and `ManifestErrors` where this version understands another language.
    """
    files = body(bodies, SYSTEM, loaded.body, Files)
    return TaskView(
        records=task,
        brought=body(bodies, task.opened.task, task.opened.body, Brought),
        said=tuple(_said(task, bodies)),
        manifest=load_texts(files.files).tasks[task.opened.manifest] if files else None,
    )


def _said(task: TaskRecords, bodies: Bodies) -> Iterator[PromptPart]:
    for one in task.notes:
        if isinstance(one.record, records.TaskInput):
            added = body(bodies, one.record.task, one.record.body, Said)
            yield from added.prompt if added is not None else ()


def body(bodies: Bodies, task: str, ref: Body, model: type[B]) -> B | None:
    """Return a record's body; None where the task's key was destroyed.

    Raises `KeysRefused`, `DamagedBody` and `WrittenOtherwise`.
    """
    try:
        return model.model_validate_json(bodies.open(task, ref))
    except Erased:
        return None
    except ValidationError as strange:
        problem = f"a body of task `{task}` is not in the shape that this version writes"
        raise WrittenOtherwise(problem) from strange
