"""What a manifest may say about SQL, and what a grant makes of a tool's."""

from __future__ import annotations

import sqlite3

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection, Widens
from sandbox_runtime.strict import Json

TOOL: dict[str, Json] = {"dialect": "sqlite", "statements": ["select"]}
LISTING: dict[str, Json] = {
    **TOOL,
    "max_rows": 50,
    "functions": {"allow": ["count", "sum"]},
    "tables": {"orders": {"columns": ["id", "total"], "rows": {"region": {"equals": "eu"}}}},
}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dialect": "postgres"}, "sqlite"),
        ({"dialect": "sqlite", "table": {}}, "Extra inputs"),
        ({"dialect": "sqlite", "statements": ["delete"]}, "select"),
        ({"dialect": "sqlite", "max_rows": 0}, "greater than"),
        ({"dialect": "sqlite", "max_rows": "10"}, "integer"),
        ({"functions": {"allow": ["load_extension"]}}, "no function that can be allowed"),
        ({"tables": {"sqlite_master": {"columns": ["sql"]}}}, "belongs to the engine"),
        ({"tables": {"SQLITE_schema": {"columns": ["sql"]}}}, "belongs to the engine"),
        ({"tables": {"pragma_table_info": {"columns": ["name"]}}}, "belongs to the engine"),
        ({"tables": {"t": {"columns": []}}}, "at least 1"),
        ({"tables": {"t": {"columns": ["a", "A"]}}}, "named twice"),
        ({"tables": {"t": {"columns": ["a"]}, "T": {"columns": ["a"]}}}, "named twice"),
        ({"tables": {'t"; --': {"columns": ["a"]}}}, "pattern"),
        ({"tables": {"t": {"columns": ["a"], "rows": {"b": {}}}}}, "a row filter says"),
        ({"tables": {"t": {"columns": ["a"], "rows": {"b": {"one_of": []}}}}}, "at least 1"),
        ({"tables": {"t": {"columns": ["a"], "rows": {"b": {"like": "x"}}}}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_do_not_load(settings: Json, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        registry.settings_of("sql", settings)


def test_settings_load_while_variables_still_stand_in_them() -> None:
    settings: Json = {"tables": {"t": {"columns": ["a"], "rows": {"b": {"equals": "$tenant"}}}}}
    assert registry.dump(registry.settings_of("sql", settings)) == settings


def test_without_a_dialect_nothing_is_checked() -> None:
    with pytest.raises(ValueError, match="no dialect"):
        registry.check("sql", "SELECT 1", {})


def test_without_tables_nothing_is_readable() -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", "SELECT * FROM orders", TOOL)
    assert refused.value.code == "sql.table_not_granted"
    assert refused.value.hint == "granted tables: none"


def test_a_grant_adds_tables_to_a_tool_that_leaves_them_open() -> None:
    grant: dict[str, Json] = {"tables": {"orders": {"columns": ["id"]}}}
    assert registry.narrow("sql", TOOL, grant) == {
        "dialect": "sqlite",
        "statements": ["select"],
        "max_rows": 1000,
        **grant,
    }


def test_a_grant_that_says_nothing_leaves_the_tools_bounds() -> None:
    assert registry.narrow("sql", LISTING, {}) == LISTING


def test_row_filters_of_tool_and_grant_both_apply() -> None:
    grant: Json = {
        "tables": {
            "Orders": {
                "columns": ["ID"],
                "rows": {"REGION": {"one_of": ["eu", "us"]}, "tenant_id": {"equals": 42}},
            }
        }
    }
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE orders (id, total, region, tenant_id)")
    rows = [(1, 0, "eu", 42), (2, 0, "eu", 7), (3, 0, "us", 42), (4, 0, "asia", 42)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    both = registry.narrow("sql", LISTING, grant)
    accepted = registry.check("sql", "SELECT id FROM orders", both)
    assert connection.execute(str(accepted.value)).fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("grant", "path"),
    [
        ({"max_rows": 51}, ("max_rows",)),
        ({"tables": {"secret": {"columns": ["id"]}}}, ("tables", "secret")),
        (
            {"tables": {"orders": {"columns": ["id", "note"]}}},
            ("tables", "orders", "columns", 1),
        ),
        ({"functions": {"allow": ["sum", "max"]}}, ("functions", "allow", 1)),
    ],
)
def test_a_grant_that_widens_its_tool_is_refused_at_its_key(
    grant: Json, path: tuple[str | int, ...]
) -> None:
    with pytest.raises(Widens) as widens:
        registry.narrow("sql", LISTING, grant)
    assert widens.value.path == path


def test_a_grant_beyond_the_default_cap_widens() -> None:
    with pytest.raises(Widens):
        registry.narrow("sql", TOOL, {"max_rows": 1001})


def test_a_tool_without_a_dialect_cannot_be_granted() -> None:
    with pytest.raises(Widens) as widens:
        registry.narrow("sql", {}, {"dialect": "sqlite"})
    assert widens.value.path == ("dialect",)


def test_only_the_functions_that_are_listed_may_be_called() -> None:
    accepted = registry.check("sql", "SELECT COUNT(*) FROM orders", LISTING)
    assert "COUNT(*)" in str(accepted.value)
    with pytest.raises(Objection) as refused:
        registry.check("sql", "SELECT max(id) FROM orders", LISTING)
    assert refused.value.hint == "allowed: count, sum"
    assert refused.value.subject == "max"
