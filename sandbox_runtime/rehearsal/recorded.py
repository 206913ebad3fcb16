"""How was a recorded call decided?

Law: by what the log holds and nothing else: the task's state is folded from the records before
the decision, the manifests are those it was opened under, and what the destinations said then
is not asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from sandbox_runtime import policy
from sandbox_runtime.audit.reading import body, stored
from sandbox_runtime.call import Permitted, ProposedCall, Refused
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.evidence import layout
from sandbox_runtime.ledger import SYSTEM, Brought, Files
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.records import CallDecided, ManifestsLoaded, TaskOpened
from sandbox_runtime.rehearsal.playing import Judged, redecided, unmatched
from sandbox_runtime.strict import Strict
from sandbox_runtime.task import OpenTask, begin, evolve

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.records import Body, Record

B = TypeVar("B", bound=Strict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded decision, decided again."""

    judged: Judged
    record: CallDecided
    sequence: int

    @property
    def same(self) -> bool:
        """Whether it comes out as it was recorded: verdict, grant, reason and rule."""
        decision, record = self.judged.decision, self.record
        reason = decision.reason if isinstance(decision, Refused) else None
        rule = str(self.judged.task.manifest.place(decision.rule))
        now = (isinstance(decision, Permitted), decision.grant, reason, rule)
        return now == (record.permitted, record.grant, record.reason, record.rule)


@dataclass(slots=True, kw_only=True)
class _Found:
    """What the log holds of one task up to a decision."""

    opened: TaskOpened | None = None
    trees: dict[str, ManifestsLoaded] = field(default_factory=dict)
    before: tuple[tuple[Record, int], ...] = ()
    """The task's records between its opening and the decision, with their sequences."""
    decided: CallDecided | None = None
    sequence: int = 0


def recorded(state: Path, task: str, call: str) -> Recorded:
    """Return the decision on a call, decided again.

    Of calls that were only checked, under one id, it is the latest. Raises `Refusal` where the
    log has no such call or its bodies were erased, and `Fault` where it cannot be repeated.
    """
    found = _find(state, task, call)
    if found.opened is None or found.decided is None:
        what = "call" if found.opened is not None else "task"
        raise Refusal(f"the log holds no such {what}", reason=Reason.CALL_NOT_FOUND)
    bodies = layout.bodies(state)
    opened = _task(bodies, found, found.opened)
    return Recorded(
        judged=_judged(bodies, opened, found.decided),
        record=found.decided,
        sequence=found.sequence,
    )


def _find(state: Path, task: str, call: str) -> _Found:
    found = _Found()
    since: list[tuple[Record, int]] = []
    for one in stored(state):
        record = one.record
        if isinstance(record, ManifestsLoaded):
            found.trees[record.digest] = record
        elif isinstance(record, TaskOpened) and record.task == task:
            found.opened = record
        elif getattr(record, "task", None) == task:
            if isinstance(record, CallDecided) and record.call == call:
                found.before, found.decided, found.sequence = tuple(since), record, one.sequence
                if not record.checked_only:
                    break
            since.append((record, one.sequence))
    return found


def _task(bodies: Bodies, found: _Found, record: TaskOpened) -> OpenTask:
    """Return the task as it stood right before the decision."""
    loaded = found.trees[record.tree_digest]
    tree = load_texts(_body(bodies, SYSTEM, loaded.body, Files).files)
    manifest = tree.tasks[record.manifest]
    state = begin(record, manifest.manifest.spec.grants)
    for entry, sequence in found.before:
        state = evolve(state, entry, sequence)
    brought = _body(bodies, record.task, record.body, Brought)
    return OpenTask(state=state, manifest=manifest, tools=tree.tools, variables=brought.variables)


def _judged(bodies: Bodies, task: OpenTask, record: CallDecided) -> Judged:
    decision = _body(bodies, record.task, record.body, DecisionBody)
    call = ProposedCall(
        task_id=record.task,
        call_id=record.call,
        tool=decision.tool,
        text=decision.text.encode(),
        subject=record.subject,
        model=decision.model,
    )
    matched = policy.match(task, call, decision.matched_at)
    if isinstance(matched, Refused):
        return unmatched(task, call, matched, decision.matched_at)
    tried = [attempt.grant for attempt in decision.attempts]
    if decision.checked is None or tried != [attempt.grant for attempt in matched.attempts]:
        raise Fault("the record does not hold what this version would decide the call by")
    return redecided(task, matched, decision.checked, record.at)


def _body(bodies: Bodies, task: str, ref: Body, model: type[B]) -> B:
    try:
        opened = body(bodies, task, ref, model)
    except ValidationError as error:
        raise Fault("the record's body is of another version of the broker") from error
    if opened is None:
        raise Refusal("what the call was decided by was erased", reason=Reason.CALL_NOT_FOUND)
    return opened
