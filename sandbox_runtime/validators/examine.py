"""What do the destinations say of one value?

Law: a check sees the canonical value that the checks before it left behind, never the one
that came in; the first verdict that is not a `Finding` ends its attempt.

Both ends of the pipe walk a job with `Walk`: the worker to learn what to check next, the
pool to learn which verdict may come next. So a worker can leave nothing out unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox_runtime.call import Finding, Objected
from sandbox_runtime.destinations import json_text, registry
from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sandbox_runtime.call import Check, Verdict
    from sandbox_runtime.strict import Json

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
"""A place in an array: digits without a leading zero (RFC 6901, section 4)."""

Verdicts = tuple[tuple["Verdict", ...], ...]
"""One tuple for each attempt."""


class _Absent:
    """Nothing stands at a pointer; null is something."""


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Due:
    """The check that comes next, and the value it is for."""

    check: Check
    held: Json


class Walk:
    """Where the examination of one value under several attempts stands."""

    def __init__(self, value: Json, attempts: Sequence[Sequence[Check]]) -> None:
        self._value = value
        self._attempts = attempts
        self._heard: list[list[Verdict]] = [[] for _ in attempts]
        self._steps = self._walk()
        self.due: Due | None = next(self._steps, None)
        """None once every attempt has ended."""

    @property
    def verdicts(self) -> Verdicts:
        """What was heard so far."""
        return tuple(tuple(verdicts) for verdicts in self._heard)

    def hear(self, verdict: Verdict) -> None:
        """Take the verdict on what was due."""
        try:
            self.due = self._steps.send(verdict)
        except StopIteration:
            self.due = None

    def _walk(self) -> Generator[Due, Verdict, None]:
        for checks, heard in zip(self._attempts, self._heard, strict=True):
            yield from self._attempt(checks, heard)

    def _attempt(
        self, checks: Sequence[Check], heard: list[Verdict]
    ) -> Generator[Due, Verdict, None]:
        value = self._value
        for check in checks:
            held = find(value, check.pointer)
            if isinstance(held, _Absent):
                continue
            verdict = yield Due(check, held)
            heard.append(verdict)
            if not isinstance(verdict, Finding):
                return
            value = put(value, check.pointer, verdict.value)


def examine(value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
    """Run `checks` over `value`, in order, in this process.

    A check whose pointer leads to nothing, as an optional argument left out, is skipped.
    """
    walk = Walk(value, [checks])
    while (due := walk.due) is not None:
        walk.hear(judge(due))
    return walk.verdicts[0]


def judge(due: Due) -> Finding | Objected:
    """Ask the destination."""
    check = due.check
    try:
        accepted = registry.check(check.kind, due.held, check.settings)
    except Objection as objection:
        return _objected(check, objection)
    return Finding(
        pointer=check.pointer,
        kind=check.kind,
        value=accepted.value,
        facts=accepted.facts,
        changes=accepted.changes,
        shown=accepted.shown,
    )


def _objected(check: Check, objection: Objection) -> Objected:
    return Objected(
        pointer=check.pointer + objection.pointer,
        kind=check.kind,
        code=objection.code,
        problem=objection.problem,
        subject=objection.subject,
        position=objection.position,
        hint=objection.hint,
    )


def find(value: Json, pointer: str) -> Json | _Absent:
    """Return what stands at an RFC 6901 pointer, or `ABSENT`."""
    for step in json_text.tokens(pointer):
        match value:
            case dict() if step in value:
                value = value[step]
            case list() if (index := _index(step, value)) is not None:
                value = value[index]
            case _:
                return ABSENT
    return value


def put(value: Json, pointer: str, new: Json) -> Json:
    """Return `value` with `new` at `pointer`, which leads to something; `value` stays."""
    return _put(value, json_text.tokens(pointer), new)


def _put(value: Json, steps: Sequence[str], new: Json) -> Json:
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        return {**value, step: _put(value[step], rest, new)}
    if isinstance(value, list) and (index := _index(step, value)) is not None:
        return [*value[:index], _put(value[index], rest, new), *value[index + 1 :]]
    raise LookupError(step)


def _index(step: str, within: list[Json]) -> int | None:
    index = int(step) if _INDEX.fullmatch(step) else len(within)
    return index if index < len(within) else None
