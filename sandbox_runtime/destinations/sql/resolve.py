"""Which tables and columns does a statement read, and are they all granted?

Law: every name of the statement is resolved here against what the settings show, and
against nothing else. A column that no list shows does not exist, whether the database has
it or not; so an objection says the same of both.

The tree is brought into its normal form on the way: `*` is spelled out, columns carry the
alias of their source, names carry the spelling of the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.columns import (
    resolve_column,
    settle_unknown,
    unknown_column,
)
from sandbox_runtime.destinations.sql.position import position
from sandbox_runtime.destinations.sql.reading import Reading
from sandbox_runtime.destinations.sql.results import (
    given_names,
    name_apart,
    name_results,
    names_of,
    ordered_name,
    spell_out_stars,
)
from sandbox_runtime.destinations.sql.scope import Scope, Source
from sandbox_runtime.destinations.sql.settings import fold
from sandbox_runtime.destinations.sql.sources import (
    Named,
    add_source,
    join_freely,
    merge_columns,
    query_source,
    table_source,
)

if TYPE_CHECKING:
    from sandbox_runtime.destinations.sql.settings import SqlSettings

_QUERIES = (exp.Select, exp.SetOperation)


def resolve(root: exp.Expr, text: str, settings: SqlSettings) -> Reading:
    """Resolve every name of `root`, in place, or object to the first that is not granted."""
    reading = Reading(settings, text)
    _Resolver(reading).query(root, {}, None, read_from=False)
    for identifier in root.find_all(exp.Identifier):
        identifier.set("quoted", True)  # noqa: FBT003 - the library's signature
    return reading


class _Resolver:
    """Walks the queries of one statement, from the outside in."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def query(
        self, query: exp.Expr, named: Named, outer: Scope | None, *, read_from: bool
    ) -> tuple[str, ...]:
        """Resolve a query and return its results' names.

        `read_from`: another query reads it by these names, so no two may be the same.
        """
        named = self._with(query, named, outer)
        if isinstance(query, exp.SetOperation):
            return self._compound(query, named, outer, read_from=read_from)
        return self._select(query, named, outer, read_from=read_from)

    def _with(self, query: exp.Expr, named: Named, outer: Scope | None) -> Named:
        """Add what a WITH defines, in order. Until it is its turn, a name cannot be read."""
        with_ = query.args.get("with_")
        entries = with_.expressions if with_ else []
        named = {**named, **{fold(entry.alias): None for entry in entries}}
        for entry in entries:
            if named[fold(entry.alias)] is not None:
                raise _refused(entry, "sql.ambiguous_table", "a WITH names two queries alike")
            columns = self.query(entry.this, named, outer, read_from=True)
            source = Source(entry.alias, _renamed(entry, columns))
            named = {**named, fold(entry.alias): source}
        return named

    def _compound(
        self, query: exp.Expr, named: Named, outer: Scope | None, *, read_from: bool
    ) -> tuple[str, ...]:
        columns = self.query(query.this, named, outer, read_from=read_from)
        others = self.query(query.expression, named, outer, read_from=False)
        if len(columns) != len(others):
            raise _refused(query, "sql.parse", "the parts of a compound have unlike many columns")
        if query.args.get("order"):
            _check_compound_order(query, {fold(column) for column in (*columns, *others)})
        return columns

    def _select(
        self, select: exp.Expr, named: Named, outer: Scope | None, *, read_from: bool
    ) -> tuple[str, ...]:
        scope = Scope(outer)
        self._from(select, named, scope)
        given = given_names(select)
        spell_out_stars(select, scope, self.reading)
        if read_from or outer is None:
            name_results(select, self.reading)
        for item in list(select.expressions):
            self._expression(item, named, scope)
        scope.results = given
        self._parts(select, named, scope)
        if read_from:
            name_apart(select)
        return names_of(select)

    def _from(self, select: exp.Expr, named: Named, scope: Scope) -> None:
        from_ = select.args.get("from_")
        if from_ is not None:
            self._source(from_.this, None, named, scope)
        for join in select.args.get("joins") or []:
            self._source(join.this, join, named, scope)
            join_freely(join)

    def _source(self, node: exp.Expr, join: exp.Expr | None, named: Named, scope: Scope) -> None:
        if isinstance(node, exp.Table):
            source = table_source(node, named, self.reading)
        elif isinstance(node, exp.Subquery):
            columns = self.query(node.this, named, scope.outer, read_from=True)
            source = query_source(node, columns, scope)
        else:
            raise _refused(node, "sql.node_not_allowed", "only tables and queries can be read from")
        if join is not None:
            merge_columns(join, source, scope, self.reading)
        add_source(source, node, scope)

    def _parts(self, select: exp.Expr, named: Named, scope: Scope) -> None:
        for join in select.args.get("joins") or []:
            if join.args.get("on") is not None:
                self._expression(join.args["on"], named, scope)
        for slot in ("where", "group", "having"):
            if select.args.get(slot) is not None:
                self._expression(select.args[slot], named, scope)
        for window in select.args.get("windows") or []:
            self._expression(window, named, scope)
        self._order(select, named, scope)

    def _order(self, select: exp.Expr, named: Named, scope: Scope) -> None:
        """A whole term that is a result's name means the result, before any column."""
        order = select.args.get("order")
        for term in order.expressions if order else []:
            bare = ordered_name(term)
            if bare is None or fold(bare.name) not in scope.results:
                self._expression(term, named, scope)

    def _expression(self, expression: exp.Expr, named: Named, scope: Scope) -> None:
        """Resolve the columns of an expression, and the queries that stand in it."""
        unknown: list[exp.Column] = []
        waiting = [expression]
        while waiting:
            node = waiting.pop()
            if isinstance(node, _QUERIES):
                self.query(node, named, scope, read_from=False)
            elif isinstance(node, exp.Column):
                if not resolve_column(node, scope, self.reading):
                    unknown.append(node)
            else:
                waiting.extend(node.iter_expressions(reverse=True))
        for column in unknown:
            settle_unknown(column, scope, self.reading)


def _renamed(entry: exp.Expr, columns: tuple[str, ...]) -> tuple[str, ...]:
    given = tuple(column.name for column in entry.args["alias"].columns)
    if given and len(given) != len(columns):
        raise _refused(entry, "sql.parse", f"`{entry.alias}` names {len(given)} columns, not all")
    if len({fold(column) for column in given}) != len(given):
        raise _refused(entry, "sql.ambiguous_column", f"`{entry.alias}` names two columns alike")
    return given or columns


def _check_compound_order(query: exp.Expr, columns: set[str]) -> None:
    """SQLite orders a compound by its results only: by number, or by name."""
    for term in query.args["order"].expressions:
        bare = ordered_name(term)
        whole = term.this.this if isinstance(term.this, exp.Collate) else term.this
        if bare is not None and fold(bare.name) not in columns:
            raise unknown_column(bare, Scope(None))
        if bare is None and not (isinstance(whole, exp.Literal) and not whole.is_string):
            raise _refused(term, "sql.node_not_allowed", "order a compound by a result's name")


def _refused(node: exp.Expr, code: str, problem: str) -> Objection:
    return Objection(code, problem, position=position(node))
