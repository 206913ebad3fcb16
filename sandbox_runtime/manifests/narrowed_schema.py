"""What does a model learn of a tool that its task may use?

Law: what may be sent, in JSON Schema that a model's tool list takes, and nothing of what
is hidden: no row filter, no column that is not listed, no exclusion, no variable that
only they use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.destinations.registry import DESTINATIONS, dump, settings_of
from sandbox_runtime.manifests.bounds import objection
from sandbox_runtime.manifests.effective import ArgumentRule, effective
from sandbox_runtime.manifests.variables import bind, bind_constraints
from sandbox_runtime.strict import Json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sandbox_runtime.manifests.constraint import Constraint
    from sandbox_runtime.manifests.effective import Checks
    from sandbox_runtime.manifests.model import Grant, Output, Tool

_Schema = dict[str, Json]


def tool_schema(
    tool: Tool,
    grants: Sequence[Grant],
    variables: Mapping[str, Json],
    without: Collection[str] = (),
) -> _Schema:
    """Return `{name, description, parameters}` of a tool under the task's grants of it.

    `parameters` is a closed object, JSON Schema 2020-12. Where grants differ about an
    argument, it may be what any one of them allows; a call must still suit one grant
    in all its arguments. Arguments `without` are left out.
    """
    under = [_properties(tool, grant, variables) for grant in grants]
    properties: _Schema = {
        name: _any_of([properties[name] for properties in under])
        for name in tool.spec.arguments
        if name not in without
    }
    return {
        "name": tool.metadata.name,
        "description": tool.spec.description,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if _required(name, under)],
            "additionalProperties": False,
        },
    }


def output_schema(output: Output, variables: Mapping[str, Json]) -> _Schema:
    """Return the JSON Schema 2020-12 of a final answer, as far as its destinations tell."""
    return _checked({"type": output.type}, output.checks(), variables)


def _properties(tool: Tool, grant: Grant, variables: Mapping[str, Json]) -> dict[str, _Schema]:
    rules = effective(tool, grant)
    return {name: _property(rule, variables) for name, rule in rules.items()}


def _property(rule: ArgumentRule, variables: Mapping[str, Json]) -> _Schema:
    schema = dict(rule.schema)
    if rule.constraints is not None:
        schema = _constrained(schema, bind_constraints(rule.constraints, variables))
    return _without_idle_default(_checked(schema, rule.checks, variables))


def _checked(schema: _Schema, checks: Checks, variables: Mapping[str, Json]) -> _Schema:
    for kind, settings in checks:
        bound = settings_of(kind, bind(dump(settings), variables))
        schema = _described(schema, DESTINATIONS[kind].describe(bound))
    return schema


def _constrained(schema: _Schema, named: Constraint) -> _Schema:
    # INVARIANT (exclusions stay hidden): `not_one_of` leaves no trace here.
    narrower = dict(schema)
    if named.one_of is not None:
        narrower["enum"] = _within(named.one_of, schema.get("enum"))
    if named.exact is not None:
        narrower.pop("enum", None)
        narrower["const"] = named.exact
    if named.range is not None:
        narrower |= _bounds("minimum", named.range.min, "maximum", named.range.max)
    if named.length is not None:
        for unit in _units(schema):
            least, most = named.length.min or None, named.length.max
            narrower |= _bounds(f"min{unit}", least, f"max{unit}", most)
    return _combined(_items(narrower, named), named)


def _units(schema: _Schema) -> tuple[str, ...]:
    """Return what a length counts: of items nobody says of which type they are, either."""
    return {"string": ("Length",), "array": ("Items",)}.get(
        str(schema.get("type")), ("Length", "Items")
    )


def _items(schema: _Schema, named: Constraint) -> _Schema:
    if named.subset is None and named.each is None:
        return schema
    items = schema.get("items")
    narrower = dict(items) if isinstance(items, dict) else {}
    if named.subset is not None:
        narrower["enum"] = _within(named.subset, narrower.get("enum"))
    if named.each is not None:
        narrower = _constrained(narrower, named.each)
    return {**schema, "items": narrower}


def _combined(schema: _Schema, named: Constraint) -> _Schema:
    """Put in what has to hold as well. A part that shows nothing is met by all a model sees."""
    further = [part for one in named.all_of or () if (part := _part(schema, one))]
    if named.regex is not None:
        further.append({"pattern": f"^(?:{named.regex})$"})
    any_of = [_part(schema, one) for one in named.any_of or ()]
    if any_of and all(any_of):
        further.append({"anyOf": list[Json](any_of)})
    return _also(schema, further)


def _also(schema: _Schema, further: Sequence[_Schema]) -> _Schema:
    """Return the schema and the further ones, in keywords of its own where those are free."""
    narrower, rest = dict(schema), list[Json]()
    for part in further:
        if not part.keys() & narrower.keys():
            narrower |= part
        else:
            rest.append(part)
    if rest:
        held = schema.get("allOf")
        narrower["allOf"] = [*(held if isinstance(held, list) else ()), *rest]
    return narrower


def _part(schema: _Schema, named: Constraint) -> _Schema:
    """Return what `named` says beyond `schema`."""
    narrowed = _constrained(schema, named)
    return {key: value for key, value in narrowed.items() if schema.get(key) != value}


def _within(wanted: Sequence[Json], allowed: Json) -> list[Json]:
    return [one for one in wanted if not isinstance(allowed, list) or one in allowed]


def _bounds(low_key: str, low: float | None, high_key: str, high: float | None) -> _Schema:
    # A grant that loads lies within the tool's bounds, so its ends are the narrower ones.
    named: _Schema = {low_key: low, high_key: high}
    return {key: end for key, end in named.items() if end is not None}


def _described(schema: _Schema, keywords: Mapping[str, Json]) -> _Schema:
    sentences = [text for text in _descriptions(schema, keywords) if text]
    merged = {**schema, **keywords}
    return {**merged, "description": " ".join(sentences)} if sentences else merged


def _descriptions(*schemas: Mapping[str, Json]) -> Iterator[str]:
    for schema in schemas:
        yield str(schema.get("description", ""))


def _without_idle_default(schema: _Schema) -> _Schema:
    """Leave out a default that the grant does not allow: the argument has to be sent."""
    bounds = {key: bound for key, bound in schema.items() if key != "default"}
    keeps = "default" in schema and objection(bounds, schema["default"]) is None
    return schema if keeps else bounds


def _any_of(schemas: Sequence[_Schema]) -> Json:
    distinct: list[Json] = []
    for schema in schemas:
        if schema not in distinct:
            distinct.append(schema)
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _required(name: str, under: Sequence[Mapping[str, _Schema]]) -> bool:
    return all("default" not in properties[name] for properties in under)
