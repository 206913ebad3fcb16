"""What would become of these calls, one after the other?

Law: the task's state evolves by the records that a broker would write, and by nothing else.
How a call that runs would end is assumed; all before that is decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime import entries, policy
from sandbox_runtime.call import (
    Answered,
    Checked,
    CheckedResult,
    Outcome,
    Permitted,
    Refused,
)
from sandbox_runtime.records import Body, TaskOpened
from sandbox_runtime.task import OpenTask, begin, evolve
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.call import Candidate, ProposedCall
    from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTool
    from sandbox_runtime.records import Micros, Record
    from sandbox_runtime.strict import Json

START: Micros = 1_800_000_000_000_000
"""When every rehearsal begins: decisions read no clock."""

MICROSECOND = timedelta(microseconds=1)
TASK = "t-rehearsal"
_NO_BODY = Body(commitment="", size=0, at=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A call, the task as it stood, and what was decided of it by what."""

    task: OpenTask
    call: ProposedCall
    at: Micros
    candidate: Candidate | None
    checked: Checked | None
    decision: Permitted | Refused

    @property
    def turns(self) -> tuple[Permitted | Refused, ...]:
        """What each grant that was tried says alone, in the manifest's order."""
        if self.candidate is None or self.checked is None:
            return ()
        tried = policy.tried(self.task, self.candidate, self.checked, self.at)
        return tuple(turn.refused if isinstance(turn, policy.Turn) else turn for turn in tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """How a call that runs is assumed to end."""

    outcome: Outcome = Outcome.OK
    result: Json = None
    took: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Container:
    """The container that would be planned."""

    wall_ms: int
    image: str = ""
    plan_digest: str = ""


def opened(
    tree: Catalogue,
    manifest: str,
    subject: str | None,
    variables: Mapping[str, Json],
    claims: Mapping[str, Json],
) -> OpenTask:
    """Return a task as it would be opened; raise the `Refusal` that its opener would get."""
    loaded = tree.tasks[manifest]
    opener = policy.Opener(subject=subject or loaded.manifest.spec.opened_by[0], claims=claims)
    admitted = policy.admit(loaded, opener, variables, None)
    record = TaskOpened(
        at=START,
        task=TASK,
        manifest=manifest,
        manifest_digest=loaded.digest,
        tree_digest=tree.digest,
        subject=opener.subject,
        token_mac="",
        expires_at=START + admitted.lives_for // MICROSECOND,
        prompt=(),
        variables=dict(admitted.origins),
        body=_NO_BODY,
    )
    state = begin(record, loaded.manifest.spec.grants)
    return OpenTask(state=state, manifest=loaded, tools=tree.tools, variables=admitted.variables)


def judged(task: OpenTask, call: ProposedCall, now: Micros) -> Judged:
    """Decide a call as a broker would at `now`."""
    candidate = policy.match(task, call, now)
    if isinstance(candidate, Refused):
        return unmatched(task, call, candidate, now)
    value: Json = dict(candidate.arguments)
    verdicts = tuple(examine(value, attempt.checks) for attempt in candidate.attempts)
    return redecided(task, candidate, Checked(verdicts=verdicts), now)


def unmatched(task: OpenTask, call: ProposedCall, refused: Refused, now: Micros) -> Judged:
    """Return a call that was refused before anything of it was checked."""
    return Judged(task=task, call=call, at=now, candidate=None, checked=None, decision=refused)


def redecided(task: OpenTask, candidate: Candidate, checked: Checked, now: Micros) -> Judged:
    """Decide by what the destinations have said."""
    return Judged(
        task=task,
        call=candidate.call,
        at=now,
        candidate=candidate,
        checked=checked,
        decision=policy.decide(task, candidate, checked, now),
    )


def ended(judged: Judged, assumed: Assumed) -> tuple[OpenTask, CheckedResult | None]:
    """Return the task after the call, and how the call ended where it ran."""
    task = _evolved(judged.task, _decision(judged))
    if not isinstance(judged.decision, Permitted):
        return task, None
    left = policy.wall_time_left(judged.task)
    container = _Container(min(left, _milliseconds(judged.decision.tool)))
    task = _evolved(task, entries.intent(judged.decision, container, at=judged.at))
    result = _result(judged.decision.tool, assumed, policy.bytes_left(judged.task))
    answered = Answered(
        outcome=result.outcome, wall_ms=assumed.took / timedelta(milliseconds=1), stages={}
    )
    record = entries.outcome(
        TASK,
        judged.call.call_id,
        result,
        answered,
        (),
        at=judged.at + assumed.took // MICROSECOND,
        body=_NO_BODY,
    )
    return _evolved(task, record), result


def _decision(judged: Judged) -> Record:
    return entries.decided(
        judged.task,
        judged.call,
        judged.checked,
        judged.decision,
        at=judged.at,
        checked_only=False,
        request_mac="",
        stages={},
        body=_NO_BODY,
    )


def _evolved(task: OpenTask, record: Record) -> OpenTask:
    return replace(task, state=evolve(task.state, record, 0))


def _milliseconds(tool: LoadedTool) -> int:
    return tool.manifest.spec.sandbox.wall_time // timedelta(milliseconds=1)


def _result(tool: LoadedTool, assumed: Assumed, bytes_left: int) -> CheckedResult:
    """Return what the assumed answer becomes on its way through the tool's own checks."""
    if assumed.outcome is not Outcome.OK or assumed.result is None:
        return CheckedResult(outcome=assumed.outcome)
    answer = policy.ToolAnswer(result=assumed.result, error=None, artifacts=())
    value, checks = policy.answer_checks(answer, tool.manifest)
    verdicts = examine(value, checks)
    return policy.release(tool.manifest, answer, checks, verdicts, bytes_left=bytes_left)
