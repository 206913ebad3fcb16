"""How does the decision on a final answer become a record?

Law: as with calls: whatever it was made from goes into the body, so that it can be made again;
what a model wrote goes there alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import ModelContext, Refused, Verdict
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.entries import ToldRefusal, told_refusal, traces
from sandbox_runtime.records import Micros, OutputChecked
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox_runtime.output import AcceptedOutput, ProposedOutput
    from sandbox_runtime.records import Body
    from sandbox_runtime.task import OpenTask


class ToldOutput(Strict):
    """An accepted answer, as the body of its decision keeps it."""

    value: Json
    """Canonical: what may go out."""
    changes: tuple[str, ...]


class OutputBody(Strict):
    """All that a decision on an answer was made from, and what it was."""

    output: str
    written: str
    """What the model wrote."""
    is_json: bool
    model: ModelContext
    matched_at: Micros
    verdicts: tuple[Verdict, ...] | None
    """None: refused before any destination was asked."""
    accepted: ToldOutput | None
    refused: ToldRefusal | None


def identity(proposed: ProposedOutput) -> bytes:
    """Return the bytes that make the answer this answer: its name, its form, its text."""
    return canonical(["output", proposed.output, proposed.is_json]) + b"\n" + proposed.written


def output_body(
    proposed: ProposedOutput,
    verdicts: Sequence[Verdict] | None,
    decision: AcceptedOutput | Refused,
    matched_at: Micros,
) -> OutputBody:
    """Return all that the decision was made from, and what it was."""
    return OutputBody(
        output=proposed.output,
        written=proposed.written.decode("utf-8", errors="replace"),
        is_json=proposed.is_json,
        model=proposed.model,
        matched_at=matched_at,
        verdicts=tuple(verdicts) if verdicts is not None else None,
        accepted=None
        if isinstance(decision, Refused)
        else ToldOutput(value=decision.value, changes=decision.changes),
        refused=told_refusal(decision) if isinstance(decision, Refused) else None,
    )


def checked(
    task: OpenTask,
    proposed: ProposedOutput,
    verdicts: Sequence[Verdict] | None,
    decision: AcceptedOutput | Refused,
    *,
    at: Micros,
    request_mac: str,
    stages: Mapping[str, float],
    body: Body,
) -> OutputChecked:
    """Return the record of a decision on an answer."""
    refused = decision if isinstance(decision, Refused) else None
    accepted = None if isinstance(decision, Refused) else decision
    known = proposed.output in task.manifest.manifest.spec.outputs
    return OutputChecked(
        at=at,
        task=proposed.task_id,
        output=proposed.output if known else None,
        output_id=proposed.output_id,
        subject=proposed.subject,
        request_mac=request_mac,
        permitted=refused is None,
        reason=refused.reason if refused is not None else None,
        code=refused.code if refused is not None else None,
        rule=str(task.manifest.place(decision.rule)),
        checks=traces(verdicts or ()),
        written_bytes=len(proposed.written),
        canonical_bytes=len(canonical(accepted.value)) if accepted is not None else None,
        changes=len(accepted.changes) if accepted is not None else 0,
        stages=dict(stages),
        body=body,
    )


def wide(record: OutputChecked) -> dict[str, object]:
    """Return what operators' diagnostics say of a decision: names and codes, no values."""
    return record.model_dump(mode="json", exclude={"v", "at", "kind", "body", "request_mac"})
