"""Does a value match its schema?

Law: a value passes unchanged or not at all. An objection names the place and what the
schema asks for; it never repeats the value, which may be a secret.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

import jsonschema_rs

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.destinations.schema.settings import SchemaSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.strict import Json, Strict

_MAX_HINT: Final = 300

_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "additionalProperties": "there is a property that the schema does not name",
        "anyOf": "matches none of the allowed forms",
        "const": "is not the one allowed value",
        "contains": "holds no item of the required kind",
        "enum": "is none of the allowed values",
        "exclusiveMaximum": "is not less than {limit}",
        "exclusiveMinimum": "is not greater than {limit}",
        "falseSchema": "is not allowed here",
        "format": "is no {format}",
        "maxItems": "has more than {limit} items",
        "maxLength": "is longer than {limit} characters",
        "maxProperties": "has more than {limit} properties",
        "maximum": "is greater than {limit}",
        "minItems": "has fewer than {limit} items",
        "minLength": "is shorter than {limit} characters",
        "minProperties": "has fewer than {limit} properties",
        "minimum": "is less than {limit}",
        "multipleOf": "is no multiple of {multiple_of}",
        "not": "has a form that is not allowed",
        "oneOf": "does not match exactly one of the allowed forms",
        "pattern": "does not match the required pattern",
        "propertyNames": "has a property whose name is not allowed",
        "required": "the property `{property}` is missing",
        "type": "is not of type {types}",
        "unevaluatedItems": "has an item that the schema does not describe",
        "unevaluatedProperties": "there is a property that the schema does not name",
        "uniqueItems": "has an item twice",
    }
)


class Schema:
    """The destination `schema`: JSON Schema 2020-12."""

    kind: ClassVar[str] = "schema"
    settings: ClassVar[type[Strict]] = SchemaSettings

    def narrow(self, tool: SchemaSettings, grant: SchemaSettings) -> SchemaSettings:
        """Return both: a value must match the tool's and the grant's, so nothing widens."""
        extra = [document for document in grant.documents if document not in tool.documents]
        return SchemaSettings.model_validate([*tool.documents, *extra])

    def normalise(self, value: Json, settings: SchemaSettings) -> Json:
        """Return `value` as it is, or object at the first place that does not match."""
        for validator in settings.validators:
            try:
                validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                raise _objection(error) from None  # its text repeats the value
            except (ValueError, TypeError, OverflowError):
                problem = "is no JSON value (a lone surrogate, or a number beyond all bounds)"
                raise Objection("schema.not_json", problem) from None
        return value

    def confine(self, normal: Json, settings: SchemaSettings) -> Accepted:  # noqa: ARG002
        """Return `normal`: a schema has nothing to put in."""
        return Accepted(value=normal)

    def check(self, value: Json, settings: SchemaSettings) -> Accepted:
        """Return `value` if it matches."""
        return self.confine(self.normalise(value, settings), settings)

    def describe(self, settings: SchemaSettings) -> dict[str, Json]:
        """Return the schemas, unless they refer to their own parts: those cannot move."""
        if any('"$ref"' in text or '"$dynamicRef"' in text for text in _texts(settings)):
            return {"description": "It must match the tool's own schema."}
        return {"allOf": list(settings.documents)}


def _texts(settings: SchemaSettings) -> list[str]:
    return [json_text.canonical(document).decode() for document in settings.documents]


def _objection(error: jsonschema_rs.ValidationError) -> Objection:
    name, said = error.kind.name, _said(error.kind)
    sentence = _SENTENCES.get(name, f"breaks the schema's `{name}`")
    return Objection(
        f"schema.{name}",
        sentence.format_map(said),
        pointer=json_text.pointer(*error.instance_path),
        subject=_subject(error.kind),
        hint=_hint(error.kind),
    )


def _said(kind: jsonschema_rs.ValidationErrorKind) -> dict[str, object]:
    """What the schema asks for, in words. Nothing here comes from the value."""
    match kind:
        case jsonschema_rs.ValidationErrorKind.Type(types=types):
            return {"types": " or ".join(types)}
        case jsonschema_rs.ValidationErrorKind.PropertyNames():
            return {}
        case _:
            return kind.as_dict()


def _subject(kind: jsonschema_rs.ValidationErrorKind) -> str | None:
    match kind:
        case (
            jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=[str() as name, *_])
            | jsonschema_rs.ValidationErrorKind.UnevaluatedProperties(
                unexpected=[str() as name, *_]
            )
        ):
            return name
        case jsonschema_rs.ValidationErrorKind.Required(property=str() as name):
            return name
        case _:
            return None


def _hint(kind: jsonschema_rs.ValidationErrorKind) -> str | None:
    match kind:
        case jsonschema_rs.ValidationErrorKind.Enum(options=list() as options):
            hint = "allowed: " + json.dumps(options, default=str)[1:-1]
        case jsonschema_rs.ValidationErrorKind.Constant(expected_value=expected):
            hint = "allowed: " + json.dumps(expected, default=str)
        case jsonschema_rs.ValidationErrorKind.Pattern(pattern=pattern):
            hint = f"pattern: {pattern}"
        case _:
            return None
    return hint if len(hint) <= _MAX_HINT else None
