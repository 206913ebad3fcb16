"""May this call run?

Law: the only decider. Permitted means that some one grant, alone, allows every canonical
value, and that the task can still pay. Everything else is refused, an aborted check too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sandbox_runtime.call import CheckAborted, Finding, Objected, Permitted, Refused
from sandbox_runtime.destinations import json_text
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.argv import NoWord, invocation
from sandbox_runtime.manifests.effective import bind_constraints
from sandbox_runtime.policy.constraints import broken
from sandbox_runtime.policy.match import lives
from sandbox_runtime.policy.mounting import mounted, without_files
from sandbox_runtime.policy.pace import held_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox_runtime.call import Attempt, Candidate, Check, Checked, Rule, Verdict
    from sandbox_runtime.manifests.model import Grant
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask

_BUDGETS: Rule = ("spec", "budgets")


@dataclass(frozen=True, slots=True)
class Turn:
    """A refusal, and how far its grant came: the furthest one is the most helpful."""

    refused: Refused
    reached: int


def decide(
    task: OpenTask, candidate: Candidate, checked: Checked, now: Micros
) -> Permitted | Refused:
    """Return whether `candidate` may run, and why not.

    1. the task still lives, and its budgets are not spent;
    2. under one grant, every destination accepted its value;
    3. under the same grant, every constraint holds for the canonical values;
    4. a program that knows nothing of this can be told these values, and the files that they
       ask for are there;
    5. the same grant may be used once more, and now.
    """
    if (dead := lives(task, now) or spent(task)) is not None:  # 1
        return dead
    turns: list[Turn] = []
    for decision in tried(task, candidate, checked, now):
        if isinstance(decision, Permitted):
            return decision
        turns.append(decision)
    return max(turns, key=lambda turn: turn.reached).refused


def tried(
    task: OpenTask, candidate: Candidate, checked: Checked, now: Micros
) -> Iterator[Permitted | Turn]:
    """Yield what each of the candidate's grants alone says of it, in their order."""
    for attempt, verdicts in zip(candidate.attempts, checked.verdicts, strict=True):
        yield _try(task, candidate, attempt, verdicts, now)


def spent(task: OpenTask) -> Refused | None:
    """Return which of the task's budgets is used up, or None."""
    budgets, state = task.manifest.manifest.spec.budgets, task.state
    if state.started >= budgets.calls:
        return _over("calls", f"the task's {budgets.calls} calls are used up")
    if wall_time_left(task) == 0:
        return _over("wall_time", "the task's wall time is used up")
    if state.result_bytes >= budgets.result_bytes:
        return _over("result_bytes", "the task's result bytes are used up")
    return None


def _over(budget: str, problem: str) -> Refused:
    return Refused(reason=Reason.BUDGET_SPENT, problem=problem, rule=(*_BUDGETS, budget))


def _try(
    task: OpenTask,
    candidate: Candidate,
    attempt: Attempt,
    verdicts: Sequence[Verdict],
    now: Micros,
) -> Permitted | Turn:
    grant = task.manifest.manifest.spec.grants[attempt.grant_index]
    for check, verdict in zip(attempt.checks, verdicts, strict=False):  # 2
        match verdict:
            case Objected():
                return Turn(_objected(grant, check, verdict), 0)
            case CheckAborted():
                return Turn(_aborted(grant, check), 0)
            case Finding():
                continue
            case _:
                assert_never(verdict)
    if len(verdicts) != len(attempt.checks):
        return Turn(_aborted(grant, attempt.checks[len(verdicts)]), 0)
    arguments = _canonical(candidate.arguments, verdicts)
    unfit = (
        _constraint(task, attempt, grant, arguments)  # 3
        or _wordless(candidate, attempt, arguments)  # 4
        or without_files(task, candidate.tool, attempt, arguments)
    )
    if unfit is not None:
        return Turn(unfit, 1)
    if (refused := held_up(task, attempt.grant_index, now)) is not None:  # 5
        return Turn(refused, 2)
    return _permitted(candidate, attempt, arguments, verdicts)


def _canonical(arguments: Mapping[str, Json], verdicts: Sequence[Verdict]) -> dict[str, Json]:
    values = dict(arguments)
    for verdict in verdicts:
        if isinstance(verdict, Finding) and verdict.pointer:
            values[json_text.tokens(verdict.pointer)[0]] = verdict.value
    return values


def _objected(grant: Grant, check: Check, verdict: Objected) -> Refused:
    return Refused(
        reason=Reason.ARGUMENT_NOT_ALLOWED,
        problem=verdict.problem,
        rule=check.rule,
        pointer=verdict.pointer,
        code=verdict.code,
        hint=verdict.hint,
        grant=grant.id,
    )


def _aborted(grant: Grant, check: Check) -> Refused:
    return Refused(
        reason=Reason.CHECK_ABORTED,
        problem="the value could not be checked within its limits",
        rule=check.rule,
        pointer=check.pointer,
        code=f"{check.kind}.aborted",
        hint="send a smaller or simpler value",
        grant=grant.id,
    )


def _constraint(
    task: OpenTask, attempt: Attempt, grant: Grant, arguments: Mapping[str, Json]
) -> Refused | None:
    for name, named in grant.arguments.items():
        bound = bind_constraints(named, task.variables)
        if name in arguments and (breach := broken(arguments[name], bound)) is not None:
            return Refused(
                reason=Reason.ARGUMENT_NOT_ALLOWED,
                problem=breach.problem,
                rule=("spec", "grants", attempt.grant_index, "arguments", name, *breach.path),
                pointer=json_text.pointer(name) + breach.pointer,
                code=f"constraint.{breach.word}",
                grant=grant.id,
            )
    return None


def _wordless(
    candidate: Candidate, attempt: Attempt, arguments: Mapping[str, Json]
) -> Refused | None:
    """Refuse what would reach a program as something else than the value that it is."""
    program = candidate.tool.manifest.spec.program
    try:
        invocation(program, arguments)
    except NoWord as no:
        return Refused(
            reason=Reason.ARGUMENT_NOT_ALLOWED,
            problem=no.problem,
            rule=("spec", "grants", attempt.grant_index, "tool"),
            pointer=json_text.pointer(no.argument) if no.argument else "",
            code=no.code,
            hint=no.hint,
            grant=attempt.grant,
        )
    return None


def _permitted(
    candidate: Candidate,
    attempt: Attempt,
    arguments: Mapping[str, Json],
    verdicts: Sequence[Verdict],
) -> Permitted:
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding)]
    return Permitted(
        call=candidate.call,
        tool=candidate.tool,
        grant=attempt.grant,
        rule=("spec", "grants", attempt.grant_index, "id"),
        arguments=arguments,
        shown={**arguments, **_shown(findings)},
        changes=tuple(change for finding in findings for change in finding.changes),
        facts={finding.pointer: finding.facts for finding in findings if finding.facts},
        workspace=mounted(candidate.tool, arguments),
    )


def _shown(findings: Sequence[Finding]) -> dict[str, Json]:
    shown = {f.pointer: f.shown for f in findings if f.shown is not None}
    return {json_text.tokens(pointer)[0]: value for pointer, value in shown.items()}


def wall_time_left(task: OpenTask) -> int:
    """Return the milliseconds of wall time that the task may still set aside."""
    budget = task.manifest.manifest.spec.budgets.wall_time.total_seconds() * 1000
    return max(0, int(budget - task.state.wall_ms - task.state.reserved_ms))


def may_run(task: OpenTask, now: Micros) -> int:
    """Return the milliseconds that a call begun at `now` may run: no longer than its task."""
    return min(wall_time_left(task), time_left(task, now))


def time_left(task: OpenTask, now: Micros) -> int:
    """Return the milliseconds that the task still lives at `now`."""
    return max(0, -(-(task.state.expires_at - now) // 1000))
