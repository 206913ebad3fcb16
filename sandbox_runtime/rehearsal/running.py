"""Do the cases hold?

Law: a case fails with all in which it differs, each difference in one sentence with the rule
that decided. A call before the last that is refused without being expected to be fails its case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime.call import ModelContext, Outcome, Permitted, ProposedCall, Refused
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.errors import Refusal
from sandbox_runtime.manifests.cases import Expect, Step
from sandbox_runtime.output import AcceptedOutput
from sandbox_runtime.policy.constraints import same
from sandbox_runtime.rehearsal.answers import judged_output
from sandbox_runtime.rehearsal.playing import (
    MICROSECOND,
    START,
    TASK,
    Assumed,
    ended,
    judged,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.manifests.cases import Call, Case, Cases, LoadedCases
    from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTask, Place
    from sandbox_runtime.rehearsal.answers import JudgedOutput
    from sandbox_runtime.rehearsal.playing import Judged
    from sandbox_runtime.strict import Json

Decision = Permitted | AcceptedOutput | Refused

_PERMITTED = Expect(verdict="permitted")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEnd:
    """What came of one case."""

    name: str
    place: Place
    differences: tuple[str, ...]
    """Empty where the case holds."""
    calls: tuple[Judged, ...]
    outputs: tuple[JudgedOutput, ...]


@dataclass(slots=True, kw_only=True)
class _Run:
    """A case on its way: what has been decided, and what differs."""

    manifest: LoadedTask
    calls: list[Judged] = field(default_factory=list)
    outputs: list[JudgedOutput] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def run(tree: Catalogue, cases: LoadedCases) -> Iterator[CaseEnd]:
    """Yield what comes of each case of a file, in order."""
    for index, case in enumerate(cases.manifest.cases):
        name = case.task or cases.manifest.task or ""
        run = _Run(manifest=tree.tasks[name])
        _play(run, tree, case, cases.manifest)
        yield CaseEnd(
            name=case.name,
            place=cases.place(("cases", index, "name")),
            differences=tuple(run.differences),
            calls=tuple(run.calls),
            outputs=tuple(run.outputs),
        )


def _play(run: _Run, tree: Catalogue, case: Case, common: Cases) -> None:
    variables = common.variables if case.variables is None else case.variables
    claims = common.claims if case.claims is None else case.claims
    try:
        task = opened(tree, run.manifest.name, case.subject, variables, claims)
    except Refusal as refusal:
        run.differences.extend(_differ(_unopened(refusal), case.expect, run.manifest))
        return
    if case.output is not None:
        answer = judged_output(task, case.output)
        run.outputs.append(answer)
        run.differences.extend(_differ(answer.decision, case.expect, run.manifest))
    now, steps = START, list(_steps(case))
    for number, (step, last) in enumerate(steps, 1):
        now += (step.wait or timedelta(0)) // MICROSECOND
        one = judged(task, proposed(step, number), now)
        run.calls.append(one)
        expect = case.expect if last else step.expect or _PERMITTED
        before = "" if len(steps) == 1 else f"call {number}: "
        run.differences.extend(
            f"{before}{told}" for told in _differ(one.decision, expect, run.manifest)
        )
        assumed = _assumed(step)
        task, result = ended(one, assumed)
        if result is not None and result.outcome is not assumed.outcome:
            run.differences.append(f"{before}the assumed result is no answer: {result.detail}")
        now += assumed.took // MICROSECOND


def _steps(case: Case) -> Iterator[tuple[Step, bool]]:
    """Yield the case's calls, each as often as it is made, and whether it is the last."""
    if case.call is not None:
        yield Step(**dict(case.call)), True
    every = [step for step in case.sequence or () for _ in range(step.times)]
    for place, step in enumerate(every, 1):
        yield step, place == len(every)


def proposed(call: Call, number: int = 1) -> ProposedCall:
    """Return the call as the wire would bring it."""
    return ProposedCall(
        task_id=TASK,
        call_id=f"c-{number}",
        tool=call.tool,
        text=canonical(call.proposed()),
        subject="",
        model=ModelContext(),
    )


def _assumed(step: Step) -> Assumed:
    return Assumed(
        outcome=Outcome(step.outcome), result=step.result, took=step.took or timedelta(0)
    )


def _unopened(refusal: Refusal) -> Refused:
    return Refused(
        reason=refusal.why,
        problem=refusal.problem,
        rule=("spec", "variables"),
        pointer=refusal.pointer,
        code=refusal.code,
        hint=refusal.hint,
    )


def _differ(decision: Decision, expect: Expect, manifest: LoadedTask) -> Iterator[str]:
    verdict = "refused" if isinstance(decision, Refused) else "permitted"
    if verdict != expect.verdict:
        yield f"expected to be {expect.verdict}, was {_told(decision, manifest)}"
        return
    for key in ("grant", "reason", "code", "pointer"):
        wanted, got = getattr(expect, key), getattr(decision, key, None)
        if wanted is not None and wanted != got:
            yield f"{key}: expected `{wanted}`, was `{got}`: {_told(decision, manifest)}"
    if isinstance(decision, Permitted):
        yield from _arguments(decision, expect.arguments or {})
        yield from _workspace(decision, expect.workspace)
    if isinstance(decision, AcceptedOutput) and "canonical" in expect.model_fields_set:
        yield from _canonical(decision.value, expect.canonical)


def _arguments(permitted: Permitted, expected: dict[str, Json]) -> Iterator[str]:
    for name, wanted in expected.items():
        got = permitted.arguments.get(name)
        if name not in permitted.arguments or not same(wanted, got):
            yield f"arguments: expected `{name}` as {_json(wanted)}, was {_json(got)}"


def _workspace(permitted: Permitted, expected: bool | None) -> Iterator[str]:  # noqa: FBT001 - a case's own value
    finds = permitted.workspace is not None
    if expected is not None and finds is not expected:
        yield f"workspace: expected {_json(expected)}, was {_json(finds)}"


def _canonical(got: Json, wanted: Json) -> Iterator[str]:
    if not same(wanted, got):
        yield f"canonical: expected {_json(wanted)}, was {_json(got)}"


def _json(value: Json) -> str:
    return canonical(value).decode()


def _told(decision: Decision, manifest: LoadedTask) -> str:
    place = manifest.place(decision.rule)
    if isinstance(decision, Permitted):
        return f"permitted by {place} (grant `{decision.grant}`)"
    if isinstance(decision, AcceptedOutput):
        return f"permitted by {place}"
    why = f"{decision.code or decision.reason}"
    return f"refused by {place}: {why}: {decision.problem}"
