"""What may stand in a FROM?

Law: a granted table, or a query of this statement. A name means the nearest WITH that
defines it, else a granted table, else nothing. A query that reads itself, or one that is
defined further on, is refused, since engines disagree on what that means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.columns import listed, name
from sandbox_runtime.destinations.sql.position import position
from sandbox_runtime.destinations.sql.scope import Source
from sandbox_runtime.destinations.sql.settings import fold

if TYPE_CHECKING:
    from sandbox_runtime.destinations.sql.reading import Reading
    from sandbox_runtime.destinations.sql.scope import Scope

Named = dict[str, Source | None]
"""Folded name of every query of a WITH to what it gives; None where it cannot be read."""


def table_source(table: exp.Expr, named: Named, reading: Reading) -> Source:
    """Return what a name in a FROM means, and print it with an alias."""
    wanted = fold(table.name)
    known = _named(table, named) if wanted in named else _granted(table, reading)
    table.set("this", name(known.table or known.alias))
    alias = table.alias or known.alias
    _set_alias(table, alias)
    return Source(alias, known.columns, known.table)


def query_source(subquery: exp.Expr, columns: tuple[str, ...], scope: Scope) -> Source:
    """Return a query in parentheses as a source, with an alias of ours if it has none."""
    alias = subquery.alias or f"_{len(scope.sources) + 1}"
    _set_alias(subquery, alias)
    return Source(alias, columns)


def add_source(source: Source, node: exp.Expr, scope: Scope) -> None:
    """Add a source to its SELECT, unless its alias is taken."""
    if any(fold(known.alias) == fold(source.alias) for known in scope.sources):
        raise Objection(
            "sql.ambiguous_table",
            f"two tables are called `{source.alias}` here",
            position=position(node),
            subject=source.alias,
            hint="give each its own alias",
        )
    scope.sources.append(source)


def merge_columns(join: exp.Expr, source: Source, scope: Scope, reading: Reading) -> None:
    """Remember which columns USING or NATURAL makes one of. Before the source is added."""
    using = join.args.get("using") or []
    is_natural = join.args.get("method") == "NATURAL"
    if not (using or is_natural):
        return
    common = scope.common(source)
    for column in using:
        _must_be_common(column, common)
        column.set("this", source.spelling(column.name))
    merged = common if is_natural else {fold(column.name) for column in using}
    scope.merged |= {(fold(source.alias), column) for column in merged}
    scope.is_coalescing = scope.is_coalescing or join.args.get("side") in ("RIGHT", "FULL")
    for known in (*scope.sources, source):
        for column in merged & known.folded.keys():
            reading.use(known, known.folded[column])


def _must_be_common(column: exp.Expr, common: set[str]) -> None:
    if fold(column.name) not in common:
        raise Objection(
            "sql.column_not_granted",
            f"`{column.name}` is no column of both tables",
            position=position(column),
            subject=column.name,
            hint="columns of both: " + listed(sorted(common)),
        )


def join_freely(join: exp.Expr) -> None:
    """Print `a, b` as a join without a condition: CROSS JOIN would fix SQLite's join order."""
    if join.args.get("kind") != "CROSS" or join.args.get("side"):
        return
    join.set("kind", None)
    if not any(join.args.get(slot) for slot in ("on", "using", "method")):
        join.set("on", exp.Boolean(this=True))


def _set_alias(node: exp.Expr, alias: str) -> None:
    node.set("alias", exp.TableAlias(this=name(alias)))


def _named(table: exp.Expr, named: Named) -> Source:
    source = named[fold(table.name)]
    if source is None:
        raise Objection(
            "sql.recursive",
            f"`{table.name}` reads itself, or is read before it is defined",
            position=position(table),
            subject=table.name,
            hint="name each query of a WITH unlike every table, and after those that it reads",
        )
    return source


def _granted(table: exp.Expr, reading: Reading) -> Source:
    readable = reading.settings.readable
    if fold(table.name) not in readable:
        raise Objection(
            "sql.table_not_granted",
            f"the table `{table.name}` is not granted",
            position=position(table),
            subject=table.name,
            hint="granted tables: " + listed([spelling for spelling, _ in readable.values()]),
        )
    spelling, granted = readable[fold(table.name)]
    reading.base(table, spelling)
    return Source(spelling, granted.columns, spelling)
