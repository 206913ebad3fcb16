"""Do a grant's constraints lie within what the tool's argument may be?

Law: a constraint that asks for more than the tool, that its argument's type gives no
meaning, or that nothing can meet is a mistake, and is found before any task is opened.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import re2
from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from sandbox_runtime.manifests.problems import Finding, Where, printable, quoted, shown
from sandbox_runtime.manifests.variables import bind, reference, strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.model import GrantArgument, Length, Range, ToolArgument, Variable
    from sandbox_runtime.strict import Json

_MEANT_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "range": ("integer", "number"),
        "length": ("string", "array"),
        "regex": ("string",),
        "minimum": ("integer", "number"),
        "maximum": ("integer", "number"),
        "minLength": ("string",),
        "maxLength": ("string",),
        "items": ("array",),
        "maxItems": ("array",),
        "enum": ("string", "integer", "number", "boolean"),
    }
)


def compiled(schema: Mapping[str, Json]) -> Draft202012Validator:
    """Return a validator that fetches nothing and matches in linear time.

    Raises jsonschema-rs' `ValidationError` where the schema is none.
    """
    return Draft202012Validator(dict(schema), pattern_options=RegexOptions(), offline=True)


def objection(schema: Mapping[str, Json], value: Json) -> str | None:
    """Return what a schema has against a value, or None."""
    try:
        compiled(schema).validate(value)
    except ValidationError as error:
        return printable(error.message)
    return None


def misplaced(present: Iterator[str], type_: str, where: Where) -> Iterator[Finding]:
    """Yield each bound that means nothing for an argument of this type."""
    for key in present:
        if type_ not in _MEANT_FOR.get(key, (type_,)):
            message = f"{quoted(key)} means nothing for an argument of type {quoted(type_)}"
            yield Finding(where=(*where, key), message=message, mend="remove it", on_key=True)


def pattern(regex: str, where: Where) -> Iterator[Finding]:
    """Yield why RE2 refuses a regular expression, if it does."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(regex, options)
    except re2.error as error:
        said = error.args[0]
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        yield Finding(
            where=where,
            message=f"RE2 does not read {quoted(regex)}: {printable(text)}",
            mend="RE2 has no look-around and no back-references",
        )


def constraints(
    named: GrantArgument, argument: ToolArgument, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    """Yield what is wrong with a grant's constraints on one argument of the tool."""
    present = (key for key in ("range", "length", "regex") if getattr(named, key) is not None)
    misfits = list(misplaced(present, argument.type, where))
    yield from misfits
    if named.exact is not None:
        yield from _value(named.exact, argument, variables, (*where, "exact"))
    for index, one in enumerate(named.one_of or ()):
        yield from _value(one, argument, variables, (*where, "one_of", index))
    if not misfits:
        yield from _intervals(named, argument, where)


def _intervals(named: GrantArgument, argument: ToolArgument, where: Where) -> Iterator[Finding]:
    if named.range is not None:
        yield from _range(named.range, argument, (*where, "range"))
    if named.length is not None:
        yield from _length(named.length, argument, (*where, "length"))
    if named.regex is not None:
        yield from pattern(named.regex, (*where, "regex"))


def _value(
    value: Json, argument: ToolArgument, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    if (name := reference(value)) is not None:
        if name in variables:
            yield from _variable(name, variables[name], argument, where)
        return
    if any(reference(text) for _, text in strings(value)):
        return  # Known only when the task is opened; every call is checked then.
    against = objection(argument.json_schema(), bind(value, {}))
    if against is not None:
        message = f"{shown(value)} is beyond what the tool's argument may be: {against}"
        yield Finding(where=where, message=message, mend="the tool's bounds hold for every grant")


def _variable(
    name: str, variable: Variable, argument: ToolArgument, where: Where
) -> Iterator[Finding]:
    fits = {argument.type} | ({"integer"} if argument.type == "number" else set())
    if variable.type not in fits:
        yield Finding(
            where=where,
            message=f"variable {quoted(name)} is of type {quoted(variable.type)}, "
            f"the tool's argument of type {quoted(argument.type)}",
        )


def _range(wanted: Range, argument: ToolArgument, where: Where) -> Iterator[Finding]:
    yield from _interval(wanted.min, wanted.max, where)
    yield from _end(wanted.min, argument.minimum, argument.maximum, (*where, "min"))
    yield from _end(wanted.max, argument.minimum, argument.maximum, (*where, "max"))


def _length(wanted: Length, argument: ToolArgument, where: Where) -> Iterator[Finding]:
    of_text = argument.type == "string"
    most = argument.max_length if of_text else argument.max_items
    least = argument.min_length if of_text else None
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
