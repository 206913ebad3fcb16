"""What does a schema look like whose objects take only the properties that it names?

Law: closing only narrows. An object that says itself what else it takes keeps its word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

_SAID = ("additionalProperties", "unevaluatedProperties")

_IN_PLACE = ("$dynamicRef", "$ref", "allOf", "anyOf", "dependentSchemas", "if", "oneOf")
"""Keywords that describe the same object further: its properties stand there too."""

_INNER = ("additionalProperties", "contains", "items", "unevaluatedItems", "unevaluatedProperties")
_INNER_LISTS = ("prefixItems",)
_INNER_NAMED = ("patternProperties", "properties")


def closed(schema: dict[str, Json]) -> dict[str, Json]:
    """Return `schema` with every object closed that does not say otherwise.

    What a schema says of one object in parts (`allOf`, `$ref`, …) is closed as a whole,
    with `unevaluatedProperties`; the parts, and what `$defs` holds, are left as they are.
    """
    inner = {keyword: _closed_inside(keyword, value) for keyword, value in schema.items()}
    if not _describes_an_object(schema) or any(word in schema for word in _SAID):
        return inner
    in_parts = any(word in schema for word in _IN_PLACE)
    return {**inner, "unevaluatedProperties" if in_parts else "additionalProperties": False}


def _closed_inside(keyword: str, value: Json) -> Json:
    if keyword in _INNER and isinstance(value, dict):
        return closed(value)
    if keyword in _INNER_LISTS and isinstance(value, list):
        return [closed(item) if isinstance(item, dict) else item for item in value]
    if keyword in _INNER_NAMED and isinstance(value, dict):
        return {
            name: closed(item) if isinstance(item, dict) else item for name, item in value.items()
        }
    return value


def _describes_an_object(schema: dict[str, Json]) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema
    )
