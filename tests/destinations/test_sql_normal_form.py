"""What an accepted statement is turned into, and that it still means the same."""

# ruff: noqa: S608 - statements are put together here to be attacked or judged

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql import Sql, SqlSettings
from sandbox_runtime.strict import Json
from tests.destinations.sqlite_judge import database, judge

OPEN: dict[str, Json] = {
    "dialect": "sqlite",
    "tables": {
        "orders": {"columns": ["id", "total", "month", "tenant_id", "internal_note"]},
        "items": {"columns": ["id", "order_id", "name", "cost"]},
    },
}

HONEST = [
    "select ID, Total from ORDERS where MONTH = '2026-03'",
    "SELECT * FROM orders LIMIT 900",
    "SELECT o.*, i.name FROM orders o JOIN items i ON i.order_id = o.id",
    "SELECT * FROM orders JOIN items USING (id)",
    "SELECT * FROM orders NATURAL JOIN items",
    "SELECT * FROM orders, items NATURAL JOIN items i",
    "SELECT * FROM items JOIN items i USING (id) LEFT JOIN orders o ON o.id = i.order_id",
    "SELECT * FROM items JOIN items i USING (id) JOIN orders USING (id)",
    "SELECT id FROM items i LEFT JOIN orders USING (id) ORDER BY id",
    "SELECT id, total FROM orders FULL JOIN items USING (id) WHERE id > 5 ORDER BY id",
    "SELECT * FROM orders RIGHT JOIN items USING (id) ORDER BY id",
    "SELECT id FROM orders LEFT JOIN items USING (id) WHERE id > 3",
    "SELECT o.id, i.id FROM orders o, items i WHERE o.id = i.order_id",
    "SELECT * FROM (SELECT id, id, total AS id FROM orders)",
    "SELECT * FROM (SELECT *, -id AS id FROM orders ORDER BY id LIMIT 3)",
    "SELECT * FROM (SELECT id, -id AS id FROM orders ORDER BY id LIMIT 3)",
    "SELECT o.*, -id AS id FROM orders o ORDER BY id LIMIT 3",
    "SELECT * FROM (SELECT *, -id AS id FROM orders ORDER BY id COLLATE BINARY DESC LIMIT 3)",
    "SELECT * FROM (SELECT count(*), max(total) FROM orders)",
    'SELECT "count(*)" FROM (SELECT count(*) FROM orders)',
    "SELECT count(*), max(total) - 1 FROM orders",
    "SELECT month m, sum(total) s FROM orders GROUP BY m HAVING s > 10 ORDER BY s DESC",
    "SELECT total AS id, id AS total FROM orders ORDER BY id",
    "SELECT total AS id FROM orders ORDER BY id COLLATE NOCASE DESC LIMIT 3",
    "SELECT id FROM orders WHERE id IN (SELECT order_id FROM items WHERE name LIKE '%1%')",
    "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items WHERE order_id = o.id)",
    "SELECT (SELECT max(name) FROM items WHERE order_id = orders.id) FROM orders",
    "SELECT id FROM orders UNION SELECT order_id FROM items ORDER BY id LIMIT 4",
    "SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 2 EXCEPT SELECT 3",
    "WITH a AS (SELECT id FROM orders), b(n) AS (SELECT id FROM a) SELECT n FROM b",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM (WITH a AS (SELECT 2 AS y) SELECT y FROM a), a",
    "SELECT CASE WHEN total > 100 THEN 'a' ELSE NULL END, iif(id > 3, 1, 0) FROM orders",
    "SELECT id IS NOT NULL = 1, NOT id IS NULL, id NOT IN (1, 2), -id FROM orders",
    "SELECT id FROM orders WHERE id NOT BETWEEN 2 AND 3",
    "SELECT id FROM orders WHERE month NOT LIKE '2026!_%' ESCAPE '!' OR month GLOB '2026*'",
    "SELECT 7 / 2, 7.0 / 2, 7 % 4, 1 << 3, ~5, 6 & 3, 6 | 3, 'a' || 'b' || 1, 1 + 2 * 3 - (4 - 5)",
    "SELECT CAST('12abc' AS INTEGER), CAST('1.50' AS NUMERIC), CAST(7 AS TEXT), CAST(1 AS REAL)",
    "SELECT id IS month, id IS NOT 3, NULL IS NULL, id == 3, id <> 3, id != 3 FROM orders",
    "SELECT rank() OVER (PARTITION BY month ORDER BY total DESC) FROM orders",
    "SELECT sum(id) OVER w FROM orders WINDOW w AS (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "SELECT group_concat(DISTINCT month), count(DISTINCT total), total(id) FROM orders",
    "SELECT date('2026-01-31', '+1 month'), strftime('%Y', month || '-01') FROM orders",
    "SELECT DISTINCT month FROM orders ORDER BY 1",
    'SELECT id FROM orders WHERE month = "2026-03" OR month IN ("2026-05", "2026-07")',
    "SELECT id FROM orders ORDER BY total DESC NULLS FIRST, id ASC",
    "SELECT 'it''s', 'a -- b', '/* c */', 0x1F, 1e3, .5",
    "SELECT (id, total) = (1, 10.0), (SELECT 1) FROM orders",
    "SELECT id FROM orders -- why\nWHERE id > 1 /* because */ ;",
]


def _settings() -> SqlSettings:
    parsed = registry.settings_of("sql", OPEN)
    assert isinstance(parsed, SqlSettings)
    return parsed


@pytest.mark.parametrize("statement", HONEST)
def test_an_honest_statement_gives_the_same_rows_as_before(statement: str) -> None:
    connection = database()
    before = judge(connection, statement)
    after = judge(connection, str(registry.check("sql", statement, OPEN).value))
    assert after.error is None
    assert before.error is None
    assert after.rows == before.rows
    assert len(after.columns) == len(before.columns)


@pytest.mark.parametrize("statement", HONEST)
def test_normalising_twice_changes_nothing_and_confining_follows(statement: str) -> None:
    normal = Sql().normalise(statement, _settings())
    assert Sql().normalise(normal, _settings()) == normal
    confined = Sql().confine(normal, _settings()).value
    assert confined == registry.check("sql", statement, OPEN).value


@pytest.mark.parametrize(
    ("statement", "normal"),
    [
        ("SELECT * FROM items", 'SELECT "items"."id", "items"."order_id", "items"."name", '),
        ("SELECT ID FROM Items x", 'SELECT "x"."id" FROM "items" AS "x"'),
        ("SELECT max(id) FROM items", 'SELECT max("items"."id") AS "max(id)" FROM'),
        ('SELECT id FROM items WHERE name = "x"', """WHERE "items"."name" = 'x'"""),
    ],
)
def test_the_normal_form_spells_everything_out(statement: str, normal: str) -> None:
    assert normal in str(Sql().normalise(statement, _settings()))


def test_a_quoted_name_that_is_no_column_is_a_text_only_beside_what_varies() -> None:
    accepted = registry.check("sql", 'SELECT id FROM items WHERE name = "x"', OPEN)
    assert "the quoted `x` names no column and was read as a text" in accepted.changes
    for elsewhere in ('"x"', '"x" = 1', '"x" = "y"', 'upper("x")'):
        with pytest.raises(Objection, match="no column `x`"):
            registry.check("sql", f"SELECT id FROM items WHERE {elsewhere}", OPEN)


def test_columns_and_tables_are_reported_as_facts() -> None:
    statement = "SELECT o.id, count(*) FROM orders o JOIN items i ON i.order_id = o.id"
    assert registry.check("sql", statement, OPEN).facts == {
        "statement": "select",
        "tables": ["items", "orders"],
        "columns": {"items": ["order_id"], "orders": ["id"]},
        "limit": 1000,
    }


def test_a_count_reads_a_table_and_no_column() -> None:
    facts = registry.check("sql", "SELECT count(*) FROM items", OPEN).facts
    assert (facts["tables"], facts["columns"]) == (["items"], {"items": []})


VOCABULARY = """
    SELECT FROM WHERE orders items id total month tenant_id secret name * ( ) , . ; = < > + -
    || AND OR NOT IN IS NULL LIKE BETWEEN CASE WHEN THEN ELSE END AS JOIN LEFT NATURAL USING ON
    GROUP BY ORDER HAVING LIMIT OFFSET UNION ALL EXCEPT WITH a b count( max( abs( OVER (SELECT
    'x' "id" "x" [id] `id` 1 2.5 -- /* */ ? :x EXISTS DISTINCT COLLATE NOCASE CAST( INTEGER
"""
WORDS = st.sampled_from(VOCABULARY.split())
STATEMENTS = st.one_of(
    st.text(max_size=200),
    st.lists(WORDS, max_size=40).map(" ".join),
    st.lists(WORDS, max_size=30).map(
        lambda words: "SELECT id FROM orders WHERE " + " ".join(words)
    ),
    st.lists(WORDS, max_size=30).map(lambda words: "SELECT " + " ".join(words) + " FROM orders"),
)


@settings(max_examples=600, deadline=None)
@given(STATEMENTS)
def test_any_text_is_accepted_or_objected_to_and_what_is_accepted_stays(statement: str) -> None:
    try:
        normal = Sql().normalise(statement, _settings())
    except Objection as objection:
        assert objection.code.startswith("sql.")  # noqa: PT017 - either end is right
        return
    assert Sql().normalise(normal, _settings()) == normal
    accepted = registry.check("sql", statement, OPEN)
    assert Sql().confine(normal, _settings()).value == accepted.value


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ["SELECT 1"], {"sql": "SELECT 1"}])
def test_a_value_that_is_no_text_is_objected_to(value: Json) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", value, OPEN)
    assert refused.value.code == "sql.not_text"
