"""Where does a grant refer to what the task's opener brings?

Law: a whole string `$name` is the variable of that name, and nothing less than a whole
string is: variables are put in as values, never into text. `$$` at the beginning of a
string stands for one `$`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from sandbox_runtime.manifests.constraint import Constraint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.problems import Where
    from sandbox_runtime.strict import Json

REFERENCE = re.compile(r"\$([a-z][a-z0-9_]*)")
ESCAPE = "$$"

C = TypeVar("C", bound=Constraint)


def reference(value: Json) -> str | None:
    """Return the name of the variable that a value refers to, or None."""
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else None


def strings(value: Json, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Yield each string among the values, keys not included, and its path."""
    match value:
        case str():
            yield where, value
        case dict():
            for key, each in value.items():
                yield from strings(each, (*where, key))
        case list():
            for index, each in enumerate(value):
                yield from strings(each, (*where, index))
        case _:
            return


def bind(value: Json, variables: Mapping[str, Json]) -> Json:
    """Return the value with variables put in and `$$` read as `$`; `KeyError` if one lacks."""
    match value:
        case str():
            name = reference(value)
            if name is not None:
                return variables[name]
            return value[1:] if value.startswith(ESCAPE) else value
        case dict():
            return {key: bind(each, variables) for key, each in value.items()}
        case list():
            return [bind(each, variables) for each in value]
        case _:
            return value


def bind_constraints(named: C, variables: Mapping[str, Json]) -> C:
    """Return the constraints with variables put in wherever they list values.

    The destinations' settings stay as they are: those are narrowed first, then bound.
    """
    bound: dict[str, object] = {}
    if named.exact is not None:
        bound["exact"] = bind(named.exact, variables)
    for key in ("one_of", "not_one_of", "subset"):
        if (values := getattr(named, key)) is not None:
            bound[key] = tuple(bind(one, variables) for one in values)
    if named.each is not None:
        bound["each"] = bind_constraints(named.each, variables)
    for key in ("any_of", "all_of"):
        if (inner := getattr(named, key)) is not None:
            bound[key] = tuple(bind_constraints(one, variables) for one in inner)
    return named.model_copy(update=bound)
