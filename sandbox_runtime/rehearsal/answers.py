"""What would become of this final answer?

Law: decided by the policy and the destinations themselves, as a broker would right after opening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime import policy
from sandbox_runtime.call import ModelContext, Refused
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.output import ProposedOutput
from sandbox_runtime.rehearsal.playing import START, TASK
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from sandbox_runtime.manifests.cases import Answer
    from sandbox_runtime.output import AcceptedOutput
    from sandbox_runtime.task import OpenTask


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOutput:
    """A final answer, its task, and what was decided of it."""

    task: OpenTask
    decision: AcceptedOutput | Refused


def judged_output(task: OpenTask, answer: Answer) -> JudgedOutput:
    """Decide a final answer as a broker would."""
    proposed = ProposedOutput(
        task_id=TASK,
        output_id="o-1",
        output=answer.name,
        written=canonical(answer.brought),
        is_json=True,
        subject="",
        model=ModelContext(),
    )
    matched = policy.match_output(task, proposed, START)
    if isinstance(matched, Refused):
        return JudgedOutput(task=task, decision=matched)
    verdicts = examine(matched.value, matched.checks)
    return JudgedOutput(task=task, decision=policy.decide_output(task, matched, verdicts, START))
