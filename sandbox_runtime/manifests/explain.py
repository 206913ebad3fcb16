"""What does the model's verdict on a manifest mean to who wrote it?

Law: each problem says what was expected and what was found, in a manifest's words. The
validator's own sentences, types and union branches never show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.manifests.model import PATTERNS
from sandbox_runtime.manifests.problems import (
    Finding,
    Where,
    did_you_mean,
    listed,
    one_of,
    printable,
    quoted,
    shown,
)
from sandbox_runtime.manifests.schema import keys_at
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_Context = Mapping[str, Any]


def _choice(context: _Context) -> str:
    return listed(re.findall(r"'([^']*)'", context["expected"])) or context["expected"]


def _count(number: int, noun: str) -> str:
    plural = "entries" if noun == "entry" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


_EXPECTED: Mapping[str, Callable[[_Context], str]] = MappingProxyType(
    {
        "string_type": lambda _: "a string",
        "int_type": lambda _: "an integer",
        "int_from_float": lambda _: "an integer",
        "float_type": lambda _: "a number",
        "bool_type": lambda _: "`true` or `false`",
        "dict_type": lambda _: "a mapping",
        "model_type": lambda _: "a mapping",
        "list_type": lambda _: "a list",
        "tuple_type": lambda _: "a list",
        "frozen_set_type": lambda _: "a list",
        "literal_error": _choice,
        "enum": _choice,
        "string_pattern_mismatch": lambda c: PATTERNS.get(
            c["pattern"], f"text that matches {quoted(c['pattern'])}"
        ),
        "string_too_short": lambda c: f"at least {_count(c['min_length'], 'character')}",
        "string_too_long": lambda c: f"at most {_count(c['max_length'], 'character')}",
        "too_short": lambda c: f"at least {_count(c['min_length'], 'entry')}",
        "too_long": lambda c: f"at most {_count(c['max_length'], 'entry')}",
        "greater_than": lambda c: f"more than `{c['gt']}`",
        "greater_than_equal": lambda c: f"at least `{c['ge']}`",
        "less_than": lambda c: f"less than `{c['lt']}`",
        "less_than_equal": lambda c: f"at most `{c['le']}`",
    }
)
_PREFIX = "expected "
_KEY = "[key]"


def explain(error: ValidationError, data: Json, model: type[Strict]) -> Iterator[Finding]:
    """Yield what is wrong with `data`, one finding for each place."""
    located = [(*_locate(data, each), each) for each in error.errors(include_url=False)]
    for (where, missing), group in groupby(located, key=lambda one: one[:2]):
        found = _found(data, where)
        errors = [each for _, _, each in group if not _follows(each, found)]
        if errors:
            yield _finding(where, missing, errors, found, model)


def nulls(model: Strict, where: Where = ()) -> Iterator[Finding]:
    """Yield each key that stands there with `null`, which no key of a manifest means.

    What destinations say of their own settings is theirs: a row filter has a use for null.
    """
    for name in sorted(model.model_fields_set):
        value = getattr(model, name)
        at = (*where, type(model).model_fields[name].alias or name)
        if value is None:
            yield Finding(where=at, message="`null` means nothing here", mend="leave the key out")
        if at[-1] not in DESTINATIONS:
            yield from _nulls_within(value, at)


def _nulls_within(value: object, where: Where) -> Iterator[Finding]:
    match value:
        case Strict():
            yield from nulls(value, where)
        case dict():
            for key, each in value.items():
                yield from _nulls_within(each, (*where, key))
        case tuple():
            for index, each in enumerate(value):
                yield from _nulls_within(each, (*where, index))
        case _:
            return


def _locate(data: Json, error: ErrorDetails) -> tuple[Where, str]:
    """Return the path of an error that exists in the data, and the key that is missing there.

    What else the validator puts into a location, branches of a union above all, falls away;
    an error of a key itself is missing `[key]`.
    """
    where: list[str | int] = []
    for step in error["loc"]:
        if not _has(data, step):
            if step == _KEY or (error["type"] == "missing" and step == error["loc"][-1]):
                return tuple(where), str(step)
            continue
        where.append(step)
        data = data[step]  # type: ignore[index]  # just asked
    return tuple(where), ""


def _follows(error: ErrorDetails, found: Json) -> bool:
    """Return whether a list is only too short because its entries are wrong."""
    if error["type"] != "too_short" or not isinstance(found, list):
        return False
    return len(found) >= int(error["ctx"]["min_length"])


def _has(data: Json, step: str | int) -> bool:
    if isinstance(data, dict):
        return step in data
    return isinstance(data, list) and isinstance(step, int) and step < len(data)


def _found(data: Json, where: Where) -> Json:
    for step in where:
        data = data[step]  # type: ignore[index]  # the path exists
    return data


def _finding(
    where: Where, missing: str, errors: Sequence[ErrorDetails], found: Json, model: type[Strict]
) -> Finding:
    kind = errors[0]["type"]
    if kind == "extra_forbidden":
        return _unknown(where, model)
    if kind == "missing":
        message = f"missing key {quoted(missing)}"
        return Finding(where=where, message=message, on_key=True)
    if missing == _KEY:
        return _misfit(where, errors, str(where[-1]), on_key=True)
    return _misfit(where, errors, found, on_key=False)


def _unknown(where: Where, model: type[Strict]) -> Finding:
    name, known = str(where[-1]), keys_at(model, where[:-1])
    near = did_you_mean(name, known)
    some = one_of(known)
    return Finding(
        where=where,
        message=f"unknown key {quoted(name)}",
        expected=some,
        mend=near or (f"known here: {some.replace(' or ', ' and ')}" if some else ""),
        on_key=True,
    )


def _misfit(where: Where, errors: Sequence[ErrorDetails], found: Json, *, on_key: bool) -> Finding:
    phrases = tuple(dict.fromkeys(_phrase(error) for error in errors))
    wanted = [phrase.removeprefix(_PREFIX) for phrase in phrases]
    if not all(phrase.startswith(_PREFIX) for phrase in phrases):
        return Finding(where=where, message="; ".join(phrases), on_key=on_key)
    expected = " or ".join(filter(None, (", ".join(wanted[:-1]), wanted[-1])))
    return Finding(
        where=where,
        message=f"expected {expected}, found {shown(found)}",
        expected=expected,
        mend=did_you_mean(found, _choices(errors[0])) if isinstance(found, str) else "",
        on_key=on_key,
    )


def _phrase(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if (known := _EXPECTED.get(error["type"])) is not None:
        return f"{_PREFIX}{known(context)}"
    own = str(context["error"]) if "error" in context else error["msg"]
    return printable(own[:1].lower() + own[1:])


def _choices(error: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
