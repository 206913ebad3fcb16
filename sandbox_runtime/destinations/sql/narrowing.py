"""What is left of SQL when a tool and a grant both have a say?

Law: never more than the tool. Row filters of both apply; everything else must already lie
within what the tool lists, or the grant does not load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.destinations.sql.settings import (
    Functions,
    RowFilter,
    SqlSettings,
    Table,
    fold,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def narrow(tool: SqlSettings, grant: SqlSettings) -> SqlSettings:
    """Return what both allow. Keys that say nothing are left out of the result."""
    both: dict[str, Any] = {
        "dialect": _dialect(tool, grant),
        "statements": _statements(tool, grant),
        "tables": _tables(tool.tables, grant.tables),
        "max_rows": _max_rows(tool, grant),
        "functions": _functions(tool, grant),
    }
    return SqlSettings(**{key: value for key, value in both.items() if value is not None})


def _dialect(tool: SqlSettings, grant: SqlSettings) -> str:
    if tool.dialect is None:
        raise Widens(("dialect",), "the tool names no dialect")
    if grant.dialect not in (None, tool.dialect):
        raise Widens(("dialect",), f"the tool speaks {tool.dialect}")
    return tool.dialect


def _statements(tool: SqlSettings, grant: SqlSettings) -> tuple[str, ...]:
    allowed = tool.statements or ("select",)
    for position, kind in enumerate(grant.statements or ()):
        if kind not in allowed:
            raise Widens(("statements", position), f"the tool does not allow {kind}")
    return grant.statements or allowed


def _max_rows(tool: SqlSettings, grant: SqlSettings) -> int:
    if grant.max_rows is None:
        return tool.row_cap
    if grant.max_rows > tool.row_cap:
        raise Widens(("max_rows",), f"the tool returns at most {tool.row_cap} rows")
    return grant.max_rows


def _functions(tool: SqlSettings, grant: SqlSettings) -> Functions | None:
    if tool.functions is None or grant.functions is None:
        return grant.functions or tool.functions
    allowed = {name.lower() for name in tool.functions.allow}
    for position, name in enumerate(grant.functions.allow):
        if name.lower() not in allowed:
            raise Widens(
                ("functions", "allow", position), f"the tool does not allow the function {name}"
            )
    return grant.functions


def _tables(
    tool: Mapping[str, Table] | None, grant: Mapping[str, Table] | None
) -> dict[str, Table] | None:
    if tool is None or grant is None:
        left = grant if tool is None else tool
        return None if left is None else dict(left)
    ceilings = {fold(name): table for name, table in tool.items()}
    return {name: _table(name, ceilings.get(fold(name)), table) for name, table in grant.items()}


def _table(name: str, ceiling: Table | None, wanted: Table) -> Table:
    if ceiling is None:
        raise Widens(("tables", name), f"the tool does not list the table {name}")
    visible = {fold(column) for column in ceiling.columns}
    for position, column in enumerate(wanted.columns):
        if fold(column) not in visible:
            raise Widens(
                ("tables", name, "columns", position), f"the tool does not list {name}.{column}"
            )
    return Table(columns=wanted.columns, rows=_both_rows(ceiling.rows, wanted.rows))


def _both_rows(
    tool: Mapping[str, RowFilter], grant: Mapping[str, RowFilter]
) -> dict[str, RowFilter]:
    rows = dict(tool)
    spelling = {fold(column): column for column in tool}
    for column, wanted in grant.items():
        known = spelling.get(fold(column), column)
        rows[known] = RowFilter(all_of=(rows[known], wanted)) if known in rows else wanted
    return rows
