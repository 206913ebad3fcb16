"""The last line of defence is attacked alone, with statements that no broker let through."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.tool_runs import Run

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def test_a_select_is_answered_with_columns_and_rows(run: Run, database: Path) -> None:
    query = "SELECT carrier, delay, month FROM flights ORDER BY month"
    ended = run("sql_query", {"query": query}, str(database))
    assert ended.status == 0
    assert ended.result == {
        "columns": ["carrier", "delay", "month"],
        "rows": [["UA", 2.5, 1], ["DL", None, 12]],
    }


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DELETE FROM flights", id="delete"),
        pytest.param("INSERT INTO flights (carrier) VALUES ('X')", id="insert"),
        pytest.param("CREATE TEMP TABLE t AS SELECT 1", id="temporary table"),
        pytest.param("ATTACH '/tmp/other.db' AS other", id="attach"),
        pytest.param("PRAGMA query_only=0", id="pragma"),
        pytest.param("VACUUM INTO '/tmp/copy.db'", id="vacuum into"),
        pytest.param("BEGIN", id="transaction"),
        pytest.param("SELECT sql FROM sqlite_master", id="schema"),
        pytest.param("SELECT sql FROM SQLite_Schema", id="schema by its other name"),
        pytest.param("SELECT name FROM pragma_table_info('flights')", id="pragma as a table"),
        pytest.param("SELECT load_extension('/tmp/x.so')", id="native code"),
        pytest.param("SELECT 1; DELETE FROM flights", id="two statements"),
        pytest.param("SELECT writefile('/tmp/x', 'y')", id="file function of the shell"),
    ],
)
def test_what_is_no_read_of_a_table_is_refused_and_changes_nothing(
    run: Run, database: Path, statement: str
) -> None:
    before = hashlib.sha256(database.read_bytes()).digest()
    ended = run("sql_query", {"query": statement}, str(database))
    assert ended.error["code"] in {"not_allowed", "query_failed"}
    assert hashlib.sha256(database.read_bytes()).digest() == before
    assert not list(database.parent.glob("small.db-*"))


@pytest.mark.parametrize(
    "query",
    ["SELECT no_such_column FROM flights", "SELECT abs(carrier) FROM secrets", "SELECT FROM"],
)
def test_an_error_says_nothing_of_the_schema_or_the_query(
    run: Run, database: Path, query: str
) -> None:
    ended = run("sql_query", {"query": query}, str(database))
    assert ended.error == {
        "code": "query_failed",
        "message": "the database cannot run this query",
    }
    assert ended.log, "the operators' log has SQLite's own words"


def test_a_query_without_end_is_stopped(run: Run, database: Path) -> None:
    assert run("sql_query", {"query": LONG}, str(database)).error["code"] == "too_slow"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param("SELECT zeroblob(100000000)", "too_large", id="one huge value"),
        pytest.param(LONG.replace("max(i)", "i") + " LIMIT 10001", "too_large", id="many rows"),
        pytest.param(
            LONG.replace("max(i)", "hex(randomblob(500))") + " LIMIT 1000", "too_large", id="bytes"
        ),
        pytest.param(
            LONG.replace("max(i)", "count(DISTINCT i || hex(randomblob(5000)))"),
            "too_large",
            id="memory",
        ),
        pytest.param("SELECT raw FROM flights", "not_json", id="bytes are no text"),
        pytest.param("SELECT 9e999", "not_json", id="infinity"),
    ],
)
def test_a_result_is_whole_or_an_error(run: Run, database: Path, query: str, code: str) -> None:
    assert run("sql_query", {"query": query}, str(database)).error["code"] == code


def test_text_that_is_no_utf8_does_not_break_the_answer(run: Run, database: Path) -> None:
    ended = run("sql_query", {"query": "SELECT CAST(x'41FF42' AS TEXT) AS t"}, str(database))
    assert ended.result["rows"] == [["A\ufffdB"]]


def test_a_missing_database_is_not_made(run: Run, tmp_path: Path) -> None:
    ended = run("sql_query", {"query": "SELECT 1"}, str(tmp_path / "none.db"))
    assert (ended.lines, ended.status) == ([], 1)
    assert not (tmp_path / "none.db").exists()
