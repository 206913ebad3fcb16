"""What do a tool's bounds and a regular expression mean, as their engines read them?

Law: a bound that a type gives no meaning, or an expression that its engine does not read, is
a mistake, and is found before any task is opened.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import re2
from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from sandbox_runtime.manifests.problems import Finding, Where, printable, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.strict import Json

_MEANT_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "range": ("integer", "number"),
        "length": ("string", "array"),
        "regex": ("string",),
        "not_one_of": ("string", "integer", "number", "boolean"),
        "subset": ("array",),
        "each": ("array",),
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
