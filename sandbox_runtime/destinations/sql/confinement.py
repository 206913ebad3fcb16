"""What may the database see of the tables, and how much may it answer?

Law: no name of the statement reaches a table but through a subquery that shows, of the
visible columns, those that the statement names, and of the rows those that exist. A table
with a row filter is fenced, besides: its LIMIT keeps the database from running the
statement's own expressions on rows that the filter takes out (they could fail, or take
long, and tell).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from sandbox_runtime.destinations.sql.columns import name
from sandbox_runtime.destinations.sql.filters import column_of, literal, row_condition
from sandbox_runtime.destinations.sql.settings import fold

if TYPE_CHECKING:
    from sandbox_runtime.destinations.sql.dialects import SqlDialect
    from sandbox_runtime.destinations.sql.reading import Reading


def put_behind_views(reading: Reading) -> None:
    """Put a subquery in the place of every granted table."""
    for node, table in reading.bases:
        alias = exp.TableAlias(this=name(node.alias))
        node.replace(exp.Subquery(this=_view(table, reading), alias=alias))


def clamp_rows(root: exp.Expr, cap: int) -> int:
    """Set the statement's LIMIT, and return it: its own, and never more than `cap`."""
    limit = min(_own_limit(root, cap), cap)
    root.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    return limit


def _own_limit(root: exp.Expr, cap: int) -> int:
    """Return the LIMIT that is written; without one, or with a negative one, `cap`."""
    written = root.args.get("limit")
    if written is None:
        return cap
    digits = written.expression.name.lstrip("0")
    is_more = isinstance(written.expression, exp.Neg) or len(digits) > len(str(cap))
    return cap if digits and is_more else int(digits or "0")


def _view(table: str, reading: Reading) -> exp.Select:
    engine = reading.settings.engine
    _, granted = reading.settings.readable[fold(table)]
    named = [column for column in granted.columns if column in reading.used[table]]
    base = exp.Table(this=name(table), db=name(engine.main_schema))
    view = exp.Select(
        # A table of which only rows are counted needs some column.
        expressions=[column_of(base, column) for column in named or granted.columns[:1]],
        from_=exp.From(this=base),
    )
    condition = row_condition(granted.rows, base)
    if condition is not None:
        view.set("where", exp.Where(this=condition))
        view.set("limit", exp.Limit(expression=_fence(engine)))
    return view


def _fence(engine: SqlDialect) -> exp.Expr:
    return literal(engine.unfiltered_limit)
