"""Does a canonical value hold to what a grant says of it?

Law: all that is named must hold, and what cannot be evaluated does not hold. Constraints
see canonical values; they never parse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import re2

from sandbox_runtime.destinations import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox_runtime.call import Rule
    from sandbox_runtime.manifests.constraint import Constraint, Length, Range
    from sandbox_runtime.strict import Json

MOST_ITEMS = 10_000
"""A longer list holds to nothing that is asked of its items: deciding waits for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """The first word of a constraint that a value does not hold to."""

    path: Rule
    """Below the constraint: `("all_of", 1, "length")`."""
    problem: str
    pointer: str = ""
    """RFC 6901, below the value."""

    @property
    def word(self) -> str:
        """The word itself: `length`."""
        return next(str(step) for step in reversed(self.path) if isinstance(step, str))

    def under(self, *path: str | int, pointer: str = "") -> Breach:
        """Return the breach as the constraint around it tells it."""
        return replace(self, path=(*path, *self.path), pointer=pointer + self.pointer)


def broken(value: Json, named: Constraint) -> Breach | None:
    """Return the first word of `named` that `value` breaks, or None."""
    return next(breaches(value, named), None)


def breaches(value: Json, named: Constraint) -> Iterator[Breach]:
    """Yield every word of `named` that `value` breaks, in order."""
    for word, problem in _words(value, named):
        yield Breach(path=(word,), problem=problem)
    if named.each is not None:
        yield from _each(value, named.each)
    if named.any_of is not None:
        yield from _none_of(value, named.any_of)
    for index, one in enumerate(named.all_of or ()):
        yield from (breach.under("all_of", index) for breach in breaches(value, one))


def _words(value: Json, named: Constraint) -> Iterator[tuple[str, str]]:
    if "exact" in named.model_fields_set and not same(value, named.exact):
        yield "exact", "it is not the one value that the grant allows"
    if named.one_of is not None and not _among(value, named.one_of):
        yield "one_of", f"it is none of {_listed(named.one_of)}"
    if named.not_one_of is not None and not _apart(value, named.not_one_of):
        yield "not_one_of", "it is a value that the grant excludes"
    if named.subset is not None and not _all_among(value, named.subset):
        yield "subset", f"it is not a list of nothing but {_listed(named.subset)}"
    if named.range is not None and not _within(value, named.range):
        yield "range", f"it is not a number {_interval(named.range)}"
    if named.length is not None and not _sized(value, named.length):
        yield "length", f"its length is not {_bounds(named.length)}"
    if named.regex is not None and not _matches(value, named.regex):
        yield "regex", f"it does not match `{named.regex}` as a whole"


def _each(value: Json, named: Constraint) -> Iterator[Breach]:
    if not isinstance(value, list):
        yield Breach(path=("each",), problem="it is not a list")
        return
    if len(value) > MOST_ITEMS:
        yield Breach(path=("each",), problem=f"it has more than {MOST_ITEMS} items")
        return
    for index, item in enumerate(value):
        for breach in breaches(item, named):
            yield breach.under("each", pointer=json_text.pointer(index))


def _none_of(value: Json, choices: Sequence[Constraint]) -> Iterator[Breach]:
    breaches: list[Breach] = []
    for choice in choices:
        if (breach := broken(value, choice)) is None:
            return
        breaches.append(breach)
    each = dict.fromkeys(breach.problem for breach in breaches)
    yield Breach(path=("any_of",), problem=f"no choice holds: {'; '.join(each)}")


def _among(value: Json, allowed: Sequence[Json]) -> bool:
    # What JSON holds to be the same, Python holds to be equal, and tells it sooner.
    return value in allowed and any(same(value, one) for one in allowed if one == value)


def _apart(value: Json, excluded: Sequence[Json]) -> bool:
    return not isinstance(value, list | dict | None) and not _among(value, excluded)


def _all_among(value: Json, allowed: Sequence[Json]) -> bool:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        return False
    return all(_among(item, allowed) for item in value)


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
