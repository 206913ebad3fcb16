"""What do the rows of one SELECT say?

Law: the file cannot be changed from here, and a result is whole or an error. What may be
read was decided before this program got the statement; what SQLite can refuse by itself
it refuses again. Errors name a kind, never a value or a part of the schema.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time

SECONDS, ROWS, BYTES, HEAP = 5, 10_000, 768 << 10, 80 << 20
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
ERRORS = {
    "SQLITE_AUTH": ("not_allowed", "the database refuses a part of the statement"),
    "SQLITE_INTERRUPT": ("too_slow", f"the query ran longer than {SECONDS} seconds"),
    "SQLITE_TOOBIG": ("too_large", "a value or the statement is too large"),
}
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


def authorize(action: int, table: str | None, *_: str | None) -> int:
    """Say yes to reading tables that are not SQLite's own, and to nothing else."""
    reads = action == sqlite3.SQLITE_READ and not (table or "").lower().startswith("sqlite_")
    return sqlite3.SQLITE_OK if reads or action in ALLOWED else sqlite3.SQLITE_DENY


def connect(path: str) -> sqlite3.Connection:
    """Open the file as one that nobody changes, and shut every other door."""
    database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    database.executescript(
        "PRAGMA query_only=1; PRAGMA trusted_schema=0; PRAGMA temp_store=2; PRAGMA cache_size=-8192"
        f"; PRAGMA hard_heap_limit={HEAP}"
    )
    database.text_factory = lambda text: text.decode("utf-8", "replace")
    for limit, ceiling in LIMITS.items():
        database.setlimit(limit, ceiling)
    database.set_authorizer(authorize)
    return database


def answer(database: sqlite3.Connection, query: str) -> str:
    """Return `{"result": …}` with all rows, or `{"error": …}`."""
    deadline = time.monotonic() + SECONDS
    database.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        cursor = database.execute(query)
        rows = gather(cursor)
        names = [name for name, *_ in cursor.description or ()]
        text = json.dumps({"result": {"columns": names, "rows": rows}}, allow_nan=False)
    except sqlite3.Error as error:
        print(error, file=sys.stderr)  # noqa: T201 - the operators' log
        name = getattr(error, "sqlite_errorname", "")
        return failure(*ERRORS.get(name, ("query_failed", "the database cannot run this query")))
    except MemoryError:  # how Python says SQLITE_NOMEM: the limit of the heap, above
        return failure("too_large", "the query needs more memory than it has")
    except (TypeError, ValueError):
        return failure("not_json", "a value is no text and no number; cast it in the query")
    if len(rows) > ROWS or len(text) > BYTES:
        return failure("too_large", "the result is too large; select fewer rows or columns")
    return text


def gather(rows: sqlite3.Cursor) -> list[tuple[object, ...]]:
    """Return the rows, or as many of them as are too many to be answered."""
    gathered: list[tuple[object, ...]] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if size > BYTES or len(gathered) > ROWS:
            break
    return gathered


def failure(code: str, message: str) -> str:
    """Return the line that says what went wrong."""
    return json.dumps({"error": {"code": code, "message": message}})


if __name__ == "__main__":
    opened = connect(sys.argv[1])  # before the call comes: opening is not the caller's time
    call = json.load(sys.stdin)
    with open(3, "w", encoding="ascii") as answers:
        print(answer(opened, call["arguments"]["query"]), file=answers)
