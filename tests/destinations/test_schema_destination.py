"""Values against JSON Schemas, and schemas that may not be one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.schema import closed
from sandbox_runtime.strict import Json

SECRET = "do-not-repeat"  # noqa: S105 - it stands for one


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "https://example.com/schema"}, "leads out"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/\\$ref"),
        ({"allOf": [{"$dynamicRef": "other#x"}]}, "/allOf/0/\\$dynamicRef"),
        ({"$id": "https://example.com/", "type": "object"}, "not supported"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
        ({"$ref": "#/$defs/none"}, "no schema"),
        ({"type": "text"}, "/type"),
        ({"properties": {"a": {"minimum": "3"}}}, "/properties/a/minimum"),
        ({"pattern": "(?=look)ahead"}, "/pattern"),
        ({"pattern": "(a)\\1"}, "/pattern"),
        ({"patternProperties": {"(?!x)": {}}}, "/patternProperties"),
        ({"pattern": "(a{1000}){1000}"}, "/pattern"),
        ({"format": "nonsense"}, "/format"),
        ({"maxLenght": 3}, "no keyword"),
        ("text", "should be an object"),
    ],
)
def test_a_schema_that_is_not_whole_or_not_linear_does_not_load(schema: Json, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        registry.settings_of("schema", schema)


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema: Json = {"properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": "http://x/"}]}
    assert registry.check("schema", {"$ref": "http://x/"}, schema).value == {"$ref": "http://x/"}


@pytest.mark.parametrize(
    ("schema", "value", "code", "pointer", "hint"),
    [
        ({"type": "array"}, SECRET, "schema.type", "", None),
        ({"enum": ["a", 1.5]}, SECRET, "schema.enum", "", 'allowed: "a", 1.5'),
        ({"const": None}, SECRET, "schema.const", "", "allowed: null"),
        ({"pattern": "^[a-z]+$"}, SECRET, "schema.pattern", "", "pattern: ^[a-z]+$"),
        ({"format": "email"}, SECRET, "schema.format", "", None),
        ({"maxLength": 3}, SECRET, "schema.maxLength", "", None),
        ({"items": {"minLength": 99}}, ["", SECRET], "schema.minLength", "/0", None),
        ({"properties": {"a/b": {"maximum": 3}}}, {"a/b": 5}, "schema.maximum", "/a~1b", None),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, SECRET, "schema.anyOf", "", None),
        ({"oneOf": [True, True]}, SECRET, "schema.oneOf", "", None),
        ({"not": {}}, SECRET, "schema.not", "", None),
        ({"uniqueItems": True}, [SECRET, SECRET], "schema.uniqueItems", "", None),
        ({"contains": {"type": "null"}}, [SECRET], "schema.contains", "", None),
        ({"propertyNames": {"maxLength": 1}}, {SECRET: 1}, "schema.propertyNames", "", None),
        ({"items": False}, [SECRET], "schema.falseSchema", "/0", None),
    ],
    ids=str,
)
def test_an_objection_names_the_place_and_never_the_value(
    schema: Json, value: Json, code: str, pointer: str, hint: str | None
) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("schema", value, schema)
    objection = refused.value
    assert objection.pointer == pointer
    assert objection.hint == hint
    assert objection.code == code
    assert SECRET not in f"{objection.problem}{objection.subject}{objection.hint}"


def test_a_missing_and_an_unknown_property_are_named() -> None:
    schema: Json = {"required": ["to"], "properties": {"to": {}}, "additionalProperties": False}
    with pytest.raises(Objection) as missing:
        registry.check("schema", {}, schema)
    assert (missing.value.code, missing.value.subject) == ("schema.required", "to")
    with pytest.raises(Objection) as unknown:
        registry.check("schema", {"to": 1, "bcc": 2}, schema)
    assert (unknown.value.code, unknown.value.subject) == ("schema.additionalProperties", "bcc")


def test_a_value_passes_as_it_is() -> None:
    value: Json = {"n": 1.0, "list": [None, True, "x"]}
    accepted = registry.check("schema", value, {"type": "object"})
    assert (accepted.value, accepted.changes) == (value, ())


def test_tool_and_grant_both_apply_even_if_each_refers_to_its_own_parts() -> None:
    tool: Json = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}
    grant: Json = {"$ref": "#/$defs/n", "$defs": {"n": {"maximum": 3}}}
    both = registry.narrow("schema", tool, grant)
    assert registry.check("schema", 3, both).value == 3
    for value in (4, "3"):
        with pytest.raises(Objection):
            registry.check("schema", value, both)
    assert registry.narrow("schema", tool, tool) == tool
    assert registry.dump(registry.settings_of("schema", both)) == both


def test_a_pattern_takes_time_linear_in_the_text() -> None:
    started = time.monotonic()
    with pytest.raises(Objection):
        registry.check("schema", "a" * 50_000 + "!", {"pattern": "^(a+)+$"})
    assert time.monotonic() - started < 2


def test_a_schema_that_refers_to_itself_ends() -> None:
    value: Json = 1
    for _ in range(100):
        value = [value]
    schemas: list[Json] = [{"$ref": "#"}, {"items": {"$ref": "#"}}, {"anyOf": [{"$ref": "#"}]}]
    for schema in schemas:
        assert registry.check("schema", value, schema).value == value


def test_objects_are_closed_unless_they_say_otherwise() -> None:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {
            "plain": {"type": "object", "properties": {"a": {}}},
            "open": {"type": "object", "additionalProperties": True},
            "list": {"type": "array", "items": {"type": "object"}},
            "parts": {"type": "object", "allOf": [{"properties": {"b": {}}}]},
        },
    }
    shut: Json = closed(schema)
    named: list[Json] = [
        {"plain": {"a": 1}},
        {"open": {"z": 1}},
        {"list": [{}]},
        {"parts": {"b": 1}},
    ]
    for value in named:
        assert registry.check("schema", value, shut).value == value
    unnamed: list[Json] = [
        {"z": 1},
        {"plain": {"z": 1}},
        {"list": [{"z": 1}]},
        {"parts": {"z": 1}},
    ]
    for value in unnamed:
        with pytest.raises(Objection):
            registry.check("schema", value, shut)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(ANY)
def test_any_value_is_accepted_unchanged_or_objected_to(value: Json) -> None:
    schema: Json = {"type": ["object", "array", "integer"], "maxProperties": 2, "maximum": 10}
    try:
        accepted = registry.check("schema", value, schema)
    except Objection as objection:
        assert objection.code.startswith("schema.")  # noqa: PT017 - either end is right
    else:
        assert accepted.value is value
        assert registry.check("schema", accepted.value, schema).value is value
