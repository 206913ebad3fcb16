"""Does a canonical value hold to what a grant says of it?

Law: all that is named must hold, and what cannot be evaluated does not hold. Constraints
see canonical values; they never parse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import re2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox_runtime.manifests.model import GrantArgument, Length, Range
    from sandbox_runtime.strict import Json


def broken(value: Json, named: GrantArgument) -> tuple[str, str] | None:
    """Return (constraint, sentence) of the first constraint `value` breaks, or None."""
    return next(_broken(value, named), None)


def _broken(value: Json, named: GrantArgument) -> Iterator[tuple[str, str]]:
    if "exact" in named.model_fields_set and not same(value, named.exact):
        yield "exact", "it is not the one value that the grant allows"
    if named.one_of is not None and not any(same(value, one) for one in named.one_of):
        yield "one_of", f"it is none of {_listed(named.one_of)}"
    if named.range is not None and not _within(value, named.range):
        yield "range", f"it is not a number {_interval(named.range)}"
    if named.length is not None and not _sized(value, named.length):
        yield "length", f"its length is not {_bounds(named.length)}"
    if named.regex is not None and not _matches(value, named.regex):
        yield "regex", f"it does not match `{named.regex}` as a whole"


def same(one: Json, other: Json) -> bool:
    """Return whether two JSON values are equal, as JSON means it: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return one == other


def _within(value: Json, interval: Range) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    above = interval.min is None or value >= interval.min
    return above and (interval.max is None or value <= interval.max)


def _sized(value: Json, length: Length) -> bool:
    if not isinstance(value, str | list):
        return False
    return length.min <= len(value) and (length.max is None or len(value) <= length.max)


def _matches(value: Json, pattern: str) -> bool:
    return isinstance(value, str) and re2.fullmatch(pattern, value) is not None


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _interval(interval: Range) -> str:
    low = f"of at least {interval.min}" if interval.min is not None else ""
    high = f"of at most {interval.max}" if interval.max is not None else ""
    return " and ".join(end for end in (low, high) if end)


def _bounds(length: Length) -> str:
    if length.max is None:
        return f"{length.min} or more"
    return f"from {length.min} to {length.max}"
