"""What an argument has to meet under a grant, and what a model is shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.destinations.registry import dump
from sandbox_runtime.manifests.effective import (
    arguments_schema,
    bind,
    bind_constraints,
    effective,
)
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.model import Grant, GrantArgument, Role, Tool
from sandbox_runtime.manifests.narrowed_schema import tool_schema
from sandbox_runtime.strict import Json

BOUND: dict[str, Json] = {"tenant": 7, "word": "sales"}


@pytest.fixture
def tool(files: dict[str, str]) -> Tool:
    return load_texts(files).tools["sql_query"].manifest


def grant(arguments: dict[str, Any]) -> Grant:
    text = json.dumps({"id": "g", "tool": "sql_query", "why": "test", "arguments": arguments})
    return Grant.model_validate_json(text)


SHOWN = {"tables": {"orders": {"columns": ["id"], "rows": {"tenant_id": {"equals": "$tenant"}}}}}


def test_a_grants_settings_are_narrowed_by_the_tools(tool: Tool) -> None:
    rule = effective(tool, grant({"query": {"sql": {**SHOWN, "max_rows": 10}}}))["query"]
    ((kind, settings),) = rule.checks
    assert kind == "sql"
    assert dump(settings) == {
        "dialect": "sqlite",
        "statements": ["select"],
        "max_rows": 10,
        "tables": SHOWN["tables"],
    }


def test_an_argument_that_the_grant_does_not_name_keeps_the_tools_bounds(tool: Tool) -> None:
    rule = effective(tool, grant({"query": {}}), at=("spec", "grants", 3))["title"]
    assert rule.constraints is None
    assert rule.checks == ()
    assert rule.role is Role.CONTENT
    assert not rule.required
    assert rule.schema["maxLength"] == 80
    assert rule.path == ("spec", "grants", 3, "arguments", "title")


def test_a_grant_without_settings_gets_the_tools(tool: Tool) -> None:
    ((_, settings),) = effective(tool, grant({"query": {}}))["query"].checks
    assert dump(settings) == {"dialect": "sqlite", "max_rows": 500}


def test_a_grant_that_would_widen_its_tool_raises_with_its_path(tool: Tool) -> None:
    with pytest.raises(Widens) as caught:
        effective(tool, grant({"query": {"sql": {"max_rows": 501}}}))
    assert caught.value.path == ("arguments", "query", "sql", "max_rows")


def test_a_destination_that_the_tool_does_not_know_widens_it(tool: Tool) -> None:
    with pytest.raises(Widens) as caught:
        effective(tool, grant({"query": {}, "title": {"model_text": {}}}))
    assert caught.value.path == ("arguments", "title", "model_text")


def test_the_arguments_of_a_call_are_a_closed_object(tool: Tool) -> None:
    validator = Draft202012Validator(arguments_schema(tool))
    assert validator.is_valid({"query": "SELECT 1", "limit": 5})
    assert not validator.is_valid({"query": "SELECT 1", "limits": 5})
    assert not validator.is_valid({"limit": 5})
    assert not validator.is_valid({"query": "SELECT 1", "limit": 1001})


def test_a_variable_is_put_in_as_the_value_it_is() -> None:
    settings: Json = {
        "equals": "$tenant",
        "one_of": ["$word", "$$word", "$", "a $word"],
        "$word": 1,
    }
    assert bind(settings, BOUND) == {
        "equals": 7,
        "one_of": ["sales", "$word", "$", "a $word"],
        "$word": 1,
    }


def test_a_variable_that_is_missing_is_never_left_standing() -> None:
    with pytest.raises(KeyError):
        bind({"equals": "$tenant"}, {})


def test_a_variables_value_is_not_read_for_variables_again() -> None:
    assert bind(["$a"], {"a": "$b", "b": "secret"}) == ["$b"]
    assert bind(["$a"], {"a": "$$b"}) == ["$$b"]


def test_variables_reach_exact_and_one_of_and_nothing_else() -> None:
    named = GrantArgument.model_validate_json(
        '{"exact": {"a": "$tenant"}, "one_of": ["$word", "$$"], "regex": "$word"}'
    )
    bound = bind_constraints(named, BOUND)
    assert bound.exact == {"a": 7}
    assert bound.one_of == ("sales", "$")
    assert bound.regex == "$word"
    assert bound.length is None


def test_what_a_grant_does_not_say_stays_unsaid_once_bound() -> None:
    named = GrantArgument.model_validate_json('{"length": {"max": 3}}')
    assert bind_constraints(named, BOUND).model_fields_set == {"length"}


@given(
    st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.integers() | st.lists(st.text()))
)
def test_binding_changes_nothing_but_strings_that_begin_with_a_dollar(
    value: dict[str, Any],
) -> None:
    if "$" not in str(value):
        assert bind(value, {}) == value


def test_a_model_is_shown_what_it_may_send(tool: Tool) -> None:
    arguments = {
        "query": {"sql": {**SHOWN, "max_rows": 10}, "length": {"max": 100}},
        "limit": {"range": {"min": 5, "max": 50}},
        "tags": {"length": {"max": 2}},
        "title": {"exact": "$word"},
        "region": {"one_of": ["south", "east"]},
    }
    assert tool_schema(tool, [grant(arguments)], BOUND) == {
        "name": "sql_query",
        "description": "Run one read-only query on the sales database.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "maxLength": 100,
                    "description": "Tables: orders(id). At most 10 rows.",
                },
                "limit": {"type": "integer", "minimum": 5, "maximum": 50},
                "tags": {
                    "type": "array",
                    "items": {"type": "string"},
                    "maxItems": 2,
                    "default": [],
                },
                "title": {"type": "string", "minLength": 2, "maxLength": 80, "const": "sales"},
                "region": {"type": "string", "enum": ["south", "east"]},
            },
            "required": ["query", "limit", "title", "region"],
            "additionalProperties": False,
        },
    }


def test_a_model_is_never_shown_a_row_filter_or_its_variable(tool: Tool) -> None:
    shown = json.dumps(tool_schema(tool, [grant({"query": {"sql": SHOWN}})], {"tenant": 424242}))
    assert "orders(id)" in shown
    for hidden in ("tenant", "424242", 'rows"', "equals"):
        assert hidden not in shown


def test_a_model_is_shown_no_table_where_none_is_granted(tool: Tool) -> None:
    shown = tool_schema(tool, [grant({"query": {}})], {})
    assert "No table is readable. At most 500 rows." in json.dumps(shown)


def test_a_pattern_is_shown_as_one_for_the_whole_text(tool: Tool) -> None:
    schema = tool_schema(tool, [grant({"query": {}, "title": {"regex": "a|b"}})], {})
    pattern = schema["parameters"]["properties"]["title"]["pattern"]  # type: ignore[index,call-overload]
    validator = Draft202012Validator({"pattern": pattern})
    assert [validator.is_valid(text) for text in ("a", "b", "ab", "xa")] == [
        True,
        True,
        False,
        False,
    ]


def test_several_grants_are_shown_as_what_any_of_them_allows(tool: Tool) -> None:
    grants = [
        grant({"query": {}, "limit": {"range": {"max": 10}}}),
        grant({"query": {}, "limit": {"exact": 500}}),
    ]
    properties: Any = tool_schema(tool, grants, {})["parameters"]
    assert properties["properties"]["limit"] == {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 10},
            {"type": "integer", "minimum": 1, "maximum": 1000, "const": 500},
        ]
    }
    assert "anyOf" not in properties["properties"]["query"]


def test_a_shown_schema_is_a_schema_and_takes_what_the_grant_takes(tool: Tool) -> None:
    shown = tool_schema(tool, [grant({"query": {}, "limit": {"range": {"max": 50}}})], {})
    validator = Draft202012Validator(shown["parameters"])  # type: ignore[arg-type]
    assert validator.is_valid({"query": "SELECT 1", "limit": 50})
    assert not validator.is_valid({"query": "SELECT 1", "limit": 51})
    assert not validator.is_valid({"query": "SELECT 1", "limit": 50, "more": 1})


def parameter(tool: Tool, name: str, constraint: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    schema: Any = tool_schema(tool, [grant({"query": {}, name: constraint})], BOUND)
    return schema["parameters"]["properties"][name]


def test_a_model_is_shown_what_each_item_may_be(tool: Tool) -> None:
    assert parameter(tool, "tags", {"subset": ["a", "$word"], "length": {"max": 2}}) == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "sales"]},
        "maxItems": 2,
        "default": [],
    }
    each = {"each": {"regex": "[a-z]+", "length": {"max": 5}}}
    assert parameter(tool, "tags", each)["items"] == {
        "type": "string",
        "maxLength": 5,
        "pattern": "^(?:[a-z]+)$",
    }


def test_a_model_is_shown_its_choices_and_what_holds_for_all(tool: Tool) -> None:
    choice = {"any_of": [{"exact": "$word"}, {"length": {"max": 5}, "regex": "x+"}]}
    assert parameter(tool, "title", choice)["anyOf"] == [
        {"const": "sales"},
        {"maxLength": 5, "pattern": "^(?:x+)$"},
    ]
    both = {"all_of": [{"regex": "a+"}, {"regex": "[ab]+"}, {"range": {}}]}
    shown = parameter(tool, "title", both)
    assert (shown["pattern"], shown["allOf"]) == ("^(?:a+)$", [{"pattern": "^(?:[ab]+)$"}])


@pytest.mark.parametrize(
    "constraint",
    [
        {"not_one_of": ["hidden"]},
        {"any_of": [{"not_one_of": ["hidden"]}, {"exact": "b"}]},
        {"all_of": [{"not_one_of": ["hidden"]}, {"length": {"max": 9}}]},
        {"any_of": [{"all_of": [{"not_one_of": ["hidden"]}]}]},
    ],
)
def test_a_model_is_never_shown_what_is_excluded(tool: Tool, constraint: dict[str, Any]) -> None:
    shown = json.dumps(parameter(tool, "title", constraint))
    assert "hidden" not in shown
    assert "not" not in shown
    assert Draft202012Validator(json.loads(shown)).is_valid("hidden")
    assert "hidden" not in json.dumps(parameter(tool, "tags", {"each": constraint}))


def test_variables_reach_every_list_of_values_within() -> None:
    named = GrantArgument.model_validate_json(
        '{"not_one_of": ["$word"], "subset": ["$word"], "each": {"exact": "$word"},'
        ' "any_of": [{"one_of": ["$tenant"]}], "all_of": [{"all_of": [{"exact": "$$"}]}]}'
    )
    bound = bind_constraints(named, BOUND)
    assert bound.model_dump(exclude_unset=True) == {
        "not_one_of": ("sales",),
        "subset": ("sales",),
        "each": {"exact": "sales"},
        "any_of": ({"one_of": (7,)},),
        "all_of": ({"all_of": ({"exact": "$"},)},),
    }
