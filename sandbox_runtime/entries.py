"""How does each stage of a call become a record, and a record what the caller is told?

Law: whatever the decision was made from goes into the record or its body, so that the call
can be decided again. What a model or a user wrote goes into the body alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from sandbox_runtime.call import (
    Check,
    Checked,
    CheckedResult,
    ModelContext,
    Objected,
    Outcome,
    Permitted,
    Refused,
)
from sandbox_runtime.destinations.json_text import canonical, tokens
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.policy.release import size
from sandbox_runtime.records import (
    CallClosed,
    CallDecided,
    CallIntent,
    CallOutcome,
    CheckTrace,
    Micros,
)
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox_runtime.call import Answered, Candidate, Closed, ProposedCall, Verdict
    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.records import Body, Cancellation
    from sandbox_runtime.task import OpenTask


class ToldRefusal(Strict):
    """A refusal, as the body of its decision keeps it."""

    reason: Reason
    problem: str
    pointer: str
    code: str | None
    hint: str | None
    retry_after_ms: int | None = None

    def refusal(self) -> Refusal:
        """Return what the caller is told. The rule stays with the operators."""
        return Refusal(
            self.problem,
            reason=self.reason,
            pointer=self.pointer,
            code=self.code,
            hint=self.hint,
            retry_after=_span(self.retry_after_ms),
        )


def _span(milliseconds: int | None) -> timedelta | None:
    return timedelta(milliseconds=milliseconds) if milliseconds is not None else None


class ToldPermission(Strict):
    """A permission, as the body of its decision keeps it."""

    arguments: dict[str, Json]
    """As they ran."""
    shown: dict[str, Json] = Field(default={})
    """As the caller may see them. Empty where an early version wrote the log: it kept none."""
    changes: tuple[str, ...]
    facts: dict[str, Json]


class TriedGrant(Strict):
    """One grant under which the call was tried, and the checks that it asked for."""

    grant: str
    checks: tuple[Check, ...]


class DecisionBody(Strict):
    """All that a decision was made from, and what it was."""

    tool: str
    text: str
    """The arguments as the model wrote them."""
    model: ModelContext
    matched_at: Micros
    attempts: tuple[TriedGrant, ...]
    checked: Checked | None
    permitted: ToldPermission | None
    refused: ToldRefusal | None
    unplanned: bool = False
    """The policy permitted it, and no container could be planned: refused for that."""


class Planned(Protocol):
    """What the log says of a container before it exists."""

    @property
    def image(self) -> str:
        """Id of the image."""
        ...

    @property
    def plan_digest(self) -> str:
        """Digest of exactly what the engine will be asked for."""
        ...

    @property
    def wall_ms(self) -> int:
        """The most it may run."""
        ...


def identity(call: ProposedCall) -> bytes:
    """Return the bytes that make the call this call: its tool and its arguments."""
    return canonical([call.tool]) + b"\n" + call.text


def decision_body(
    call: ProposedCall,
    candidate: Candidate | None,
    checked: Checked | None,
    decision: Permitted | Refused,
    matched_at: Micros,
    *,
    unplanned: bool = False,
) -> DecisionBody:
    """Return all that the decision was made from, and what it was."""
    attempts = candidate.attempts if candidate is not None else ()
    return DecisionBody(
        tool=call.tool,
        text=call.text.decode("utf-8", errors="replace"),
        model=call.model,
        matched_at=matched_at,
        attempts=tuple(TriedGrant(grant=a.grant, checks=a.checks) for a in attempts),
        checked=checked,
        permitted=_told_permission(decision) if isinstance(decision, Permitted) else None,
        refused=told_refusal(decision) if isinstance(decision, Refused) else None,
        unplanned=unplanned,
    )


def _told_permission(decision: Permitted) -> ToldPermission:
    return ToldPermission(
        arguments=dict(decision.arguments),
        shown=dict(decision.shown),
        changes=decision.changes,
        facts=dict(decision.facts),
    )


def told_refusal(decision: Refused) -> ToldRefusal:
    """Return what the caller may know of a refusal."""
    return ToldRefusal(
        reason=decision.reason,
        problem=decision.problem,
        pointer=decision.pointer,
        code=decision.code,
        hint=decision.hint,
        retry_after_ms=_milliseconds(decision.retry_after),
    )


def _milliseconds(span: timedelta | None) -> int | None:
    return -(-span // timedelta(milliseconds=1)) if span is not None else None


def decided(
    task: OpenTask,
    call: ProposedCall,
    checked: Checked | None,
    decision: Permitted | Refused,
    *,
    at: Micros,
    checked_only: bool,
    request_mac: str,
    stages: Mapping[str, float],
    body: Body,
) -> CallDecided:
    """Return the record of a decision."""
    refused = decision if isinstance(decision, Refused) else None
    tool = task.tools.get(call.tool)
    return CallDecided(
        at=at,
        task=task.state.id,
        call=call.call_id,
        tool=call.tool if tool is not None else None,
        tool_digest=tool.digest if tool is not None else None,
        subject=call.subject,
        request_mac=request_mac,
        checked_only=checked_only,
        permitted=refused is None,
        grant=decision.grant,
        reason=refused.reason if refused is not None else None,
        code=refused.code if refused is not None else None,
        pointer=_leaf_pointer(tool, refused.pointer) if refused is not None else "",
        rule=str(task.manifest.place(decision.rule)),
        checks=tuple(traces(v) for v in checked.verdicts) if checked is not None else (),
        stages=dict(stages),
        body=body,
    )


def _leaf_pointer(tool: LoadedTool | None, pointer: str) -> str:
    """Return the argument's pointer; keys that a model made up stay in the body."""
    path = tokens(pointer)
    known = tool is not None and path[:1] and path[0] in tool.manifest.spec.arguments
    return f"/{path[0]}" if known else ""


def traces(verdicts: Sequence[Verdict]) -> tuple[CheckTrace, ...]:
    """Return what the log says of `verdicts`: no values."""
    return tuple(
        CheckTrace(
            pointer=v.pointer if v.verdict != "objected" else "",
            kind=v.kind,
            verdict=v.verdict,
            code=v.code if isinstance(v, Objected) else None,
        )
        for v in verdicts
    )


def intent(permitted: Permitted, container: Planned, *, at: Micros) -> CallIntent:
    """Return the record that stands before the call's bytes go in."""
    return CallIntent(
        at=at,
        task=permitted.call.task_id,
        call=permitted.call.call_id,
        grant=permitted.grant,
        image=container.image,
        plan_digest=container.plan_digest,
        reserved_ms=container.wall_ms,
        workspace=permitted.workspace,
    )


def outcome(
    task: str,
    call: str,
    checked: CheckedResult,
    answered: Answered,
    verdicts: Sequence[Verdict],
    *,
    at: Micros,
    body: Body,
    cancelled: Cancellation | None = None,
) -> CallOutcome:
    """Return the record of how a started call ended."""
    refused = next((v for v in verdicts if isinstance(v, Objected)), None)
    return CallOutcome(
        at=at,
        task=task,
        call=call,
        outcome=checked.outcome,
        code=refused.code if refused is not None else None,
        checks=traces(verdicts),
        walls_digest=answered.walls_digest,
        wall_ms=answered.wall_ms,
        result_bytes=size(checked),
        integrity=checked.integrity,
        confidentiality=checked.confidentiality,
        source=checked.source,
        stages=dict(answered.stages),
        cancelled=cancelled,
        body=body,
    )


def closed(task: str, call: str, word: Closed, *, at: Micros, body: Body) -> CallClosed:
    """Return the record of the engine's word on a container that is gone."""
    return CallClosed(
        at=at,
        task=task,
        call=call,
        container=word.container,
        exit_code=word.exit_code,
        out_of_memory=word.out_of_memory,
        facts=word.facts,
        body=body,
    )


def wide_decision(decided: CallDecided) -> dict[str, object]:
    """Return what operators' diagnostics say of a decision: names and codes, no values."""
    return decided.model_dump(mode="json", exclude={"v", "at", "kind", "body", "request_mac"})


def wide_outcome(ended: CallOutcome) -> dict[str, object]:
    """Return what operators' diagnostics say of an outcome: names and codes, no values."""
    wide = ended.model_dump(mode="json", exclude={"v", "at", "kind", "body"})
    return {name if name not in _DECIDED_TOO else f"result_{name}": wide[name] for name in wide}


_DECIDED_TOO = frozenset({"code", "checks", "stages"})
"""Names that a decision has as well."""

UNKNOWN = CheckedResult(
    outcome=Outcome.UNKNOWN,
    detail="the broker ended while the call ran; nobody knows how it went",
)
LOST = CheckedResult(
    outcome=Outcome.UNKNOWN,
    detail="the broker lost sight of the call; nobody knows how it went",
)
CANCELLED = CheckedResult(outcome=Outcome.CANCELLED, detail="the call was cancelled")
UNAVAILABLE = CheckedResult(
    outcome=Outcome.SANDBOX_UNAVAILABLE,
    detail="the container could not be had as planned; nothing of the call ran",
)
