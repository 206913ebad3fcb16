"""Where does a task stand?

Law: a task's state is a fold over its records and nothing else. A restart, a replay and a
second broker do the same fold and get the same state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from sandbox_runtime.call import Outcome
from sandbox_runtime.records import (
    CallDecided,
    CallIntent,
    CallOutcome,
    FileDeleted,
    FileGot,
    FileHeldBack,
    FileKept,
    FilePut,
    ModelCalled,
    OutputChecked,
    RefusalsSpent,
    TaskClosed,
    TaskExtended,
    TaskInput,
    TaskOpened,
    WorkspaceRemoved,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTask, LoadedTool
    from sandbox_runtime.manifests.model import Grant
    from sandbox_runtime.records import Allotment, Body, Micros, Record
    from sandbox_runtime.strict import Json


_NOTHING_RAN = frozenset({Outcome.SANDBOX_UNAVAILABLE})
"""Outcomes of calls whose bytes never went in: they spend no call and count as refused, or
whoever asks again and again while there is no engine would fill the log."""


class Phase(StrEnum):
    """Where one call stands."""

    REFUSED = "refused"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntryEnd:
    """How one call ended."""

    outcome: Outcome
    body: Body
    sequence: int
    """Of the outcome's record."""
    wall_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntry:
    """What the task remembers of one call."""

    request_mac: str
    phase: Phase
    decided: Body
    grant: str | None
    reserved_ms: int = 0
    started_at: Micros = 0
    end: CallEntryEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEntry:
    """What the task remembers of one final answer."""

    request_mac: str
    decided: Body
    sequence: int
    """Of its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task, as its records tell it."""

    id: str
    manifest: str
    manifest_digest: str
    tree_digest: str
    subject: str
    delegate: str | None = None
    certificate: str | None = None
    """Of the client that opened it; its token counts only beside this one."""
    token_mac: str
    opened: Body
    opened_at: Micros
    expires_at: Micros
    closed: bool = False
    closed_at: Micros | None = None
    workspace: Allotment | None = None
    """Where its files are; None once they are gone, or where it never had any."""
    inputs: tuple[Body, ...] = ()
    """What its opener added to the prompt."""
    model_calls: int = 0
    """Requests to models that were claimed."""
    transfers: int = 0
    """Files that were to come into its workspace or leave it."""
    kept: Mapping[str, FileKept] = field(default_factory=dict)
    """Files that outlive the task, by id, until their time is over."""
    outputs: Mapping[str, OutputEntry] = field(default_factory=dict)
    """Final answers by their ids."""
    outputs_checked: Mapping[str, int] = field(default_factory=dict)
    """Final answers by name that destinations were asked about."""
    calls: Mapping[str, CallEntry] = field(default_factory=dict)
    spent: Mapping[str, int] = field(default_factory=dict)
    """Started calls by grant."""
    succeeded: Mapping[str, int] = field(default_factory=dict)
    """Calls by grant that ended OK."""
    windows: Mapping[str, int]
    """By grant that has a rate, how many of its starts tell whether another is too many."""
    starts: Mapping[str, tuple[Micros, ...]] = field(default_factory=dict)
    """When the latest calls of those grants were started; no more than their windows hold."""
    wall_ms: float = 0.0
    result_bytes: int = 0
    refusals: int = 0
    checks: int = 0
    unspent_bytes: int = 0
    """What the log keeps of calls that spent nothing: refused ones and checks."""
    muted: bool = False
    """Its refusals are used up: nothing more of it is decided or logged."""

    @property
    def openers(self) -> frozenset[str]:
        """Who has its opener's rights: for whom it was opened, and who opened it for them."""
        return frozenset({self.subject, self.delegate or self.subject})

    @property
    def ends_at(self) -> Micros:
        """When it ended, or will end by itself."""
        if self.closed_at is None:
            return self.expires_at
        return min(self.closed_at, self.expires_at)

    @property
    def started(self) -> int:
        """How many calls were started, whatever became of them."""
        return sum(self.spent.values())

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the calls that were started and have no outcome."""
        return tuple(i for i, call in self.calls.items() if call.phase is Phase.RUNNING)

    @property
    def reserved_ms(self) -> int:
        """Wall time set aside for calls that run now."""
        return sum(c.reserved_ms for c in self.calls.values() if c.phase is Phase.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """What deciding a call needs to know of its task: state, manifests, variables."""

    state: TaskState
    manifest: LoadedTask
    tools: Mapping[str, LoadedTool]
    variables: Mapping[str, Json]


def begin(record: TaskOpened, grants: Iterable[Grant]) -> TaskState:
    """Return the state that opening a task with these grants leaves."""
    return TaskState(
        id=record.task,
        manifest=record.manifest,
        manifest_digest=record.manifest_digest,
        tree_digest=record.tree_digest,
        subject=record.subject,
        delegate=record.delegate,
        certificate=record.certificate,
        token_mac=record.token_mac,
        opened=record.body,
        opened_at=record.at,
        expires_at=record.expires_at,
        workspace=record.workspace,
        windows={grant.id: grant.rate.calls for grant in grants if grant.rate is not None},
    )


def evolve(state: TaskState, record: Record, sequence: int) -> TaskState:
    """Return the state after `record`, which the log holds at `sequence`."""
    match record:
        case CallDecided():
            return _decided(state, record)
        case CallIntent():
            return _intended(state, record)
        case CallOutcome():
            return _ended(state, record, sequence)
        case RefusalsSpent() | WorkspaceRemoved():
            return _lost(state, record)
        case OutputChecked() | TaskClosed() | TaskExtended() | TaskInput() | ModelCalled():
            return _tended(state, record, sequence)
        case _:
            return _carried(state, record)


def _carried(state: TaskState, record: Record) -> TaskState:
    match record:
        case FilePut() | FileGot() | FileHeldBack():
            return replace(state, transfers=state.transfers + 1)
        case FileKept():
            return replace(state, kept={**state.kept, record.file: record})
        case FileDeleted():
            return replace(state, kept={i: k for i, k in state.kept.items() if i != record.file})
        case _:
            return state


def _lost(state: TaskState, record: RefusalsSpent | WorkspaceRemoved) -> TaskState:
    match record:
        case RefusalsSpent():
            return replace(state, muted=True)
        case WorkspaceRemoved():
            return replace(state, workspace=None)


def _tended(
    state: TaskState,
    record: OutputChecked | TaskClosed | TaskExtended | TaskInput | ModelCalled,
    sequence: int,
) -> TaskState:
    match record:
        case OutputChecked():
            return _answered(state, record, sequence)
        case TaskClosed():
            return replace(state, closed=True, closed_at=record.at)
        case TaskExtended():
            return replace(state, expires_at=max(state.expires_at, record.expires_at))
        case TaskInput():
            return replace(state, inputs=(*state.inputs, record.body))
        case ModelCalled():
            return replace(state, model_calls=state.model_calls + 1)


def _answered(state: TaskState, record: OutputChecked, sequence: int) -> TaskState:
    if not record.permitted:
        state = _unspent(state, record.body)
    checked = dict(state.outputs_checked)
    if record.output is not None and record.checks:
        checked[record.output] = checked.get(record.output, 0) + 1
    entry = OutputEntry(request_mac=record.request_mac, decided=record.body, sequence=sequence)
    return replace(
        state,
        outputs={**state.outputs, record.output_id: entry},
        outputs_checked=checked,
        refusals=state.refusals + (not record.permitted),
    )


def _decided(state: TaskState, record: CallDecided) -> TaskState:
    if record.checked_only or not record.permitted:
        state = _unspent(state, record.body)
    refusals = state.refusals + (not record.permitted)
    if record.checked_only:
        return replace(state, checks=state.checks + 1, refusals=refusals)
    entry = CallEntry(
        request_mac=record.request_mac,
        phase=Phase.RUNNING if record.permitted else Phase.REFUSED,
        decided=record.body,
        grant=record.grant,
    )
    return replace(state, calls={**state.calls, record.call: entry}, refusals=refusals)


def _intended(state: TaskState, record: CallIntent) -> TaskState:
    entry = replace(state.calls[record.call], reserved_ms=record.reserved_ms, started_at=record.at)
    spent = state.spent.get(record.grant, 0) + 1
    return replace(
        state,
        calls={**state.calls, record.call: entry},
        spent={**state.spent, record.grant: spent},
        starts=_started(state, record),
    )


def _started(state: TaskState, record: CallIntent) -> Mapping[str, tuple[Micros, ...]]:
    window = state.windows.get(record.grant, 0)
    if window == 0:
        return state.starts
    earlier = state.starts.get(record.grant, ())
    return {**state.starts, record.grant: (*earlier, record.at)[-window:]}


def _ended(state: TaskState, record: CallOutcome, sequence: int) -> TaskState:
    entry = state.calls[record.call]
    end = CallEntryEnd(
        outcome=record.outcome, body=record.body, sequence=sequence, wall_ms=record.wall_ms
    )
    ended = replace(entry, phase=Phase.ENDED, end=end)
    nothing_ran = record.outcome in _NOTHING_RAN
    if nothing_ran:
        state = _unspent(state, entry.decided)
    return replace(
        state,
        calls={**state.calls, record.call: ended},
        spent=_refunded(state, entry) if nothing_ran else state.spent,
        starts=_taken_back(state, entry) if nothing_ran else state.starts,
        succeeded=_succeeded(state, entry) if record.outcome is Outcome.OK else state.succeeded,
        refusals=state.refusals + nothing_ran,
        wall_ms=state.wall_ms + record.wall_ms,
        result_bytes=state.result_bytes + record.result_bytes,
    )


def _unspent(state: TaskState, kept: Body) -> TaskState:
    return replace(state, unspent_bytes=state.unspent_bytes + kept.size)


def _refunded(state: TaskState, entry: CallEntry) -> Mapping[str, int]:
    grant = entry.grant or ""
    return {**state.spent, grant: state.spent.get(grant, 0) - 1}


def _taken_back(state: TaskState, entry: CallEntry) -> Mapping[str, tuple[Micros, ...]]:
    grant = entry.grant or ""
    starts = list(state.starts.get(grant, ()))
    if entry.started_at not in starts:
        return state.starts
    starts.remove(entry.started_at)
    return {**state.starts, grant: tuple(starts)}


def _succeeded(state: TaskState, entry: CallEntry) -> Mapping[str, int]:
    grant = entry.grant or ""
    return {**state.succeeded, grant: state.succeeded.get(grant, 0) + 1}
