"""Statements that are meant to cost: refused or answered soon, and never a crash."""

# ruff: noqa: S608 - statements are put together here to be attacked or judged

from __future__ import annotations

import sys
import time

import pytest
import sqlglot.parser

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.statement import deep_enough
from tests.destinations.sqlite_judge import GRANT

SECONDS = 5.0
"""Beyond what the slowest takes on a busy machine (0.5 s), and far below a blow-up's."""


def _joins(join: str, count: int) -> str:
    return "SELECT 1 FROM orders a0 " + " ".join(f"{join} orders a{i}" for i in range(1, count))


def _doubling(count: int) -> str:
    steps = [f"c{i} AS (SELECT a.*, b.* FROM c{i - 1} a, c{i - 1} b)" for i in range(1, count)]
    return f"WITH c0 AS (SELECT * FROM orders), {', '.join(steps)} SELECT * FROM c{count - 1}"


COSTLY = {
    "joins": _joins("JOIN", 400),
    "left joins": _joins("LEFT JOIN", 30),
    "natural joins": _joins("NATURAL JOIN", 300),
    "commas": "SELECT 1 FROM " + ", ".join(f"orders a{i}" for i in range(700)),
    "nested stars": "SELECT *, * FROM (" * 30 + "SELECT 1 AS a" + ")" * 30,
    "many stars": "SELECT " + ", ".join("*" * 2900) + " FROM orders",
    "doubling": _doubling(30),
    "chain of queries": "WITH "
    + ", ".join(f"c{i} AS (SELECT * FROM {f'c{i - 1}' if i else 'orders'})" for i in range(300))
    + " SELECT * FROM c299",
    "one name often": f"SELECT * FROM (SELECT {', '.join(['id'] * 900)} FROM orders)",
    "unions": " UNION ALL ".join(["SELECT * FROM orders"] * 300),
    "sum": "SELECT " + "+".join("1" * 2900),
    "ands": "SELECT 1 WHERE " + " AND ".join("1" * 1400),
    "mixed": "SELECT 1 WHERE " + " OR 1 AND ".join("1" * 700),
    "betweens": "SELECT 1 WHERE " + "1 BETWEEN 2 AND " * 300 + "3",
    "parentheses": "SELECT " + "(" * 39 + "1" + ")" * 39,
    "prefixed parentheses": "SELECT " + "- (- - - " * 39 + "1" + ")" * 39,
    "calls": "SELECT " + "abs(" * 39 + "1" + ")" * 39,
    "cases": "SELECT " + "CASE WHEN " * 39 + "1" + " THEN 1 END" * 39,
    "windows": "SELECT " + "sum(1) OVER (ORDER BY " * 38 + "1" + ")" * 38,
    "exists": "SELECT " + "EXISTS (SELECT " * 39 + "1" + ")" * 39,
    "casts": "SELECT 1" + "::int" * 1400,
    "subscripts": "SELECT a" + "[1]" * 1000,
    "braces": "SELECT " + "{" * 1000,
    "dots": "SELECT " + ".".join("a" * 2900),
    "arrows": "SELECT abs(" + "x -> " * 1000 + "1)",
    "strings": "SELECT 1 " + "'a' " * 3000,
    "comments": "SELECT 1 " + "/**/" * 8000,
    "semicolons": "SELECT 1" + ";" * 30_000,
    "an open quote": "SELECT '" + "a" * 32_000,
    "an open comment": "SELECT 1 /*" + "*" * 32_000,
    "a list": f"SELECT id FROM orders WHERE id IN ({', '.join('1' * 2900)})",
}


@pytest.mark.parametrize("statement", COSTLY.values(), ids=COSTLY)
def test_a_costly_statement_is_decided_soon(statement: str) -> None:
    started = time.monotonic()
    try:
        accepted = registry.check("sql", statement, GRANT)
        assert len(str(accepted.value)) < 512 * 1024
    except Objection as objection:
        assert objection.code.startswith("sql.")  # noqa: PT017 - either end is right
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT '" + "a" * 32 * 1024 + "'", "sql.too_long"),
        ("SELECT '" + "\u00e9" * 17 * 1024 + "'", "sql.too_long"),
        ("SELECT " + "(" * 41 + "1" + ")" * 41, "sql.too_complex"),
        ("SELECT " + "NOT " * 5 + "1", "sql.too_complex"),
        ("SELECT " + "+".join("1" * 400), "sql.too_complex"),
        (f"SELECT 1 AS {'a' * 300}", "sql.parse"),
        (_joins("CROSS JOIN", 66), "sql.too_complex"),
    ],
)
def test_a_statement_beyond_a_bound_is_refused(statement: str, code: str) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("sql", statement, GRANT)
    assert refused.value.code == code


def test_a_check_leaves_the_recursion_limit_as_it_was() -> None:
    before = sys.getrecursionlimit()
    registry.check("sql", COSTLY["parentheses"], GRANT)
    assert sys.getrecursionlimit() == before
    with pytest.raises(RuntimeError), deep_enough():
        raise RuntimeError
    assert sys.getrecursionlimit() == before


def test_the_parser_is_the_pure_one_which_cannot_crash_the_process() -> None:
    assert str(sqlglot.parser.__file__).endswith(".py")
