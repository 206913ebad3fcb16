"""Statements that try to get at more than is granted, run against a real SQLite.

Each is either refused with the code that stands beside it, or accepted (`None`); what is
accepted runs, and the engine itself reports what it touched.
"""

# ruff: noqa: S608 - statements are put together here to be attacked or judged

from __future__ import annotations

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from tests.destinations.sqlite_judge import GRANT, database, judge

TABLE, COLUMN = "sql.table_not_granted", "sql.column_not_granted"
NODE, FUNCTION = "sql.node_not_allowed", "sql.function_not_allowed"
STATEMENT, RECURSIVE = "sql.statement_not_allowed", "sql.recursive"

OTHER_TABLES = [
    ("SELECT * FROM secret", TABLE),
    ("SELECT * FROM gossip", TABLE),
    ("SELECT * FROM scratch", TABLE),
    ("SELECT * FROM [secret]", TABLE),
    ("SELECT * FROM `secret`", TABLE),
    ("SELECT * FROM 'secret'", TABLE),
    ("SELECT * FROM main.secret", NODE),
    ("SELECT * FROM temp.scratch", NODE),
    ('SELECT 1 FROM "main.secret"', TABLE),
    ('SELECT 1 FROM "orders"" , secret"', TABLE),
    ("SELECT * FROM (secret)", NODE),
    ("SELECT * FROM (orders JOIN secret)", NODE),
    ("SELECT * FROM orders, secret", TABLE),
    ("SELECT * FROM orders NATURAL JOIN secret", TABLE),
    ("SELECT o.id FROM orders o RIGHT JOIN secret s ON 1", TABLE),
    ("SELECT id FROM orders WHERE id IN secret", NODE),
    ("SELECT id FROM orders WHERE id NOT IN main.secret", NODE),
    ("SELECT id FROM orders WHERE id IN json_each('[1]')", NODE),
    ("SELECT id FROM orders WHERE id IN (secret)", COLUMN),
    ("SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM secret)", TABLE),
    ("SELECT (SELECT body FROM secret) FROM orders", TABLE),
    ("SELECT id FROM orders ORDER BY (SELECT body FROM secret)", TABLE),
    ("SELECT id FROM orders GROUP BY (SELECT body FROM secret)", TABLE),
    ("SELECT id FROM orders LIMIT (SELECT id FROM secret)", "sql.limit_not_literal"),
    ("SELECT id FROM orders LIMIT 1 OFFSET (SELECT 1 FROM secret)", "sql.limit_not_literal"),
    ("SELECT count(*) FILTER (WHERE (SELECT 1 FROM secret)) FROM orders", TABLE),
    ("SELECT sum(id) OVER (ORDER BY (SELECT body FROM secret)) FROM orders", TABLE),
    ("SELECT sum(1) OVER w FROM orders WINDOW w AS (PARTITION BY (SELECT 1 FROM secret))", TABLE),
    ("SELECT id FROM orders UNION SELECT body FROM secret", TABLE),
    ("SELECT 1 UNION SELECT 1 ORDER BY (SELECT body FROM secret)", NODE),
    ("SELECT (SELECT 1, 2) = (SELECT id, body FROM secret)", TABLE),
    ("SELECT * FROM TABLE(secret)", NODE),
    ("SELECT id FROM ONLY orders", TABLE),
    ("SELECT o.id FROM orders o, LATERAL (SELECT body FROM secret) s", NODE),
]

ENGINE_TABLES = [
    ("SELECT * FROM sqlite_master", TABLE),
    ("SELECT * FROM SQLITE_SCHEMA", TABLE),
    ("SELECT * FROM sqlite_temp_master", TABLE),
    ("SELECT * FROM pragma_table_info('orders')", NODE),
    ("SELECT * FROM pragma_database_list", TABLE),
    ("SELECT * FROM json_each('[1,2]')", NODE),
    ("SELECT * FROM generate_series(1, 10)", NODE),
    ("SELECT * FROM dbstat", TABLE),
    ("SELECT * FROM sqlite_dbpage", TABLE),
]

NAMED_QUERIES = [
    ("WITH secret AS (SELECT 1 AS id) SELECT * FROM secret", None),
    ("WITH orders AS (SELECT 1 AS tenant_id) SELECT tenant_id FROM orders", None),
    ("WITH secret AS (SELECT 1 AS a) SELECT * FROM main.secret", NODE),
    ("WITH a AS (SELECT * FROM secret), secret AS (SELECT 1) SELECT * FROM a", RECURSIVE),
    ("WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", RECURSIVE),
    ("SELECT * FROM (WITH secret AS (SELECT 1 a) SELECT * FROM secret) q, secret", TABLE),
    ("WITH c AS (SELECT 1 AS x UNION ALL SELECT x+1 FROM c) SELECT x FROM c", RECURSIVE),
    ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c", NODE),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a", RECURSIVE),
    ("WITH a AS (WITH b AS (SELECT * FROM a) SELECT * FROM b) SELECT * FROM a", RECURSIVE),
    ("WITH x AS (SELECT 1) SELECT (WITH x AS (SELECT body FROM secret) SELECT 1 FROM x)", TABLE),
    ("WITH x AS (SELECT 1 AS a), X AS (SELECT 2 AS a) SELECT * FROM x", "sql.ambiguous_table"),
    ("SELECT * FROM orders AS secret", None),
    ("SELECT secret.body FROM orders secret", COLUMN),
]

HIDDEN_COLUMNS = [
    ("SELECT internal_note FROM orders", COLUMN),
    ('SELECT "internal_note" FROM orders', COLUMN),
    ("SELECT [internal_note] FROM orders", COLUMN),
    ("SELECT o.tenant_id FROM orders o", COLUMN),
    ("SELECT id FROM orders WHERE 1=1 OR tenant_id = 7", COLUMN),
    ('SELECT id FROM orders WHERE "tenant_id" = 7', COLUMN),
    ('SELECT id FROM orders WHERE "tenant_id" = id', None),
    ("SELECT id FROM orders WHERE [tenant_id] = id", COLUMN),
    ("SELECT id FROM orders WHERE `tenant_id` = id", COLUMN),
    ('SELECT id FROM orders ORDER BY "internal_note"', COLUMN),
    ("SELECT id FROM orders GROUP BY tenant_id", COLUMN),
    ("SELECT id FROM orders GROUP BY id HAVING tenant_id = 7", COLUMN),
    ("SELECT max(internal_note) FROM orders", COLUMN),
    ("SELECT rank() OVER (ORDER BY tenant_id) FROM orders", COLUMN),
    ("SELECT * FROM orders a JOIN orders b USING (tenant_id)", COLUMN),
    ("SELECT * FROM orders a NATURAL JOIN orders b", None),
    ("SELECT rowid FROM orders", COLUMN),
    ("SELECT o._rowid_ FROM orders o", COLUMN),
    ("SELECT oid FROM orders", COLUMN),
    ("SELECT orders FROM orders", COLUMN),
    ("SELECT (orders).id FROM orders", NODE),
    ("SELECT main.orders.id FROM orders", NODE),
    ("SELECT orders.* FROM orders o", TABLE),
    ("SELECT cost FROM items", COLUMN),
    ("SELECT (SELECT 1 FROM items WHERE items.id = o.tenant_id) FROM orders o", COLUMN),
    ("SELECT id FROM orders, (SELECT orders.id AS z)", TABLE),
]

FUNCTIONS = [
    ("SELECT load_extension('/x')", FUNCTION),
    ("SELECT \"load_extension\"('/x')", FUNCTION),
    ("SELECT [load_extension]('/x')", FUNCTION),
    ("SELECT LoAd_ExTeNsIoN /**/ ('/x')", FUNCTION),
    ("SELECT main.load_extension('/x')", NODE),
    ("SELECT readfile('/etc/passwd')", FUNCTION),
    ("SELECT writefile('/x', 'y')", FUNCTION),
    ("SELECT edit('x')", FUNCTION),
    ("SELECT fts3_tokenizer('x')", FUNCTION),
    ("SELECT zeroblob(1000000000)", FUNCTION),
    ("SELECT randomblob(1000000000)", FUNCTION),
    ("SELECT printf('%.*c', 1000000000, 'x')", FUNCTION),
    ("SELECT format('%1000000000d', 1)", FUNCTION),
    ("SELECT sqlite_version()", FUNCTION),
    ("SELECT sqlite_offset(id) FROM orders", FUNCTION),
    ("SELECT last_insert_rowid()", FUNCTION),
    ("SELECT json_extract('{}', '$')", FUNCTION),
    ("SELECT id -> '$' FROM orders", NODE),
    ("SELECT id FROM orders WHERE month MATCH 'x'", NODE),
    ("SELECT id FROM orders WHERE month REGEXP 'x'", NODE),
    ("SELECT RAISE(ABORT, 'x')", FUNCTION),
    ("SELECT max(*) FROM orders", NODE),
    ("SELECT count(DISTINCT *) FROM orders", NODE),
    ("SELECT count(orders.*) FROM orders", NODE),
]

FORMS = [
    ("SELECT id FROM orders INDEXED BY orders_month", NODE),
    ("SELECT id FROM orders NOT INDEXED", NODE),
    ("SELECT id FROM orders AS o(a, b, c)", NODE),
    ("SELECT id FROM orders FOR UPDATE", NODE),
    ("SELECT id INTO x FROM orders", NODE),
    ("SELECT * FROM (VALUES (1), (2))", NODE),
    ("SELECT ?", NODE),
    ("SELECT :a", NODE),
    ("SELECT x'414243'", NODE),
    ("SELECT DISTINCT ON (id) id FROM orders", NODE),
    ("SELECT id FROM orders WHERE month LIKE 'x' ESCAPE month", "sql.parse"),
    ("SELECT id FROM orders WHERE month LIKE 'x' ESCAPE '!!'", NODE),
    ("SELECT id FROM orders WHERE month COLLATE secret = 'x'", NODE),
    ("SELECT CAST(month AS BLOB) FROM orders", "sql.type_not_allowed"),
    ("SELECT CURRENT_USER", NODE),
    ("SELECT * EXCEPT (id) FROM orders", NODE),
    ("SELECT id FROM orders /*! UNION SELECT body FROM secret */", "sql.comment"),
    ("SELECT id FROM orders /*M!100100 UNION SELECT body FROM secret */", "sql.comment"),
    ("SELECT id FROM orders -- FROM secret", None),
    ("SELECT\u00a0id FROM orders", "sql.control_character"),
    ("SELECT\u3000id FROM orders", "sql.control_character"),
    ("SELECT id FROM or\u200bders", "sql.control_character"),
    ("SELECT id FROM orders\x00", "sql.control_character"),
    ("SELECT '\ud800'", "sql.control_character"),
    ("SELECT 'a''b' AS \"it's; DROP TABLE orders\"", None),
    ('SELECT 1 AS "FROM secret"', None),
    ('SELECT "a""b" FROM (SELECT 1 AS "a""b")', None),
]

STATEMENTS = [
    ("SELECT 1; SELECT 2", "sql.not_one_statement"),
    ("SELECT 1; DROP TABLE orders", "sql.not_one_statement"),
    (";SELECT 1", STATEMENT),
    ("", "sql.not_one_statement"),
    ("-- nothing", "sql.not_one_statement"),
    ("SELECT 1;", None),
    ("VALUES (1)", STATEMENT),
    ("EXPLAIN SELECT * FROM secret", STATEMENT),
    ("PRAGMA writable_schema = 1", STATEMENT),
    ("ATTACH ':memory:' AS x", STATEMENT),
    ("VACUUM INTO '/x'", STATEMENT),
    ("CREATE TEMP VIEW orders AS SELECT * FROM secret", STATEMENT),
    ("DELETE FROM orders RETURNING *", STATEMENT),
    ("REPLACE INTO orders VALUES (1)", STATEMENT),
    ("WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", NODE),
    ("WITH x AS (SELECT 1) DELETE FROM orders", STATEMENT),
    ("WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x", STATEMENT),
]

ATTACKS = [
    *OTHER_TABLES,
    *ENGINE_TABLES,
    *NAMED_QUERIES,
    *HIDDEN_COLUMNS,
    *FUNCTIONS,
    *FORMS,
    *STATEMENTS,
]


@pytest.mark.parametrize(("statement", "code"), ATTACKS, ids=[repr(text) for text, _ in ATTACKS])
def test_an_attack_is_refused_or_reaches_nothing_beyond_the_grant(
    statement: str, code: str | None
) -> None:
    if code is not None:
        with pytest.raises(Objection) as refused:
            registry.check("sql", statement, GRANT)
        assert refused.value.code == code
        return
    accepted = registry.check("sql", statement, GRANT)
    judged = judge(database(), str(accepted.value))
    assert judged.trespasses == []
    assert judged.error is None


def test_the_judge_sees_a_statement_that_was_not_rewritten() -> None:
    connection = database()
    assert judge(connection, "SELECT id FROM orders").trespasses == []
    assert judge(connection, "SELECT month FROM orders").trespasses == ["shows a hidden value"]
    assert judge(connection, "SELECT internal_note FROM orders").trespasses
    assert judge(connection, "SELECT count(*) FROM secret").trespasses
    assert judge(connection, "SELECT sqlite_version()").trespasses


@pytest.mark.parametrize("of", ["secret", "no_such_table"])
def test_an_objection_does_not_tell_a_hidden_table_from_none(of: str) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", f"SELECT * FROM {of}", GRANT)
    assert refused.value.problem == f"the table `{of}` is not granted"
    assert refused.value.hint == "granted tables: items, orders"


@pytest.mark.parametrize("of", ["tenant_id", "internal_note", "no_such_column"])
def test_an_objection_does_not_tell_a_hidden_column_from_none(of: str) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", f"SELECT id,\n       {of} FROM orders", GRANT)
    assert refused.value.problem == f"there is no column `{of}` here"
    assert refused.value.hint == "columns: orders.id, orders.total, orders.month"
    assert refused.value.position == (2, 8)
