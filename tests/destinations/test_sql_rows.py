"""Row filters and limits, as a real SQLite applies them."""

# ruff: noqa: S608 - statements are put together here to be attacked or judged

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.destinations import registry
from tests.destinations.sqlite_judge import GRANT, MARK, database, judge

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

LOOKING = [
    "SELECT id FROM orders WHERE month > '' AND {look}(month)",
    "SELECT id FROM orders WHERE month > '' ORDER BY month, {look}(month)",
    "SELECT id FROM orders WHERE {look}(month) = 1",
    "SELECT id FROM orders WHERE id > 0 AND {look}(month)",
    "SELECT {look}(month) FROM orders",
    "SELECT id FROM orders ORDER BY {look}(month)",
    "SELECT count(*) FROM orders GROUP BY {look}(month)",
    "SELECT id FROM orders GROUP BY id HAVING max({look}(month))",
    "SELECT DISTINCT {look}(month) FROM orders",
    "SELECT i.id FROM items i JOIN orders o ON {look}(o.month) AND o.id = i.order_id",
    "SELECT i.id FROM items i LEFT JOIN orders o ON {look}(o.month) AND o.id = i.order_id",
    "SELECT i.id FROM items i, orders o WHERE {look}(o.month) AND i.id = o.id",
    "SELECT i.id FROM items i WHERE EXISTS (SELECT 1 FROM orders o WHERE {look}(o.month))",
    "SELECT (SELECT {look}(month) FROM orders o WHERE o.id = i.id) FROM items i",
    "SELECT id FROM orders WHERE {look}(month) UNION SELECT id FROM orders WHERE {look}(month)",
    "WITH o AS (SELECT * FROM orders) SELECT id FROM o WHERE {look}(month)",
    "SELECT a.id FROM orders a JOIN orders b ON {look}(a.month) AND {look}(b.month)",
    "SELECT sum(id) FILTER (WHERE {look}(month)) FROM orders",
    "SELECT sum(id) OVER (PARTITION BY {look}(month)) FROM orders",
    "SELECT id FROM orders WHERE id IN (SELECT order_id FROM items WHERE {look}(month))",
]


def _seen_by_functions(statement: str) -> list[object]:
    seen: list[object] = []
    connection = database()

    def look(value: object) -> int:
        seen.append(value)
        return 1

    connection.create_function("upper", 1, look)
    connection.execute(statement).fetchall()
    return seen


@pytest.mark.parametrize("statement", LOOKING)
def test_no_expression_of_the_model_runs_on_a_row_that_is_filtered_out(statement: str) -> None:
    accepted = registry.check("sql", statement.format(look="upper"), GRANT)
    seen = _seen_by_functions(str(accepted.value))
    assert seen
    assert [value for value in seen if MARK in str(value)] == []


def test_without_the_fence_sqlite_runs_an_expression_before_the_row_filter() -> None:
    """It walks the index of `month`, and tests there what the index alone can answer."""
    statement = "SELECT id FROM orders WHERE month > '' AND upper(month)"
    fenced = str(registry.check("sql", statement, GRANT).value)
    assert fenced.count(" LIMIT -1") == 1
    assert MARK not in str(_seen_by_functions(fenced))
    assert MARK in str(_seen_by_functions(fenced.replace(" LIMIT -1", "")))


@pytest.mark.parametrize(
    ("row_filter", "ids"),
    [
        ({"equals": 2}, [2]),
        ({"equals": "2"}, [2]),
        ({"equals": None}, [9]),
        ({"equals": True}, [1]),
        ({"one_of": [1, 3]}, [1, 3]),
        ({"one_of": [1, None]}, [1, 9]),
        ({"at_least": 3}, [3, 4]),
        ({"at_most": 2}, [1, 2]),
        ({"at_least": 2, "at_most": 3}, [2, 3]),
        ({"at_least": "a"}, [8]),
        ({"at_most": "z"}, [8]),
        ({"at_least": -1.5, "at_most": 1.5}, [1]),
        ({"all_of": [{"one_of": [1, 2]}, {"one_of": [2, 3]}]}, [2]),
    ],
    ids=repr,
)
def test_a_row_exists_if_its_filter_holds(row_filter: Json, ids: list[int]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (id, n)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?)", [(1, 1), (2, 2), (3, 3), (4, 4), (8, "text"), (9, None)]
    )
    settings: Json = {
        "dialect": "sqlite",
        "tables": {"t": {"columns": ["id"], "rows": {"n": row_filter}}},
    }
    if row_filter == {"equals": "2"}:
        connection.execute("UPDATE t SET n = '2' WHERE id = 2")
    accepted = registry.check("sql", "SELECT id FROM t ORDER BY id", settings)
    assert [row[0] for row in connection.execute(str(accepted.value))] == ids


def test_a_filter_value_is_a_value_and_no_text_of_the_statement() -> None:
    settings: Json = {
        "dialect": "sqlite",
        "tables": {"orders": {"columns": ["id"], "rows": {"month": {"equals": "x' OR '1'='1"}}}},
    }
    accepted = registry.check("sql", "SELECT id FROM orders", settings)
    assert judge(database(), str(accepted.value)).rows == []


@pytest.mark.parametrize(
    ("tail", "limit"),
    [
        ("", 1000),
        ("LIMIT 5", 5),
        ("LIMIT 1000", 1000),
        ("LIMIT 100000000", 1000),
        ("LIMIT 99999999999999999999999", 1000),
        ("LIMIT -1", 1000),
        ("LIMIT 0", 0),
        ("LIMIT 3, 7", 7),
        ("LIMIT 7 OFFSET 3", 7),
        ("UNION ALL SELECT id FROM items LIMIT 2000", 1000),
    ],
)
def test_the_limit_is_the_statements_own_and_never_more_than_the_cap(tail: str, limit: int) -> None:
    accepted = registry.check("sql", f"SELECT id FROM items {tail}", GRANT)
    assert accepted.facts["limit"] == limit
    judged = judge(database(), str(accepted.value))
    assert (judged.trespasses, judged.error) == ([], None)
    assert len(judged.rows) <= limit


@pytest.mark.parametrize("limit", ["'5'", "1.5", "1e3", "5 + 5", "id", "- - 1", "NULL", "abs(5)"])
def test_a_limit_that_is_no_plain_number_is_refused(limit: str) -> None:
    with pytest.raises(Exception, match="plain number"):
        registry.check("sql", f"SELECT id FROM items LIMIT {limit}", GRANT)


def test_what_was_changed_does_not_tell_that_rows_are_filtered() -> None:
    filtered = registry.check("sql", "SELECT * FROM orders", GRANT)
    free = registry.check("sql", "SELECT * FROM items", GRANT)
    assert filtered.changes == free.changes
    assert filtered.changes == ("the columns of * were spelled out", "limited to 1000 rows")
    assert filtered.facts["columns"] == {"orders": ["id", "month", "total"]}
