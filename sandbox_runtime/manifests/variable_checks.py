"""Can a variable have a value, and does each of its words mean something?

Law: a declaration that nothing can meet, or a word beside which another has no meaning, is a
mistake, and is found before any task is opened.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.manifests.bounds import pattern
from sandbox_runtime.manifests.problems import Finding, Where, quoted, shown
from sandbox_runtime.manifests.variable import Unfit, fitting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.variable import Variable
    from sandbox_runtime.strict import Json

_MEANT_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "regex": ("string",),
        "format": ("string",),
        "minimum": ("integer", "number"),
        "maximum": ("integer", "number"),
        "enum": ("string", "integer", "number"),
    }
)


def check_variables(variables: Mapping[str, Variable], where: Where) -> Iterator[Finding]:
    """Yield what is wrong with a task's variables, which stand at `where`."""
    for name, variable in variables.items():
        yield from _variable(variable, (*where, name))


def _variable(variable: Variable, where: Where) -> Iterator[Finding]:
    findings = [*_misplaced(variable, where), *_source(variable, where), *_reads(variable, where)]
    yield from findings
    if not findings:
        yield from _interval(variable, where)
        yield from _values(variable, where)


def _misplaced(variable: Variable, where: Where) -> Iterator[Finding]:
    for key, types in _MEANT_FOR.items():
        if getattr(variable, key) is not None and variable.type not in types:
            message = f"{quoted(key)} means nothing for a variable of type {quoted(variable.type)}"
            yield Finding(where=(*where, key), message=message, mend="remove it", on_key=True)


def _source(variable: Variable, where: Where) -> Iterator[Finding]:
    if variable.value is not None:
        for key in ("source", "claim"):
            if key in variable.model_fields_set:
                message = f"`{key}` means nothing beside `value`: nobody brings what is fixed"
                yield Finding(where=(*where, key), message=message, mend="remove it", on_key=True)
    elif variable.claim is not None and variable.source != "identity_claim":
        message = "`claim` means nothing for a variable that its opener brings"
        mend = "write `source: identity_claim` beside it"
        yield Finding(where=(*where, "claim"), message=message, mend=mend, on_key=True)


def _reads(variable: Variable, where: Where) -> Iterator[Finding]:
    if variable.regex is not None and variable.type == "string":
        yield from pattern(variable.regex, (*where, "regex"))


def _interval(variable: Variable, where: Where) -> Iterator[Finding]:
    low, high = variable.minimum, variable.maximum
    if low is not None and high is not None and low > high:
        message = f"nothing is at least `{low}` and at most `{high}`"
        yield Finding(where=(*where, "minimum"), message=message)


def _values(variable: Variable, where: Where) -> Iterator[Finding]:
    bounds = variable.model_copy(update={"enum": None})
    for index, one in enumerate(variable.enum or ()):
        yield from _value(bounds, one, (*where, "enum", index))
    if variable.value is not None:
        yield from _value(variable, variable.value, (*where, "value"))


def _value(variable: Variable, value: Json, where: Where) -> Iterator[Finding]:
    try:
        form = fitting(variable, value)
    except Unfit as unfit:
        message = f"{shown(value)} is beyond what the variable may be: {unfit}"
        yield Finding(where=where, message=message)
        return
    if form != value:
        message = f"{shown(value)} is not in the form that its format gives it"
        yield Finding(where=where, message=message, mend=f"write {quoted(str(form))}")
