"""What does an editor need to know of a manifest?

Law: made from the models that load manifests, and from nothing else, so an editor and the
broker agree on every key.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from sandbox_runtime.manifests.model import PATTERNS, Task, Tool
from sandbox_runtime.manifests.units import print_duration, print_size
from sandbox_runtime.manifests.vocabulary import meanings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import core_schema

    from sandbox_runtime.manifests.problems import Where
    from sandbox_runtime.strict import Strict

KINDS: Mapping[str, type[Tool | Task]] = MappingProxyType({"Tool": Tool, "Task": Task})
"""Every kind of manifest."""

_OURS = f"{__package__}."
"""Where the models of manifests are; settings of destinations are elsewhere."""


def manifest_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of manifests of a kind, `Tool` or `Task`."""
    return schema_of(KINDS[kind])


def schema_of(model: type[Strict]) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of what a model reads."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **_schema(model)}


def keys_at(model: type[Strict], where: Where) -> tuple[str, ...]:
    """Return the keys that may stand at a place of a manifest."""
    root = _schema(model)
    nodes = [root]
    for step in where:
        nodes = [inner for node in nodes for inner in _step(root, node, step)]
    named = (key for node in nodes for each in _branches(root, node) for key in _named(each))
    return tuple(dict.fromkeys(named))


class _Generator(GenerateJsonSchema):
    """Writes defaults as a manifest writes them, and no `null` where it means nothing."""

    _ours = False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        outer, self._ours = self._ours, schema["cls"].__module__.startswith(_OURS)
        try:
            return super().model_schema(schema)
        finally:
            self._ours = outer

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        """Leave titles out: a key that is written twice tells an editor's user nothing."""
        return False

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        named = super().str_schema(schema)
        words = PATTERNS.get(named.get("pattern", ""))
        return named if words is None else {**named, "patternErrorMessage": f"expected {words}"}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        return _told(super().literal_schema(schema))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return _told(super().enum_schema(schema))

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        named = super().dict_schema(schema)
        return {**named, "additionalProperties": False} if "patternProperties" in named else named

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return (
            self.generate_inner(schema["schema"]) if self._ours else super().nullable_schema(schema)
        )

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = {**super().default_schema(schema)}
        match schema.get("default"):
            case None:
                inner.pop("default", None)
            case timedelta() as default:
                inner["default"] = print_duration(default)
            case int() as default if inner.get("type") == "string":
                inner["default"] = print_size(default)
        return inner


def _told(choice: JsonSchemaValue) -> JsonSchemaValue:
    told = meanings(choice.get("enum", ()))
    return choice if told is None else {**choice, "enumDescriptions": told}


@cache
def _schema(model: type[Strict]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, schema_generator=_Generator)


def _branches(root: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    yield node
    for branch in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from _branches(root, branch)


def _step(root: dict[str, Any], node: dict[str, Any], step: str | int) -> Iterator[dict[str, Any]]:
    for branch in _branches(root, node):
        if isinstance(step, int):
            inner = branch.get("items")
        else:
            inner = branch.get("properties", {}).get(step) or branch.get("additionalProperties")
        yield from (each for each in (inner, *_patterned(branch, step)) if isinstance(each, dict))


def _patterned(branch: dict[str, Any], step: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(step, str):
        yield from branch.get("patternProperties", {}).values()


def _named(node: dict[str, Any]) -> Iterator[str]:
    yield from node.get("properties", ())
