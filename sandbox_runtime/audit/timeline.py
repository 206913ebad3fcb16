"""What happened in a task, in order, and what did it spend?

Law: one line an event, made from leaves alone: names, codes, sizes and times, and nothing
that a model, a user or a tool wrote. Pure.
"""

from __future__ import annotations

import math
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.audit.gathering import Standing
from sandbox_runtime.manifests.units import print_duration, print_size
from sandbox_runtime.records import (
    FileDeleted,
    FileGot,
    FileHeldBack,
    FileKept,
    FilePut,
    FileRecord,
    ModelCalled,
    OutputChecked,
    TaskExtended,
    TaskInput,
)
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from sandbox_runtime.audit.gathering import CallRecords, Stored, TaskRecords
    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.manifests.model import TaskSpec
    from sandbox_runtime.records import CallOutcome, Micros, ModelClaim, Record
    from sandbox_runtime.task import TaskState


class Event(Strict):
    """One thing that happened."""

    at: int
    """Microseconds since 1970."""
    sequence: int | None
    """Of the record that says so; None: nobody had to write that down."""
    what: str
    call: str | None = None


class Budget(Strict):
    """What of one budget is used."""

    name: str
    used: str
    granted: str | None
    """None: the manifest could not be read."""


def timeline(task: TaskRecords, now: Micros) -> list[Event]:
    """Return what happened, up to `now`. Each call is one event, at its decision."""
    called = [_called(call) for call in task.calls]
    noted = [_noted(task, one) for one in task.notes]
    events = [_opened(task), *called, *noted, *_ended(task, now)]
    return sorted(events, key=_place)


def _place(event: Event) -> float:
    return event.sequence if event.sequence is not None else math.inf


def _opened(task: TaskRecords) -> Event:
    opened = task.opened
    parts = ", ".join(opened.prompt) or "no prompt"
    files = f" and {print_size(opened.workspace.size)} for files" if opened.workspace else ""
    what = f"opened by {opened.subject} as {opened.manifest}, with {parts}{files}"
    return Event(at=opened.at, sequence=task.sequence, what=what)


def _called(call: CallRecords) -> Event:
    decided = call.decided
    what = f"{decided.call} {decided.tool or '(no tool of ours)'}: {_verdict(call)}{_end(call)}"
    return Event(at=decided.at, sequence=call.sequence, what=what, call=decided.call)


def _verdict(call: CallRecords) -> str:
    decided = call.decided
    checked = "checked only, " if decided.checked_only else ""
    if decided.permitted:
        return f"{checked}permitted by `{decided.grant}`"
    code = f" {decided.code}" if decided.code else ""
    return f"{checked}refused {decided.reason}{code}"


def _end(call: CallRecords) -> str:
    if call.outcome is not None:
        code = f" {call.outcome.code}" if call.outcome.code else ""
        why = _cancelled(call.outcome)
        return f", {call.outcome.outcome}{code}{why} after {call.outcome.wall_ms:.0f} ms"
    return ", under way" if call.intent is not None else ""


def _cancelled(outcome: CallOutcome) -> str:
    """Return why a call was cancelled, where somebody has said so."""
    if outcome.cancelled is None:
        return ""
    by = f" {outcome.cancelled.by}" if outcome.cancelled.by is not None else ""
    return f" ({_CANCELLED[outcome.cancelled.how]}{by})"


_CANCELLED = MappingProxyType(
    {
        "asked": "asked for by",
        "task_closed": "its task closed by",
        "hung_up": "who sent it hung up",
        "stopped": "the broker stopped",
    }
)


_TELLING = MappingProxyType(
    {
        "alert.refusals_spent": "refusals used up: nothing more of it is decided or logged",
        "workspace.removed": "its files removed",
    }
)
"""What records say that have nothing more to say than their kind."""


def _noted(task: TaskRecords, one: Stored) -> Event:
    return Event(at=one.record.at, sequence=one.sequence, what=_said(task, one.record))


def _said(task: TaskRecords, record: Record) -> str:
    if isinstance(record, FileRecord):
        return _file(record)
    return _note(task, record)


def _note(task: TaskRecords, record: Record) -> str:
    match record:
        case TaskExtended():
            life = timedelta(microseconds=record.expires_at - task.opened.at)
            return f"extended by {record.subject}: it lives for {print_duration(life)}"
        case TaskInput():
            return f"told more by {record.subject}, with {', '.join(record.prompt)}"
        case ModelCalled():
            return _model(record.claimed)
        case OutputChecked():
            return _output(record)
        case _:
            return _TELLING.get(record.kind, str(record.kind))


def _model(claimed: ModelClaim) -> str:
    who = "/".join(filter(None, (claimed.provider, claimed.model))) or "(unnamed)"
    said = "" if claimed.validation == "unspecified" else f", its answer {claimed.validation}"
    tokens = f"{claimed.input_tokens} tokens in, {claimed.output_tokens} out"
    return f"model {who} called, it claims: {tokens}, {claimed.latency_ms:.0f} ms{said}"


def _output(record: OutputChecked) -> str:
    name = f"output {record.output or '(none of ours)'} {record.output_id}"
    if not record.permitted:
        return f"{name}: refused {record.reason}{f' {record.code}' if record.code else ''}"
    rewritten = f", {record.changes} changes" if record.changes else ""
    return f"{name}: accepted, {record.canonical_bytes} bytes{rewritten}"


def _file(record: FileRecord) -> str:
    match record:
        case FilePut():
            return f"a file of {record.size} bytes put by {record.subject}"
        case FileGot():
            whence = "a kept" if record.kept is not None else "a"
            file = f"{whence} file, {record.media_type} of {record.size} bytes"
            return f"{file}, got by {record.subject}"
        case FileHeldBack():
            return f"a file held back: {record.code}"
        case FileKept():
            return f"file {record.file} kept, {record.media_type} of {record.size} bytes"
        case FileDeleted():
            return f"kept file {record.file} deleted: its time was over"


def _ended(task: TaskRecords, now: Micros) -> list[Event]:
    if task.closed is not None:
        what = f"closed by {task.closed.subject}"
        return [Event(at=task.closed.at, sequence=task.closed_at, what=what)]
    if task.standing(now) is Standing.EXPIRED:
        return [Event(at=task.state.expires_at, sequence=None, what="expired")]
    return []


def budgets(task: TaskRecords, manifest: LoadedTask | None) -> list[Budget]:
    """Return what the task used of each of its budgets, the task's own first."""
    spec = manifest.manifest.spec if manifest is not None else None
    used, granted = _used(task.state), _granted(spec) if spec is not None else {}
    names = dict.fromkeys((*used, *granted))
    return [Budget(name=n, used=used.get(n, "0"), granted=granted.get(n)) for n in names]


def _used(state: TaskState) -> dict[str, str]:
    return {
        "calls": str(state.started),
        "wall time": f"{state.wall_ms / 1000:.3f}s",
        "result bytes": str(state.result_bytes),
        "refusals": str(state.refusals),
        "checks": str(state.checks),
        "outputs": str(sum(state.outputs_checked.values())),
        **{f"grant `{name}`": str(count) for name, count in state.spent.items()},
        **{f"output `{name}`": str(count) for name, count in state.outputs_checked.items()},
    }


def _granted(spec: TaskSpec) -> dict[str, str]:
    given = spec.budgets
    return {
        "calls": str(given.calls),
        "wall time": print_duration(given.wall_time),
        "result bytes": print_size(given.result_bytes),
        "refusals": str(given.refusals),
        "checks": str(given.checks),
        "outputs": str(given.outputs),
        **{f"grant `{grant.id}`": str(grant.max_calls) for grant in spec.grants},
        **{f"output `{name}`": str(one.max_checks) for name, one in spec.outputs.items()},
    }
