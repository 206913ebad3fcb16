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
