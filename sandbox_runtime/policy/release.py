"""May this result go on to the model?

Law: a result that was not accepted by every destination its tool names does not leave. It
is never shortened to fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import CheckedResult, Finding, Objected, Outcome, ToolError
from sandbox_runtime.destinations.json_text import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.call import Check, Permitted, Verdict
    from sandbox_runtime.policy.answer import ToolAnswer
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask


def release(
    task: OpenTask,
    permitted: Permitted,
    answer: ToolAnswer,
    checks: Sequence[Check],
    verdicts: Sequence[Verdict],
) -> CheckedResult:
    """Return the checked result, or why the answer stays behind.

    1. every destination accepted it;
    2. the task's budget of result bytes holds it.
    """
    if len(verdicts) != len(checks) or not all(isinstance(v, Finding) for v in verdicts):  # 1
        return _refused(verdicts)
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)]
    value: Json = findings[-1].value if findings else answer.result
    if (over := _over(task, value, answer)) is not None:  # 2
        return over
    return CheckedResult(
        outcome=Outcome.OK if answer.error is None else Outcome.TOOL_ERROR,
        result=canonical(value).decode() if answer.error is None else None,
        error=_error(value) if answer.error is not None else None,
        artifacts=answer.artifacts,
        changes=tuple(change for finding in findings for change in finding.changes),
        integrity=permitted.tool.manifest.spec.result.labels.integrity,
    )


def size(result: CheckedResult) -> int:
    """Return the bytes that `result` counts for in the task's budget."""
    files = sum(len(artifact.content) * 3 // 4 for artifact in result.artifacts)
    return len((result.result or "").encode()) + files


def _refused(verdicts: Sequence[Verdict]) -> CheckedResult:
    last = verdicts[-1] if verdicts else None
    if not isinstance(last, Objected):
        detail = "the tool's answer could not be checked within its limits"
        return CheckedResult(outcome=Outcome.RESULT_REFUSED, detail=detail)
    if last.kind == "schema":
        detail = f"the tool's answer is not of its schema: {last.problem}"
        return CheckedResult(outcome=Outcome.INVALID_ANSWER, detail=detail)
    return CheckedResult(
        outcome=Outcome.RESULT_REFUSED, detail=f"the tool's answer stays behind: {last.problem}"
    )


def _over(task: OpenTask, value: Json, answer: ToolAnswer) -> CheckedResult | None:
    budget = task.manifest.manifest.spec.budgets.result_bytes
    files = sum(len(artifact.content) * 3 // 4 for artifact in answer.artifacts)
    if task.state.result_bytes + len(canonical(value)) + files <= budget:
        return None
    return CheckedResult(
        outcome=Outcome.RESULT_REFUSED,
        detail="the answer is larger than what is left of the task's result bytes",
    )


def _error(value: Json) -> ToolError:
    return ToolError.model_validate(value)
