"""Which rows of a table exist?

Law: a row exists if every filter holds; one that cannot be decided (null, another type)
does not. Values stand as literals of the tree, never as text put together. Columns carry
schema and table: SQLite takes a bare quoted name that it does not know for a text, or for
a name of the query around it, and a misspelt filter would hold for every row.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from sandbox_runtime.destinations.sql.columns import name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.destinations.sql.settings import Bound, RowFilter, Scalar


def row_condition(rows: Mapping[str, RowFilter], table: exp.Table) -> exp.Expr | None:
    """Return the condition that all filters make together; None if there is none."""
    conditions = [
        condition
        for column, row_filter in rows.items()
        for condition in _of(column_of(table, column), row_filter)
    ]
    return reduce(_and, conditions) if conditions else None


def column_of(table: exp.Table, column: str) -> exp.Column:
    """Return a column that can be one of this very table, or an error of the database."""
    return exp.Column(this=name(column), table=table.this.copy(), db=table.args["db"].copy())


def literal(value: Scalar) -> exp.Expr:
    """Return a value as it is printed."""
    match value:
        case None:
            return exp.Null()
        case bool():
            return exp.Literal.number(int(value))
        case str():
            return exp.Literal.string(value)
        case _:
            digits = exp.Literal.number(repr(value).removeprefix("-"))
            return exp.Neg(this=digits) if repr(value).startswith("-") else digits


def _of(column: exp.Column, row_filter: RowFilter) -> Iterator[exp.Expr]:
    if "equals" in row_filter.model_fields_set:
        yield _equals(column, row_filter.equals)
    if row_filter.one_of is not None:
        yield exp.Paren(this=reduce(_or, (_equals(column, value) for value in row_filter.one_of)))
    if row_filter.at_least is not None:
        yield from _bounded(column, exp.GTE, row_filter.at_least)
    if row_filter.at_most is not None:
        yield from _bounded(column, exp.LTE, row_filter.at_most)
    for both in row_filter.all_of or ():
        yield from _of(column, both)


def _equals(column: exp.Column, value: Scalar) -> exp.Expr:
    if value is None:
        return exp.Is(this=column.copy(), expression=exp.Null())
    return exp.EQ(this=_exact(column, value), expression=literal(value))


def _bounded(column: exp.Column, comparison: type[exp.Binary], bound: Bound) -> Iterator[exp.Expr]:
    """Compare within one type: to SQLite every text is greater than every number."""
    types = ("text",) if isinstance(bound, str) else ("integer", "real")
    held = exp.Anonymous(this="typeof", expressions=[column.copy()])
    yield exp.In(this=held, expressions=[exp.Literal.string(kind) for kind in types])
    yield comparison(this=_exact(column, bound), expression=literal(bound))


def _exact(column: exp.Column, value: Scalar) -> exp.Expr:
    """Compare texts letter by letter, whatever collation the table declares."""
    if not isinstance(value, str):
        return column.copy()
    return exp.Collate(this=column.copy(), expression=exp.Var(this="BINARY"))


def _and(left: exp.Expr, right: exp.Expr) -> Any:  # noqa: ANN401 - the library's own type
    return exp.And(this=left, expression=right)


def _or(left: exp.Expr, right: exp.Expr) -> Any:  # noqa: ANN401 - the library's own type
    return exp.Or(this=left, expression=right)
