"""What does a platform team expect of its manifests?

Law: a case is data, read as strictly as a manifest. It says of one call, or of the last of
several, what shall become of it; what it does not name is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.catalogue import Loaded, digest_of
from sandbox_runtime.manifests.loader import problem_of, validated
from sandbox_runtime.manifests.model import Name, Subject, VariableName
from sandbox_runtime.manifests.problems import (
    Finding,
    ManifestErrors,
    Problem,
    Where,
    did_you_mean,
    one_of,
    quoted,
)
from sandbox_runtime.manifests.source import Document, read
from sandbox_runtime.manifests.units import Duration, durations
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Sentence = Annotated[str, Field(min_length=1, max_length=200)]
Span = Annotated[Duration, durations("1ms", "7d")]
Ended = Literal[
    "OK",
    "TOOL_ERROR",
    "CRASHED",
    "OUT_OF_MEMORY",
    "PIDS_LIMIT",
    "TIMEOUT",
    "OUTPUT_LIMIT",
    "CANCELLED",
    "SANDBOX_UNAVAILABLE",
    "UNKNOWN",
]
"""Outcomes that a case may assume. Whether an answer is valid is found, not assumed."""


class Expect(Strict):
    """What shall become of a call."""

    verdict: Literal["permitted", "refused"]
    """Whether it may run."""
    grant: Name | None = None
    """The grant that permits or refuses it."""
    reason: Reason | None = None
    """Why it is refused."""
    code: Sentence | None = None
    """The finer reason: `sql.table_not_granted`, `constraint.range`."""
    pointer: str | None = None
    """RFC 6901 pointer of the value at fault inside the arguments."""
    arguments: dict[str, Json] | None = None
    """Each argument named here runs as exactly this."""
    workspace: bool | None = None
    """Whether the call finds its task's files."""
    canonical: Json = None
    """A final answer goes out as exactly this."""


class Call(Strict):
    """A call as an agent would propose it."""

    tool: Sentence
    """The tool's name."""
    arguments: dict[str, Json] = Field(default_factory=dict)
    """What the call brings."""
    lengthy: dict[str, Annotated[int, Field(ge=0, le=200_000)]] = Field(default_factory=dict)
    """Arguments of which only the length counts: so many times the letter `x`."""

    def proposed(self) -> dict[str, Json]:
        """Return the arguments that the call brings."""
        return {**self.arguments, **{name: "x" * size for name, size in self.lengthy.items()}}


class Step(Call):
    """A call, how often, after what time, and how it is assumed to end where it runs."""

    times: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often it is made."""
    wait: Span | None = None
    """Passes before each of these calls."""
    outcome: Ended = "OK"
    """How it ends where it runs."""
    result: Json = None
    """What the tool is assumed to answer; it passes the tool's own checks of results."""
    took: Span | None = None
    """Wall time that the container is assumed to run."""
    expect: Expect | None = None
    """Left out: it is permitted. What the last call meets, the case says."""


class Answer(Strict):
    """A final answer as an agent would bring it: a JSON value, or a text."""

    name: Sentence
    """The output that the manifest names."""
    value: Json = None
    """A JSON value."""
    text: str | None = None
    """A text."""

    @property
    def brought(self) -> Json:
        """What it brings, whichever of the two it is."""
        return self.value if self.text is None else self.text


class Case(Strict):
    """One call, a sequence of calls of one task, or a final answer; what shall become of it."""

    name: Sentence
    """What shall hold, in a sentence."""
    task: Name | None = None
    """The task that is opened. Left out: the one that the file names."""
    subject: Subject | None = None
    """Who opens the task. Left out: the first whom its manifest lets."""
    variables: dict[VariableName, Json] | None = None
    """What its opener brings. Left out: what the file says."""
    claims: dict[str, Json] | None = None
    """What the opener's identity carries."""
    call: Call | None = None
    """One call of a new task."""
    sequence: Annotated[tuple[Step, ...], Field(min_length=1, max_length=1000)] | None = None
    """Several calls of one task, in order."""
    output: Answer | None = None
    """A final answer of a new task."""
    expect: Expect
    """What becomes of the last call."""


class Cases(Strict):
    """A file of cases, `*.test.yaml` beside the manifests that it tests."""

    api_version: Literal["sandbox-runtime/v1"] = Field(alias="apiVersion")
    """The language of this file."""
    kind: Literal["Test"]
    """What this file says."""
    task: Name | None = None
    """Of all cases that name no other."""
    variables: dict[VariableName, Json] = Field(default_factory=dict)
    """Of all cases that bring no others."""
    claims: dict[str, Json] = Field(default_factory=dict)
    """Of the identities of all cases that name no others."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=1000)]
    """What shall hold."""


class Asked(Call):
    """A file of one call, of which somebody wants to know what would become of it."""

    task: Name
    subject: Subject | None = None
    variables: dict[VariableName, Json] = Field(default_factory=dict)
    claims: dict[str, Json] = Field(default_factory=dict)
    """What the opener's identity carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCases(Loaded):
    """A file of cases and its places."""

    manifest: Cases


def load_cases(files: Mapping[str, str], tasks: Collection[str]) -> tuple[LoadedCases, ...]:
    """Return the cases of these texts about these tasks; raise `ManifestErrors` with all wrong."""
    problems: list[Problem] = []
    loaded: list[LoadedCases] = []
    for file, text in sorted(files.items()):
        content = read(file, text)
        problems.extend(content.problems)
        for document in () if content.problems else content.documents:
            found = _loaded(file, document, tasks)
            if isinstance(found, LoadedCases):
                loaded.append(found)
            else:
                problems.extend(problem_of(file, document, finding) for finding in found)
    if problems:
        raise ManifestErrors(problems)
    return tuple(loaded)


def load_asked(file: str, text: str, tasks: Collection[str]) -> Asked:
    """Return the one call of a text; raise `ManifestErrors` with all that is wrong with it."""
    content = read(file, text)
    problems = list(content.problems)
    for document in () if problems else content.documents[:1]:
        asked = validated(document, Asked)
        findings = asked if isinstance(asked, list) else list(_known(asked.task, tasks, ("task",)))
        if not findings and isinstance(asked, Asked):
            return asked
        problems.extend(problem_of(file, document, finding) for finding in findings)
    raise ManifestErrors(problems)


def _loaded(file: str, document: Document, tasks: Collection[str]) -> LoadedCases | list[Finding]:
    cases = validated(document, Cases)
    if isinstance(cases, list):
        return cases
    if findings := list(_check(cases, tasks)):
        return findings
    return LoadedCases(file=file, document=document, manifest=cases, digest=digest_of(cases))


def _check(cases: Cases, tasks: Collection[str]) -> Iterator[Finding]:
    names: set[str] = set()
    if cases.task is not None:
        yield from _known(cases.task, tasks, ("task",))
    for index, case in enumerate(cases.cases):
        where: Where = ("cases", index)
        if case.name in names:
            message = f"case {quoted(case.name)} stands here twice"
            yield Finding(where=(*where, "name"), message=message)
        names.add(case.name)
        yield from _case(case, cases, tasks, where)


def _case(case: Case, cases: Cases, tasks: Collection[str], where: Where) -> Iterator[Finding]:
    if case.task is not None:
        yield from _known(case.task, tasks, (*where, "task"))
    elif cases.task is None:
        message = "the case names no task"
        yield Finding(where=where, message=message, mend="name it here, or once for all cases")
    if sum(one is not None for one in (case.call, case.sequence, case.output)) != 1:
        message = "a case has one of `call`, `sequence` and `output`"
        yield Finding(where=where, message=message, on_key=True)
    yield from _answer(case, where)
    yield from _expect(case.expect, (*where, "expect"))
    for place, step in enumerate(case.sequence or ()):
        at = (*where, "sequence", place, "expect")
        if step.expect is not None:
            yield from _expect(step.expect, at)
            if step is (case.sequence or ())[-1]:
                message = "what the last call meets, the case's own `expect` says"
                yield Finding(where=at, message=message, mend="remove it", on_key=True)


def _answer(case: Case, where: Where) -> Iterator[Finding]:
    answer, said = case.output, case.expect.model_fields_set
    if answer is not None and len(answer.model_fields_set & {"value", "text"}) != 1:
        message = "an output has either a `value` or a `text`"
        yield Finding(where=(*where, "output"), message=message, on_key=True)
    for key in ("grant", "arguments", "workspace") if answer is not None else ("canonical",):
        if key in said:
            what = "an output" if answer is not None else "a call"
            message = f"`{key}` means nothing for {what}"
            yield Finding(
                where=(*where, "expect", key), message=message, mend="remove it", on_key=True
            )


def _known(name: str, tasks: Collection[str], where: Where) -> Iterator[Finding]:
    if name not in tasks:
        known = sorted(tasks)
        yield Finding(
            where=where,
            message=f"no task {quoted(name)}",
            expected=one_of(known),
            mend=did_you_mean(name, known),
        )


def _expect(expect: Expect, where: Where) -> Iterator[Finding]:
    belongs = {
        "permitted": ("arguments", "workspace", "canonical"),
        "refused": ("reason", "code", "pointer"),
    }
    other = "refused" if expect.verdict == "permitted" else "permitted"
    for key in belongs[other]:
        if key in expect.model_fields_set:
            message = f"`{key}` means nothing for what is {expect.verdict}"
            yield Finding(where=(*where, key), message=message, mend="remove it", on_key=True)
