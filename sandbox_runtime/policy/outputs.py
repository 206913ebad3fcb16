"""May this final answer go out, and in which form?

Law: as with calls. What no manifest names does not go out, an aborted check refuses, and what
goes out is what the last of its destinations made of it. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import Check, CheckAborted, Finding, Objected, Refused
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import dump
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.effective import bind
from sandbox_runtime.output import AcceptedOutput, OutputCandidate
from sandbox_runtime.policy.match import lives

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox_runtime.call import Rule, Verdict
    from sandbox_runtime.manifests.model import Output
    from sandbox_runtime.output import ProposedOutput
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask

MAX_OUTPUT_BYTES = 256 << 10
"""Of what a model may write. The log has room for it and for what each destination makes of it: an
append that did not fit would be a check that nobody counts."""
MAX_OUTPUT_DEPTH = 64

_OUTPUTS: Rule = ("spec", "outputs")


def match_output(
    task: OpenTask, proposed: ProposedOutput, now: Micros
) -> OutputCandidate | Refused:
    """Return what is to be checked before `proposed` can be decided, or why it is refused.

    1. the task lives;
    2. its manifest names the output;
    3. one more may be checked;
    4. what the model wrote is a value, read strictly.
    """
    if (dead := lives(task, now)) is not None:  # 1
        return dead
    output = task.manifest.manifest.spec.outputs.get(proposed.output)
    if output is None:  # 2
        return _not_named(task)
    if outputs_left(task, proposed.output) == 0:  # 3
        return _used_up(task, proposed.output, output)
    try:
        value = _read(proposed)  # 4
    except Objection as objection:
        return _unreadable(objection, (*_OUTPUTS, proposed.output))
    checks = output_checks(proposed.output, output, task.variables)
    return OutputCandidate(proposed=proposed, value=value, checks=checks)


def decide_output(
    task: OpenTask, candidate: OutputCandidate, verdicts: Sequence[Verdict], now: Micros
) -> AcceptedOutput | Refused:
    """Return whether `candidate` may go out.

    1. the task still lives;
    2. every destination accepted it.
    """
    if (dead := lives(task, now)) is not None:  # 1
        return dead
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)]
    if len(findings) != len(candidate.checks):  # 2
        return _stopped(candidate, verdicts, len(findings))
    return AcceptedOutput(
        proposed=candidate.proposed,
        rule=(*_OUTPUTS, candidate.proposed.output),
        value=findings[-1].value,
        changes=tuple(change for finding in findings for change in finding.changes),
    )


def outputs_left(task: OpenTask, name: str) -> int:
    """Return how many more answers of this name the task may have checked."""
    spec, checked = task.manifest.manifest.spec, task.state.outputs_checked
    by_name = spec.outputs[name].max_checks - checked.get(name, 0)
    return max(min(by_name, spec.budgets.outputs - sum(checked.values())), 0)


def output_checks(name: str, output: Output, variables: Mapping[str, Json]) -> tuple[Check, ...]:
    """Return the way of an answer through its destinations, its type before all."""
    where: Rule = (*_OUTPUTS, name)
    typed = Check(pointer="", kind="schema", settings={"type": output.type}, rule=(*where, "type"))
    named = (
        Check(pointer="", kind=kind, settings=bind(dump(settings), variables), rule=(*where, kind))
        for kind, settings in output.checks()
    )
    return (typed, *named)


def _read(proposed: ProposedOutput) -> Json:
    if proposed.is_json:
        return json_text.parse(
            proposed.written, max_bytes=MAX_OUTPUT_BYTES, max_depth=MAX_OUTPUT_DEPTH
        )
    if len(proposed.written) > MAX_OUTPUT_BYTES:
        raise Objection("json.too_large", f"the text is larger than {MAX_OUTPUT_BYTES} bytes")
    return proposed.written.decode()


def _not_named(task: OpenTask) -> Refused:
    known = task.manifest.manifest.spec.outputs
    return Refused(
        reason=Reason.OUTPUT_NOT_NAMED,
        problem="the task gives no such output",
        rule=_OUTPUTS,
        hint=f"its outputs: {', '.join(f'`{name}`' for name in known) or 'none'}",
    )


def _used_up(task: OpenTask, name: str, output: Output) -> Refused:
    budget, checked = task.manifest.manifest.spec.budgets.outputs, task.state.outputs_checked
    own = checked.get(name, 0) >= output.max_checks
    most, rule = (
        (output.max_checks, (*_OUTPUTS, name, "max_checks"))
        if own
        else (budget, ("spec", "budgets", "outputs"))
    )
    whose = f"output `{name}`" if own else "the task's outputs"
    problem = f"the {most} checks of {whose} are used up"
    return Refused(reason=Reason.BUDGET_SPENT, problem=problem, rule=rule, hint="open a new task")


def _unreadable(objection: Objection, rule: Rule) -> Refused:
    return Refused(
        reason=Reason.REQUEST_INVALID,
        problem=f"the output cannot be read: {objection.problem}",
        rule=rule,
        pointer=objection.pointer,
        code=objection.code,
        hint=objection.hint or "send one JSON value",
    )


def _stopped(candidate: OutputCandidate, verdicts: Sequence[Verdict], reached: int) -> Refused:
    check, last = candidate.checks[reached], verdicts[-1] if verdicts else None
    if isinstance(last, Objected):
        return Refused(
            reason=Reason.OUTPUT_NOT_ALLOWED,
            problem=last.problem,
            rule=check.rule,
            pointer=last.pointer,
            code=last.code,
            hint=last.hint,
        )
    kind = last.kind if isinstance(last, CheckAborted) else check.kind
    return Refused(
        reason=Reason.CHECK_ABORTED,
        problem="the output could not be checked within its limits",
        rule=check.rule,
        code=f"{kind}.aborted",
        hint="send a smaller or simpler value",
    )
