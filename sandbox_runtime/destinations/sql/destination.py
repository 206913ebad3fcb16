"""May this statement go to the database, and as what?

Law: the text that leaves is printed from the checked tree. The text that came in never
travels further.

    1. scan      size, characters, depth; nothing is understood yet
    2. parse     exactly one statement
    3. grammar   every node, slot, function, type and operator is on a list; operands are
                 taken together as the database does
    4. resolve   every table and column is granted; `*` is spelled out
    5. confine   tables go behind views of the granted columns and rows; LIMIT is set
    6. confirm   what was printed gives the same tree again, and calls and reads only
                 what is allowed when it is read token by token
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.destinations.sql.confinement import clamp_rows, put_behind_views
from sandbox_runtime.destinations.sql.grammar import check_grammar, check_size
from sandbox_runtime.destinations.sql.narrowing import narrow
from sandbox_runtime.destinations.sql.outgoing import confirm_tokens, same, unconfirmed
from sandbox_runtime.destinations.sql.resolve import resolve
from sandbox_runtime.destinations.sql.scan import scan
from sandbox_runtime.destinations.sql.settings import SqlSettings
from sandbox_runtime.destinations.sql.statement import deep_enough, parse, printed

if TYPE_CHECKING:
    from sqlglot import exp

    from sandbox_runtime.destinations.sql.reading import Reading
    from sandbox_runtime.strict import Json, Strict


class Sql:
    """The destination `sql`: one SELECT for a database."""

    kind: ClassVar[str] = "sql"
    settings: ClassVar[type[Strict]] = SqlSettings

    def narrow(self, tool: SqlSettings, grant: SqlSettings) -> SqlSettings:
        """Return what tool and grant both allow, or raise `Widens`."""
        return narrow(tool, grant)

    def normalise(self, value: Json, settings: SqlSettings) -> Json:
        """Return the statement with every name spelled out, before rows and limits."""
        with deep_enough():
            root, _ = _read(value, settings)
            text = _confirmed(root, settings)
            scan(text)
        return text

    def confine(self, normal: Json, settings: SqlSettings) -> Accepted:
        """Return the statement as it may run. `normal` is what `normalise` returned."""
        return self.check(normal, settings)

    def check(self, value: Json, settings: SqlSettings) -> Accepted:
        """Return the statement as it may run, what it reads, and what was changed."""
        with deep_enough():
            root, reading = _read(value, settings)
            shown = printed(root, settings.engine)
            limit = _confine(root, reading)
            text = _confirmed(root, settings)
            confirm_tokens(text, root, settings)
        return Accepted(
            value=text,
            facts=_facts(reading, limit),
            changes=tuple(reading.changes),
            shown=shown,
        )

    def describe(self, settings: SqlSettings) -> dict[str, Json]:
        """Return the readable tables with their visible columns, and the row cap."""
        tables = [f"{name}({', '.join(t.columns)})" for name, t in (settings.tables or {}).items()]
        readable = f"Tables: {', '.join(tables)}." if tables else "No table is readable."
        return {"description": f"{readable} At most {settings.row_cap} rows."}


def _read(value: Json, settings: SqlSettings) -> tuple[exp.Expr, Reading]:
    """Steps 1 to 4."""
    if not isinstance(value, str):
        raise Objection("sql.not_text", "a statement is a text")
    engine = settings.engine
    scan(value)
    root = parse(value, engine)
    check_grammar(root, settings)
    reading = resolve(root, value, settings)
    check_size(root)
    return root, reading


def _confine(root: exp.Expr, reading: Reading) -> int:
    """Step 5."""
    put_behind_views(reading)
    written = root.args.get("limit")
    before = written and written.expression.sql()
    limit = clamp_rows(root, reading.settings.row_cap)
    if before != str(limit):
        reading.note(f"limited to {limit} rows")
    return limit


def _confirmed(root: exp.Expr, settings: SqlSettings) -> str:
    """Step 6: return the printed text, if it says what the tree says."""
    text = printed(root, settings.engine)
    if not same(parse(text, settings.engine), root):
        raise unconfirmed()
    return text


def _facts(reading: Reading, limit: int) -> dict[str, Json]:
    columns: dict[str, Json] = {
        table: [*sorted(used)] for table, used in sorted(reading.used.items())
    }
    return {
        "statement": "select",
        "tables": [*columns],
        "columns": columns,
        "limit": limit,
    }
