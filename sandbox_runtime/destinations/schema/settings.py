"""Which JSON Schema must a value match?

Law: a schema is whole in itself. It is draft 2020-12, refers to nothing outside itself,
and its patterns are matched in linear time; one that is not so does not load.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Self, cast

import jsonschema_rs
from pydantic import Field, model_serializer, model_validator

from sandbox_runtime.destinations import json_text
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

DRAFT = "https://json-schema.org/draft/2020-12/schema"

MAX_SCHEMA_DEPTH = 64

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20)
"""The engine without look-around and back-references, as RE2: time linear in the text."""

_NAMED_SCHEMAS = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
"""Keywords whose members are named by the author: a member `$ref` there is a name."""

_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords that hold data, not schemas."""

_WORDS = """
    $anchor $comment $defs $dynamicAnchor $dynamicRef $ref $schema additionalProperties allOf
    anyOf const contains contentEncoding contentMediaType default definitions dependentRequired
    dependentSchemas deprecated description else enum examples exclusiveMaximum
    exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum
    minContains minItems minLength minProperties minimum multipleOf not oneOf pattern
    patternProperties prefixItems properties propertyNames readOnly required then title type
    unevaluatedItems unevaluatedProperties uniqueItems writeOnly
    """
_KEYWORDS = frozenset(_WORDS.split())
"""All that may stand in a schema: validators skip a keyword they do not know, and a
misspelt bound would then bind nothing."""

Path = tuple[str | int, ...]


class SchemaSettings(Strict):
    """A bare JSON Schema object; or a list of them, and all must match."""

    documents: Annotated[tuple[dict[str, Json], ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, written: object) -> object:
        return {"documents": tuple(written) if isinstance(written, list | tuple) else (written,)}

    @model_serializer(mode="plain")
    def _as_written(self) -> Json:
        return self.documents[0] if len(self.documents) == 1 else list(self.documents)

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        for document in self.documents:
            _must_be_whole(document)
        _ = self.validators
        return self

    @cached_property
    def validators(self) -> tuple[jsonschema_rs.Draft202012Validator, ...]:
        """Compiled once. `ValueError` with the path inside the schema if one cannot be."""
        return tuple(_compiled(document) for document in self.documents)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        return {"type": "object", "description": "A JSON Schema, draft 2020-12."}


def _compiled(document: dict[str, Json]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            document,
            pattern_options=_PATTERNS,
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        where = json_text.pointer(*error.instance_path) or "/"
        msg = f"no schema, at `{where}`: {error.message}"
        raise ValueError(msg) from error


def _must_be_whole(document: dict[str, Json]) -> None:
    if json_text.depth(document) > MAX_SCHEMA_DEPTH:
        msg = f"no schema: nested more than {MAX_SCHEMA_DEPTH} deep"
        raise ValueError(msg)
    for path, keyword, value in _keywords(document, ()):
        if problem := _outside(keyword, value):
            msg = f"no schema, at `{json_text.pointer(*path, keyword)}`: {problem}"
            raise ValueError(msg)


def _outside(keyword: str, value: Json) -> str | None:
    if keyword in ("$ref", "$dynamicRef") and not (isinstance(value, str) and value[:1] == "#"):
        return "a reference leads out of the schema"
    if keyword in ("$id", "$vocabulary"):
        return f"`{keyword}` is not supported"
    if keyword not in _KEYWORDS:
        return f"`{keyword}` is no keyword of JSON Schema"
    if keyword == "$schema" and value != DRAFT:
        return f"the draft must be `{DRAFT}`"
    return None


def _keywords(schema: Json, path: Path) -> Iterator[tuple[Path, str, Json]]:
    """Yield every keyword of a schema and of the schemas inside it."""
    for keyword, value in schema.items() if isinstance(schema, dict) else ():
        yield path, keyword, value
        if keyword not in _DATA:
            for step, inner in _inner(keyword, value):
                yield from _keywords(inner, (*path, keyword, *step))


def _inner(keyword: str, value: Json) -> Iterator[tuple[Path, Json]]:
    if keyword in _NAMED_SCHEMAS and isinstance(value, dict):
        yield from (((name,), inner) for name, inner in value.items())
    elif isinstance(value, list):
        yield from (((index,), inner) for index, inner in enumerate(value))
    else:
        yield (), cast("Json", value)
