"""Can anything meet all that a constraint names?

Law: only a contradiction that is certain is told: between values that stand there, and
between ends of intervals. Variables are values that nobody knows yet.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import re2

from sandbox_runtime.manifests.bounds import objection
from sandbox_runtime.manifests.problems import Finding, Where
from sandbox_runtime.manifests.variables import bind, reference, strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox_runtime.manifests.constraint import Constraint
    from sandbox_runtime.strict import Json

_Conjuncts = list[tuple[Where, "Constraint"]]


def impossible(
    named: Constraint, schema: Mapping[str, Json], where: Where = ()
) -> Iterator[Finding]:
    """Yield why nothing can meet `named` for a value of the tool's `schema`, if that is so."""
    conjuncts = list(_conjuncts(named, where))
    yield from _disjoint(conjuncts, "range")
    yield from _disjoint(conjuncts, "length")
    listed = list(_listed(conjuncts, schema, where))
    for at, values in listed:
        if not any(_suits(value, conjuncts) for value in values):
            message = "nothing meets this and all that stands beside it"
            yield Finding(where=at, message=message)
            return


def _conjuncts(named: Constraint, where: Where) -> Iterator[tuple[Where, Constraint]]:
    yield where, named
    for index, one in enumerate(named.all_of or ()):
        yield from _conjuncts(one, (*where, "all_of", index))


def _disjoint(conjuncts: _Conjuncts, word: str) -> Iterator[Finding]:
    """Yield the interval that no value of the earlier ones lies in."""
    low: float | None = None
    high: float | None = None
    for index, (where, one) in enumerate(conjuncts):
        interval = getattr(one, word)
        if interval is None:
            continue
        low = max((end for end in (low, interval.min) if end is not None), default=None)
        high = min((end for end in (high, interval.max) if end is not None), default=None)
        if index and low is not None and high is not None and low > high:
            message = "nothing lies within this and within what stands around it"
            yield Finding(where=(*where, word), message=message)
            return


def _listed(
    conjuncts: _Conjuncts, schema: Mapping[str, Json], where: Where
) -> Iterator[tuple[Where, Sequence[Json]]]:
    """Yield each place that lists all the values there can be."""
    for at, one in conjuncts:
        if one.exact is not None and _known([one.exact]):
            yield (*at, "exact"), [bind(one.exact, {})]
        if one.one_of is not None and _known(one.one_of):
            yield (*at, "one_of"), [bind(value, {}) for value in one.one_of]
    if schema.get("type") == "boolean":
        yield where, [True, False]
    if isinstance(choice := schema.get("enum"), list):
        yield where, choice


def _known(values: Sequence[Json]) -> bool:
    return not any(reference(text) for _, text in chain.from_iterable(map(strings, values)))


def _suits(value: Json, conjuncts: _Conjuncts) -> bool:
    return all(
        objection(keywords, value) is None for _, one in conjuncts for keywords in _keywords(one)
    ) and all(_matches(value, one.regex) for _, one in conjuncts)


def _keywords(one: Constraint) -> Iterator[dict[str, Json]]:
    """Yield what a constraint asks of values as JSON Schema; what nobody knows yet is left out."""
    if one.exact is not None and _known([one.exact]):
        yield {"const": bind(one.exact, {})}
    if one.one_of is not None and _known(one.one_of):
        yield {"enum": [bind(value, {}) for value in one.one_of]}
    if one.not_one_of is not None:
        yield {"not": {"enum": [bind(v, {}) for v in one.not_one_of if _known([v])]}}
    for word, low, high in (("range", "minimum", "maximum"), ("length", "minLength", "maxLength")):
        if (interval := getattr(one, word)) is not None:
            ends = {low: interval.min, high: interval.max}
            yield {key: end for key, end in ends.items() if end is not None}


def _matches(value: Json, regex: str | None) -> bool:
    if regex is None or not isinstance(value, str):
        return True
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(regex, options).fullmatch(value) is not None
    except re2.error:
        return True  # Told at the expression itself.
