"""The databases of Spider's development set, with rows made from a seed."""

from __future__ import annotations

import random
import sqlite3
from typing import Any, Final

from sandbox_runtime.strict import Json

_TYPES: Final = {"number": "INTEGER", "text": "TEXT"}
_TEXTS: Final = ("France", "USA", "Kyle", "a", "b", "c", "2008", "", None)
_ROWS: Final = 40


def grant(database: dict[str, Any]) -> Json:
    """Return settings that grant every table and column of `database`."""
    tables: dict[str, Json] = {
        table: {"columns": [column for column, _ in columns]}
        for table, columns in _tables(database).items()
    }
    return {"dialect": "sqlite", "max_rows": 1_000_000, "tables": tables}


def filled(database: dict[str, Any], seed: int) -> sqlite3.Connection:
    """Return `database` in memory, with rows that depend on `seed` alone."""
    chance = random.Random(seed)  # noqa: S311 - test data
    connection = sqlite3.connect(":memory:")
    for table, columns in _tables(database).items():
        declared = ", ".join(f'"{name}" {_TYPES.get(kind, "TEXT")}' for name, kind in columns)
        connection.execute(f'CREATE TABLE "{table}" ({declared})')
        marks = ", ".join("?" * len(columns))
        for _ in range(_ROWS):
            row = [_value(kind, chance) for _, kind in columns]
            connection.execute(f'INSERT INTO "{table}" VALUES ({marks})', row)  # noqa: S608
    return connection


def _value(kind: str, chance: random.Random) -> int | str | None:
    return chance.randrange(30) if kind == "number" else chance.choice(_TEXTS)


def _tables(database: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return table → (column, kind), without the engine's own tables."""
    names = database["table_names_original"]
    columns = zip(database["column_names_original"], database["column_types"], strict=True)
    tables: dict[str, list[tuple[str, str]]] = {
        name: [] for name in names if not name.startswith("sqlite_")
    }
    for (table, column), kind in columns:
        if table >= 0 and names[table] in tables:
            tables[names[table]].append((column, kind))
    return tables
