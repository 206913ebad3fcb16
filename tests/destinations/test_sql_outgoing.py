"""The second reading of what leaves: it must find what the first might have missed."""

from __future__ import annotations

import pytest
import sqlglot

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql import SqlSettings, destination
from sandbox_runtime.destinations.sql.outgoing import confirm_tokens, same
from sandbox_runtime.destinations.sql.statement import parse
from tests.destinations.sqlite_judge import GRANT

QUERY = 'WITH "q" AS (SELECT 1 AS "a") SELECT "a" FROM "q"'


def _settings() -> SqlSettings:
    settings = registry.settings_of("sql", GRANT)
    assert isinstance(settings, SqlSettings)
    return settings


def _confirm(text: str) -> None:
    confirm_tokens(text, parse(QUERY, _settings().engine), _settings())


@pytest.mark.parametrize(
    "text",
    [
        'SELECT 1 FROM "secret"',
        'SELECT 1 FROM "main"."secret"',
        'SELECT 1 FROM "temp"."orders"',
        'SELECT 1 FROM "orders"',
        "SELECT 1 FROM orders",
        'SELECT 1 FROM (SELECT 1) JOIN "secret"',
        "SELECT 1 FROM json_each('[]')",
        'SELECT 1 WHERE 1 IN "secret"',
        "SELECT load_extension('x')",
        "SELECT LOAD_EXTENSION ('x')",
        "SELECT secret",
        "SELECT upper",
        "SELECT 1; SELECT 2",
        "SELECT 1 -- x",
        "SELECT 1 /* x */",
        "SELECT ?",
        "SELECT :a",
        "SELECT x'00'",
        "SELECT [a]",
        "SELECT `a`",
        "SELECT 'a",
        "DELETE",
        "PRAGMA",
        "ATTACH 'x' AS \"y\"",
        "WITH RECURSIVE",
        'SELECT "a" INTO "b"',
        "SELECT 1 FROM",
    ],
)
def test_a_printed_text_that_says_more_is_stopped(text: str) -> None:
    with pytest.raises(Objection) as refused:
        _confirm(text)
    assert refused.value.code == "sql.not_confirmed"


@pytest.mark.parametrize(
    "text",
    [
        QUERY,
        'SELECT "a" FROM (SELECT "id" FROM "main"."orders" WHERE typeof("x") IN (\'text\')) AS "o"',
        'SELECT upper("a") || \'; DROP TABLE x --\' AS "FROM ""secret""" FROM "Q" AS "z" LIMIT -1',
    ],
)
def test_a_printed_text_that_says_no_more_passes(text: str) -> None:
    _confirm(text)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("SELECT a", "SELECT  a /* why */", True),
        ("SELECT a", "SELECT A", False),
        ("SELECT a", 'SELECT "a"', False),
        ("SELECT 1", "SELECT '1'", False),
        ("SELECT a, b", "SELECT a", False),
        ("SELECT a FROM t", "SELECT a FROM t LIMIT 1", False),
        ("SELECT a UNION SELECT b", "SELECT a UNION ALL SELECT b", False),
        ("SELECT (a)", "SELECT a", False),
        ("SELECT a + b * c", "SELECT (a + b) * c", False),
    ],
)
def test_trees_are_the_same_only_if_every_letter_is(one: str, other: str, *, equal: bool) -> None:
    trees = [sqlglot.parse_one(text, read=_settings().engine.reader) for text in (one, other)]
    assert same(*trees) is equal


def test_a_printer_that_writes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination, "printed", lambda *_, **__: 'SELECT "id" FROM "secret"')
    with pytest.raises(Objection) as refused:
        registry.check("sql", "SELECT id FROM orders", GRANT)
    assert refused.value.code == "sql.not_confirmed"


def test_a_view_that_reads_another_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The confining step itself is not trusted either: its text is read token by token."""
    monkeypatch.setattr(destination, "put_behind_views", lambda _reading: None)
    with pytest.raises(Objection) as refused:
        registry.check("sql", "SELECT id FROM orders", GRANT)
    assert refused.value.code == "sql.not_confirmed"
