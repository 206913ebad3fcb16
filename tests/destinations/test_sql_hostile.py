"""What a hostile reviewer found, each with the statement or the grant that showed it.

Two judges: the engine itself, on a database that holds more than is granted; and a second
database that holds only what is granted, where the model's own text is run unchanged. What
leaves the gate must reach nothing beyond the grant in the first, and must answer there as
the model's text does in the second.
"""

from __future__ import annotations

import sqlite3

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql import Sql, SqlSettings
from sandbox_runtime.strict import Json

MISSPELT: list[dict[str, Json]] = [
    {"mnth": {"at_least": "2026-01"}},
    {"mnth": {"at_most": "zzzz"}},
    {"mnth": {"equals": "mnth"}},
    {"mnth": {"one_of": ["x", "mnth"]}},
]


def _granted(rows: dict[str, Json], *columns: str) -> Json:
    return {"dialect": "sqlite", "tables": {"t": {"columns": [*columns], "rows": rows}}}


def _table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER, month TEXT, owner TEXT COLLATE NOCASE, n)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?)",
        [(1, "2026-01", "Ann", -0.5), (2, "2025-01", "ANN", 0), (3, "2026-02", "bob", 0.5)],
    )
    return connection


def _rows(statement: str, settings: Json) -> list[tuple[object, ...]]:
    return _table().execute(str(registry.check("sql", statement, settings).value)).fetchall()


@pytest.mark.parametrize("rows", MISSPELT, ids=repr)
def test_a_filter_on_a_column_that_does_not_exist_shows_no_row(rows: dict[str, Json]) -> None:
    """SQLite takes an unknown name in double quotes for a text, and the filter held."""
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        _rows("SELECT id FROM t", _granted(rows, "id"))


def test_the_statement_cannot_lend_a_filter_the_column_that_it_lacks() -> None:
    """A subquery's unknown name is looked up in the query around it."""
    around = "SELECT (SELECT count(*) FROM t) FROM (SELECT 42 AS tenant) AS t"
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        _rows(around, _granted({"tenant": {"equals": 42}}, "id"))


def test_a_visible_column_that_does_not_exist_is_an_error_and_no_text() -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        _rows("SELECT nothing FROM t", _granted({}, "id", "nothing"))


@pytest.mark.parametrize(
    ("row_filter", "ids"),
    [({"equals": "Ann"}, [1]), ({"one_of": ["ANN", "x"]}, [2]), ({"at_least": "a"}, [3])],
    ids=repr,
)
def test_a_filter_compares_letter_by_letter_whatever_the_table_declares(
    row_filter: Json, ids: list[int]
) -> None:
    rows = _rows("SELECT id FROM t ORDER BY id", _granted({"owner": row_filter}, "id"))
    assert [row[0] for row in rows] == ids


def test_a_filter_may_name_the_zero_below_zero() -> None:
    assert _rows("SELECT id FROM t", _granted({"n": {"at_least": -0.0}}, "id")) == [(2,), (3,)]


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("SELECT id FROM t LIMIT 0000000002", 2),
        ("SELECT id FROM t LIMIT -0", 0),
        ("SELECT id FROM t LIMIT 00", 0),
        ("SELECT id FROM t LIMIT -01", 3),
    ],
)
def test_a_limit_means_its_value_however_it_is_written(statement: str, count: int) -> None:
    assert len(_rows(statement, _granted({}, "id"))) == count


WIDE: Json = {
    "dialect": "sqlite",
    "tables": {
        "t": {
            "columns": ["id", "month", "text", "int", "qty", "code"],
            "rows": {"tenant": {"equals": 42}},
        },
        "u": {"columns": ["id", "name"]},
    },
}
SEEN = """
    id INTEGER PRIMARY KEY, month TEXT, text TEXT, int INT, qty INT, code TEXT COLLATE NOCASE
"""


def _whole() -> sqlite3.Connection:
    """Return the database as the tool has it: rows and columns that nobody granted, too."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t ({SEEN}, tenant INT, note TEXT)")
    connection.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT, cost REAL)")
    for number in range(1, 9):
        row = (*_row(number), 42 if number % 2 else 7, "hidden")
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO u VALUES (?, ?, 9.5)", (number, f"u{number}"))
    return connection


def _twin() -> sqlite3.Connection:
    """Return a database that holds what is granted, and nothing else."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t ({SEEN})")
    connection.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT)")
    for number in range(1, 9):
        if number % 2:
            connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", _row(number))
        connection.execute("INSERT INTO u VALUES (?, ?)", (number, f"u{number}"))
    return connection


def _row(number: int) -> tuple[object, ...]:
    quantity = [None, 0, 1, 5][number // 2 % 4]
    return (number, str(number), f"t{number}", number * 10, quantity, "aAbB"[number // 2 % 4])


SAME = [
    "SELECT id FROM t WHERE +month = 5",
    "SELECT id FROM t WHERE +qty = '1'",
    "SELECT id FROM t WHERE + code = 'A'",
    "SELECT id, - + - qty, 1 - + 1 FROM t ORDER BY +code, id",
    "SELECT text 'x' FROM t",
    "SELECT int '5', text FROM t",
    "SELECT CAST(month || '.5x' AS BIGINT), CAST(7 AS VARCHAR(1)) FROM t",
    "SELECT CAST('1.50' AS DECIMAL(9, 2)), CAST('1.50' AS FLOAT)",
    "SELECT CAST('1.5' AS SMALLINT), CAST('2' AS DOUBLE PRECISION), CAST(1 AS CHARACTER)",
    "SELECT id, sum(qty) over (order by id rows between 1 preceding and current row) FROM t",
    "SELECT (id = qty) NOT IN (0), qty = (id NOT IN (1)), NOT id IN (1) AND qty NOT IN (5) FROM t",
    "SELECT qty IS NOT NULL IS NULL, id NOT IN (1) IS NULL, 'a' || id * 2, -id % 3 FROM t",
    "SELECT id BETWEEN 1 AND 3 + 2 OR id LIKE '7' ESCAPE '!' FROM t",
    "SELECT id FROM t ORDER BY id LIMIT 002 OFFSET 01",
    "SELECT t.id, name FROM t CROSS JOIN u USING (id)",
    "SELECT * FROM t NATURAL CROSS JOIN u",
    "SELECT (SELECT x.month FROM u AS x WHERE x.id = 3) FROM t AS x",
    "SELECT id AS a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = a) AND a > 1",
    'SELECT "a:2", "b:", "c" FROM (SELECT 1 AS "a:1", 2 AS "a:1", 3 AS "b:", 4 AS c)',
]
"""Accepted; what they mean, SQLite says."""

UNCLEAR = [
    "SELECT id FROM t WHERE id = qty NOT IN (0)",
    "SELECT id FROM t WHERE 1 = id NOT IN (1, 3)",
    "SELECT 2 < id NOT BETWEEN 0 AND 0 FROM t",
    "SELECT 1 = month NOT GLOB '5' FROM t",
    "SELECT qty <> id NOT IN () IS NULL FROM t",
    "SELECT id NOT IN (1) = 0 FROM t",
    "SELECT month + NOT qty FROM t",
]
"""Printed as they were read, they would mean something else."""

OTHERS_SQL = [
    ("SELECT id::text FROM t", "sql.parse"),
    ("SELECT CAST('1.5' AS LONG)", "sql.node_not_allowed"),
    ("SELECT CAST('12abc' AS STRING)", "sql.node_not_allowed"),
    ("SELECT 1_000", "sql.parse"),
    ("SELECT 0b101", "sql.parse"),
    ("SELECT 1where 1", "sql.parse"),
    ("SELECT id FROM t OFFSET 2", "sql.parse"),
    ("SELECT sum(id) OVER FROM t", "sql.parse"),
    ("\u017felect 1", "sql.parse"),
    ("SELECT ran\u212a() OVER () FROM t", "sql.parse"),
    ("SELECT id FROM t CRO\u00df JOIN u", "sql.parse"),
    ("SELECT 1 FROM t WHERE " + "END " * 99 + "(" * 99, "sql.too_complex"),
]
"""The parser knows them from other engines. SQLite does not, or takes them for something else."""


@pytest.mark.parametrize("statement", SAME)
def test_what_leaves_answers_on_everything_as_the_text_does_on_what_is_granted(
    statement: str,
) -> None:
    parsed = registry.settings_of("sql", WIDE)
    assert isinstance(parsed, SqlSettings)
    normal = Sql().normalise(statement, parsed)
    assert Sql().normalise(normal, parsed) == normal
    printed = str(registry.check("sql", statement, WIDE).value)
    assert _whole().execute(printed).fetchall() == _twin().execute(statement).fetchall()


@pytest.mark.parametrize("statement", UNCLEAR)
def test_operands_that_sqlite_takes_together_otherwise_must_be_put_in_parentheses(
    statement: str,
) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", statement, WIDE)
    assert refused.value.code == "sql.unclear"
    assert _twin().execute(statement).description


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id AS a, (SELECT a) FROM t",
        "SELECT id AS a, (SELECT max(a) FROM u) FROM t",
        "SELECT id AS a, EXISTS (SELECT 1 WHERE a > 1) FROM t",
    ],
)
def test_a_query_among_the_results_cannot_mean_another_result(statement: str) -> None:
    """SQLite knows no such column; printed in quotes, it would be a text."""
    with pytest.raises(sqlite3.OperationalError, match="no such column: a"):
        _twin().execute(statement)
    with pytest.raises(Objection, match="there is no column `a` here"):
        registry.check("sql", statement, WIDE)


@pytest.mark.parametrize(("statement", "code"), OTHERS_SQL)
def test_what_other_engines_know_is_refused(statement: str, code: str) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", statement, WIDE)
    assert refused.value.code == code


def test_a_text_that_cannot_be_read_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The parser keeps such a text as a `Command`, and tells the log so, text included."""
    with pytest.raises(Objection):
        registry.check("sql", "WITH c AS (SET x = 'a secret') SELECT * FROM c", WIDE)
    assert caplog.records == []
