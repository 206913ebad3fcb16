"""By which steps was a call decided?

Law: each step is told in the order in which the decision is made, with the place of its rule.
Values stay out unless they are asked for: what a grant lists may be a customer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING

from sandbox_runtime import policy
from sandbox_runtime.call import Finding, Objected, Permitted, Refused
from sandbox_runtime.destinations import json_text
from sandbox_runtime.manifests.variable import from_where
from sandbox_runtime.manifests.variables import bind_constraints
from sandbox_runtime.policy.constraints import breaches
from sandbox_runtime.policy.match import lives
from sandbox_runtime.policy.pace import held_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox_runtime.call import Attempt, Check, Rule, Verdict
    from sandbox_runtime.manifests.catalogue import Place
    from sandbox_runtime.manifests.model import Grant, GrantArgument
    from sandbox_runtime.rehearsal.playing import Judged
    from sandbox_runtime.strict import Json


class Says(StrEnum):
    """What a step says of the call."""

    HOLDS = "holds"
    CHANGES = "changes"
    REFUSES = "refuses"
    UNREACHED = "not reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a decision."""

    grant: str = ""
    what: str
    """`task`, `/query sql`, `/limit range`, `max_calls`."""
    says: Says
    told: str = ""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A decided call, and whether values may be shown."""

    judged: Judged
    values: bool

    def step(self, what: str, says: Says, told: str, rule: Rule, grant: str = "") -> Step:
        place = self.judged.task.manifest.place(rule)
        return Step(what=what, says=says, told=told, place=place, grant=grant)


def steps(judged: Judged, *, values: bool) -> tuple[Step, ...]:
    """Return every step of a decision, in order; with the values at hand where asked."""
    return tuple(_steps(_Look(judged=judged, values=values)))


def told(refused: Refused, *, values: bool) -> str:
    """Return why a call is refused. A constraint's own sentence names the values it lists."""
    listed = refused.code is not None and refused.code.startswith("constraint.")
    why = f"{refused.reason}{f' {refused.code}' if refused.code else ''}"
    at = f" at `{refused.pointer}`" if refused.pointer else ""
    return f"{why}{at}" if listed and not values else f"{why}{at}: {refused.problem}"


def _steps(look: _Look) -> Iterator[Step]:
    judged = look.judged
    yield from _variables(look)
    dead = lives(judged.task, judged.at)
    yield _judged(look, "task lives", dead, ("spec", "lifetime"))
    if dead is not None:
        return
    if judged.candidate is None:
        if isinstance(judged.decision, Refused):
            yield _judged(look, "a grant matches", judged.decision, ("spec", "grants"))
        return
    spent = policy.spent(judged.task)
    yield from _budgets(look, spent)
    if spent is None:
        yield from _grants(look)


def _variables(look: _Look) -> Iterator[Step]:
    """Yield where each variable came from; a step for each, as it was settled by the opening."""
    for name, variable in look.judged.task.manifest.manifest.spec.variables.items():
        value = json_text.canonical(look.judged.task.variables[name]).decode()
        said = f"{from_where(name, variable)}{f': {value}' if look.values else ''}"
        yield look.step(f"${name}", Says.HOLDS, said, ("spec", "variables", name))


def _judged(look: _Look, what: str, refused: Refused | None, rule: Rule) -> Step:
    if refused is None:
        return look.step(what, Says.HOLDS, "", rule)
    said = told(refused, values=look.values)
    return look.step(what, Says.REFUSES, said, refused.rule, refused.grant or "")


def _budgets(look: _Look, spent: Refused | None) -> Iterator[Step]:
    budgets, state = look.judged.task.manifest.manifest.spec.budgets, look.judged.task.state
    wall = budgets.wall_time.total_seconds()
    left = policy.wall_time_left(look.judged.task) / 1000
    used = {
        "calls": f"{state.started} of {budgets.calls} started",
        "wall_time": f"{wall - left:g} of {wall:g} s used or set aside",
        "result_bytes": f"{state.result_bytes} of {budgets.result_bytes} bytes used",
    }
    for name, how_much in used.items():
        rule: Rule = ("spec", "budgets", name)
        says = Says.REFUSES if spent is not None and spent.rule == rule else Says.HOLDS
        yield look.step(f"budget {name}", says, how_much, rule)


def _grants(look: _Look) -> Iterator[Step]:
    """Yield the steps under each grant that was tried; after one that permits none is."""
    judged, permitted = look.judged, False
    attempts = judged.candidate.attempts if judged.candidate is not None else ()
    verdicts = judged.checked.verdicts if judged.checked is not None else ()
    for attempt, said, turn in zip(attempts, verdicts, judged.turns, strict=True):
        rule: Rule = ("spec", "grants", attempt.grant_index, "id")
        if permitted:
            yield look.step("grant", Says.UNREACHED, "", rule, attempt.grant)
            continue
        yield from _attempt(look, attempt, said)
        permitted = isinstance(turn, Permitted)


def _attempt(look: _Look, attempt: Attempt, verdicts: Sequence[Verdict]) -> Iterator[Step]:
    for check, verdict in zip_longest(attempt.checks, verdicts):
        yield _check(look, attempt.grant, check, verdict)
    grant = look.judged.task.manifest.manifest.spec.grants[attempt.grant_index]
    arguments = _canonical(look, verdicts)
    reached = len(verdicts) == len(attempt.checks) and isinstance(verdicts[-1], Finding)
    for step in (*_constraints(look, attempt, grant, arguments), *_pace(look, attempt, grant)):
        yield step if reached else _unreached(step)
        reached = reached and step.says is not Says.REFUSES


def _unreached(step: Step) -> Step:
    return Step(what=step.what, says=Says.UNREACHED, place=step.place, grant=step.grant)


def _check(look: _Look, grant: str, check: Check, verdict: Verdict | None) -> Step:
    what = f"{check.pointer or 'arguments'} {check.kind}"
    match verdict:
        case None:
            says, said = Says.UNREACHED, ""
        case Finding():
            says = Says.CHANGES if verdict.changes else Says.HOLDS
            said = "; ".join(verdict.changes)
        case Objected():
            says, said = Says.REFUSES, f"{verdict.code}: {verdict.problem}"
        case _:
            says, said = Says.REFUSES, f"aborted by {verdict.cause}"
    return look.step(what, says, said, check.rule, grant)


def _canonical(look: _Look, verdicts: Sequence[Verdict]) -> Mapping[str, Json]:
    candidate = look.judged.candidate
    values = dict(candidate.arguments) if candidate is not None else {}
    for verdict in verdicts:
        if isinstance(verdict, Finding) and verdict.pointer:
            values[json_text.tokens(verdict.pointer)[0]] = verdict.value
    return values


def _constraints(
    look: _Look, attempt: Attempt, grant: Grant, arguments: Mapping[str, Json]
) -> Iterator[Step]:
    for name, named in grant.arguments.items():
        bound = bind_constraints(named, look.judged.task.variables)
        broken = {b.path for b in breaches(arguments[name], bound)} if name in arguments else ()
        for leaf in named.leaves():
            rule: Rule = ("spec", "grants", attempt.grant_index, "arguments", name, *leaf)
            refuses = any(leaf[: len(path)] == path for path in broken)
            says = Says.REFUSES if refuses else Says.HOLDS
            what = f"/{name} {'.'.join(map(str, leaf))}"
            said = _values(bound, leaf, arguments.get(name)) if look.values else ""
            yield look.step(what, says, said, rule, grant.id)


def _values(bound: GrantArgument, leaf: Rule, value: Json) -> str:
    asked: Json = bound.model_dump(mode="json", exclude_unset=True, by_alias=True)
    for key in leaf:
        asked = asked[key]  # type: ignore[index]  # the path is the constraint's own
    return f"{json_text.canonical(asked).decode()} for {json_text.canonical(value).decode()}"


def _pace(look: _Look, attempt: Attempt, grant: Grant) -> Iterator[Step]:
    state, where = look.judged.task.state, ("spec", "grants", attempt.grant_index)
    refused = held_up(look.judged.task, attempt.grant_index, look.judged.at)
    asked: list[tuple[str, str, Rule]] = [
        (
            "max_calls",
            f"{state.spent.get(grant.id, 0)} of {grant.max_calls} started",
            (*where, "max_calls"),
        )
    ]
    for index, first in enumerate(grant.after or ()):
        done = f"{state.succeeded.get(first, 0)} calls under `{first}` ended OK"
        asked.append(("after", done, (*where, "after", index)))
    if grant.rate is not None:
        most = f"at most {grant.rate.calls} in {grant.rate.per.total_seconds():g} s"
        asked.append(("rate", most, (*where, "rate")))
    for what, said, rule in asked:
        says = Says.REFUSES if refused is not None and refused.rule == rule else Says.HOLDS
        yield look.step(what, says, said, rule, grant.id)
