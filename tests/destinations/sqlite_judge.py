"""What does a statement do to a real SQLite?

The judge opens a database with more in it than is granted, lets the engine itself report
what the statement touches (`sqlite3_set_authorizer`), and marks everything that must stay
hidden, so that a leak is found in whatever comes back, errors included.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sandbox_runtime.destinations.sql.dialects import SQLITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.strict import Json

MARK: Final = "HIDDEN"
"""Stands in every value that no accepted statement may show, or even look at."""

GRANT: Final[dict[str, Json]] = {
    "dialect": "sqlite",
    "statements": ["select"],
    "max_rows": 1000,
    "tables": {
        "orders": {
            "columns": ["id", "total", "month"],
            "rows": {"tenant_id": {"equals": 42}},
        },
        "items": {"columns": ["id", "order_id", "name"]},
    },
}

_SCHEMA: Final = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL, month TEXT, tenant_id INTEGER,
                     internal_note TEXT);
CREATE INDEX orders_month ON orders (month);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, name TEXT, cost REAL);
CREATE TABLE secret (id INTEGER PRIMARY KEY, body TEXT);
CREATE VIEW gossip AS SELECT body FROM secret;
CREATE TEMP TABLE scratch (id INTEGER, body TEXT);
"""

_READABLE: Final = {("orders", column) for column in ("", "id", "total", "month", "tenant_id")} | {
    ("items", column) for column in ("", "id", "order_id", "name")
}


@dataclass(slots=True)
class Judged:
    """What one statement did."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    error: str | None = None
    trespasses: list[str] = field(default_factory=list)
    """What the engine, or a mark, says that it touched and should not have."""


def database() -> sqlite3.Connection:
    """Return a database with two tenants, three tables, and marks on what is hidden."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    for number in range(1, 41):
        hidden = number % 2 == 0
        month = f"{MARK}-{number}" if hidden else f"2026-{number % 12 + 1:02}"
        row = (number, number * 10.0, month, 7 if hidden else 42, f"{MARK} note {number}")
        connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", row)
        connection.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?)", (number, number // 2, f"item {number}", 66.5)
        )
    connection.execute("INSERT INTO secret VALUES (1, ?)", (f"{MARK} body",))
    connection.execute("INSERT INTO scratch VALUES (1, ?)", (f"{MARK} scratch",))
    connection.commit()
    return connection


def judge(connection: sqlite3.Connection, statement: str) -> Judged:
    """Run `statement` under the engine's own eyes."""
    judged = Judged()
    connection.set_authorizer(_watch(judged))
    try:
        cursor = connection.execute(statement)
        judged.rows = cursor.fetchall()
        judged.columns = [entry[0] for entry in cursor.description or ()]
    except sqlite3.Error as error:
        judged.error = str(error)
    finally:
        connection.set_authorizer(None)
    if MARK in repr((judged.rows, judged.error)):
        judged.trespasses.append("shows a hidden value")
    if len(judged.rows) > 1000:
        judged.trespasses.append("returns more rows than the cap")
    return judged


def _watch(
    judged: Judged,
) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    def authorise(
        action: int, one: str | None, two: str | None, schema: str | None, _by: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        is_main = schema == "main" or (schema is None and two == "")
        if action == sqlite3.SQLITE_READ and (one, two) in _READABLE and is_main:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        judged.trespasses.append(f"action {action}: {one}, {two} in {schema}")
        return sqlite3.SQLITE_OK

    return authorise


_FUNCTIONS: Final = SQLITE.functions | {"like", "glob"}
"""The engine reports its operators LIKE and GLOB as calls."""
