"""Do a grant's constraints lie within what the tool's argument may be?

Law: a constraint that asks for more than the tool, that its argument's type gives no
meaning, or that nothing can meet is a mistake, and is found before any task is opened. What
only a call can tell is left to the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.manifests.bounds import misplaced, objection, pattern
from sandbox_runtime.manifests.constraint import DEEPEST_CONSTRAINT, MOST_CONSTRAINTS
from sandbox_runtime.manifests.possible import impossible
from sandbox_runtime.manifests.problems import Finding, Where, quoted, shown
from sandbox_runtime.manifests.variables import bind, reference, strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.constraint import Constraint, Length, Range
    from sandbox_runtime.manifests.model import ToolArgument
    from sandbox_runtime.manifests.variable import Variable
    from sandbox_runtime.strict import Json

_TYPED = ("not_one_of", "subset", "range", "length", "regex", "each")
"""Words that have a meaning for some types only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """What the tool lets a value be. Empty where that is not decidable."""

    schema: Mapping[str, Json]
    item: bool = False

    @property
    def type(self) -> str | None:
        """The one type that values have; None: unknown."""
        type_ = self.schema.get("type")
        return type_ if isinstance(type_, str) else None

    @property
    def items(self) -> _Bounds:
        """What the tool lets each item be: known for an argument's, not for an item's."""
        items = {} if self.item else self.schema.get("items")
        return _Bounds(schema=items if isinstance(items, dict) else {}, item=True)

    def number(self, key: str) -> float | None:
        """Return a bound that is a number."""
        bound = self.schema.get(key)
        return bound if isinstance(bound, int | float) else None

    def objection(self, value: Json) -> str | None:
        """Return what the tool has against a value, or None."""
        if self.item:  # seen inside its array, where its references lead
            return objection({"items": dict(self.schema)}, [value])
        return objection(self.schema, value)


def constraints(
    named: Constraint, argument: ToolArgument, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    """Yield what is wrong with a grant's constraints on one argument of the tool."""
    if (count := named.count()) > MOST_CONSTRAINTS:
        message = f"{count} constraints on one argument, more than {MOST_CONSTRAINTS}"
        yield Finding(where=where, message=message, on_key=True)
    yield from _constraint(named, _Bounds(schema=argument.json_schema()), variables, where, 1)


def _constraint(
    named: Constraint,
    bounds: _Bounds,
    variables: Mapping[str, Variable],
    where: Where,
    depth: int,
) -> Iterator[Finding]:
    findings = [*_misplaced(named, bounds, where), *_values(named, bounds, variables, where)]
    yield from findings or _intervals(named, bounds, where)
    for path, inner in named.within():
        at = (*where, *path)
        if depth == DEEPEST_CONSTRAINT:
            message = f"constraints are nested deeper than {DEEPEST_CONSTRAINT} levels"
            yield Finding(where=at, message=message)
        elif not inner.model_fields_set:
            yield Finding(where=at, message="says nothing, so everything would meet it")
        else:
            within = bounds.items if path[0] == "each" else bounds
            yield from _constraint(inner, within, variables, at, depth + 1)
    if not findings:
        yield from impossible(named, bounds.schema, where)


def _misplaced(named: Constraint, bounds: _Bounds, where: Where) -> Iterator[Finding]:
    if bounds.type is not None:
        present = (key for key in _TYPED if getattr(named, key) is not None)
        yield from misplaced(present, bounds.type, where)


def _values(
    named: Constraint, bounds: _Bounds, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    if named.exact is not None:
        yield from _value(named.exact, bounds, variables, (*where, "exact"))
    for key, within in (("one_of", bounds), ("not_one_of", bounds), ("subset", bounds.items)):
        for index, one in enumerate(getattr(named, key) or ()):
            yield from _value(one, within, variables, (*where, key, index))


def _value(
    value: Json, bounds: _Bounds, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    if (name := reference(value)) is not None:
        if name in variables:
            yield from _variable(name, variables[name], bounds, where)
        return
    if any(reference(text) for _, text in strings(value)):
        return  # Known only when the task is opened; every call is checked then.
    against = bounds.objection(bind(value, {}))
    if against is not None:
        message = f"{shown(value)} is beyond what the tool's {_what(bounds)} may be: {against}"
        yield Finding(where=where, message=message, mend="the tool's bounds hold for every grant")


def _variable(name: str, variable: Variable, bounds: _Bounds, where: Where) -> Iterator[Finding]:
    fits = {bounds.type} | ({"integer"} if bounds.type == "number" else set())
    if bounds.type is not None and variable.type not in fits:
        yield Finding(
            where=where,
            message=f"variable {quoted(name)} is of type {quoted(variable.type)}, "
            f"the tool's {_what(bounds)} of type {quoted(bounds.type)}",
        )
    elif variable.value is not None and (against := bounds.objection(variable.value)) is not None:
        what = f"the value of variable {quoted(name)}"
        message = f"{what} is beyond what the tool's {_what(bounds)} may be: {against}"
        yield Finding(where=where, message=message, mend="the tool's bounds hold for every grant")


def _what(bounds: _Bounds) -> str:
    return "item" if bounds.item else "argument"


def _intervals(named: Constraint, bounds: _Bounds, where: Where) -> Iterator[Finding]:
    if named.range is not None:
        yield from _range(named.range, bounds, (*where, "range"))
    if named.length is not None:
        yield from _length(named.length, bounds, (*where, "length"))
    if named.regex is not None:
        yield from pattern(named.regex, (*where, "regex"))


def _range(wanted: Range, bounds: _Bounds, where: Where) -> Iterator[Finding]:
    least, most = bounds.number("minimum"), bounds.number("maximum")
    yield from _interval(wanted.min, wanted.max, where)
    yield from _end(wanted.min, least, most, (*where, "min"))
    yield from _end(wanted.max, least, most, (*where, "max"))


def _length(wanted: Length, bounds: _Bounds, where: Where) -> Iterator[Finding]:
    unit = "Length" if bounds.type == "string" else "Items"
    least, most = bounds.number(f"min{unit}"), bounds.number(f"max{unit}")
    yield from _interval(wanted.min, wanted.max, where)
    if "min" in wanted.model_fields_set:
        yield from _end(wanted.min, least, most, (*where, "min"))
    yield from _end(wanted.max, least, most, (*where, "max"))


def _interval(low: float | None, high: float | None, where: Where) -> Iterator[Finding]:
    if low is None and high is None:
        yield Finding(where=where, message="says nothing", mend="give `min`, `max` or both")
    if low is not None and high is not None and low > high:
        message = f"nothing is at least `{low}` and at most `{high}`"
        yield Finding(where=where, message=message)


def _end(
    end: float | None, least: float | None, most: float | None, where: Where
) -> Iterator[Finding]:
    if end is None:
        return
    if least is not None and end < least:
        yield Finding(where=where, message=f"`{end}` is less than the tool's least, `{least}`")
    if most is not None and end > most:
        yield Finding(where=where, message=f"`{end}` is more than the tool's most, `{most}`")
