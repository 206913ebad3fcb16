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

    from sandbox_runtime.call import Check, Verdict
    from sandbox_runtime.manifests.model import Tool
    from sandbox_runtime.policy.answer import ToolAnswer
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask

MAX_RESULT = 15 << 20
"""Bytes of the largest result. Written into a body it can double, and the log has room for that."""


def release(
    tool: Tool,
    answer: ToolAnswer,
    checks: Sequence[Check],
    verdicts: Sequence[Verdict],
    *,
    bytes_left: int,
) -> CheckedResult:
    """Return the checked result, or why the answer stays behind.

    1. every destination accepted it;
    2. the log can keep it, and the `bytes_left` of the task's result bytes hold it.
    """
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)]
    if len(findings) != len(checks):  # 1
        return _refused(verdicts)
    value: Json = findings[-1].value if findings else answer.result
    failed, labels = answer.error is not None, tool.spec.result.labels
    result = CheckedResult(
        outcome=Outcome.TOOL_ERROR if failed else Outcome.OK,
        result=None if failed else canonical(value).decode(),
        error=ToolError.model_validate(value) if failed else None,
        artifacts=answer.artifacts,
        changes=tuple(change for finding in findings for change in finding.changes),
        integrity=labels.integrity,
        confidentiality=labels.confidentiality,
        source=labels.source or tool.metadata.name,
    )
    if size(result) > MAX_RESULT:  # 2
        return _TOO_LARGE_TO_KEEP
    return result if size(result) <= bytes_left else _TOO_LARGE


def bytes_left(task: OpenTask) -> int:
    """Return the result bytes that the task may still receive."""
    return task.manifest.manifest.spec.budgets.result_bytes - task.state.result_bytes


def size(result: CheckedResult) -> int:
    """Return the bytes that `result` counts for in the task's budget."""
    told = (result.error.code + result.error.message) if result.error is not None else ""
    files = sum(len(artifact.content) * 3 // 4 for artifact in result.artifacts)
    return len((result.result or told).encode()) + files


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


_TOO_LARGE_TO_KEEP = CheckedResult(
    outcome=Outcome.RESULT_REFUSED,
    detail=f"the answer is larger than the {MAX_RESULT >> 20} MiB that a result may have",
)
_TOO_LARGE = CheckedResult(
    outcome=Outcome.RESULT_REFUSED,
    detail="the answer is larger than what is left of the task's result bytes",
)
