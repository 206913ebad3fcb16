"""What are the results of a SELECT called?

Law: every result has a name that is printed with it, so that what the database makes up
for an unnamed one (which is not documented, and would show our rewriting) is never seen.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.columns import listed, name
from sandbox_runtime.destinations.sql.position import position
from sandbox_runtime.destinations.sql.settings import fold
from sandbox_runtime.destinations.sql.statement import printed

if TYPE_CHECKING:
    from sandbox_runtime.destinations.sql.reading import Reading
    from sandbox_runtime.destinations.sql.scope import Scope, Source

_NUMBERED: Final = re.compile(r"(?<=.):[0-9]*\Z", re.DOTALL)

MAX_NAME: Final = 120
"""Characters of the name that an unnamed expression gets."""


def given_names(select: exp.Expr) -> frozenset[str]:
    """Return the folded names that the SELECT itself gives to results."""
    return frozenset(fold(item.alias) for item in select.expressions if isinstance(item, exp.Alias))


def names_of(select: exp.Expr) -> tuple[str, ...]:
    """Return the results' names; empty for one that has none."""
    return tuple(item.alias_or_name for item in select.expressions)


def spell_out_stars(select: exp.Expr, scope: Scope, reading: Reading) -> None:
    """Put columns where `*` and `t.*` stand.

    To SQLite such a column carries its name as if it were given: where another result is
    given the same, an ORDER BY means the first. So there the name is written down.
    """
    given = given_names(select)
    items: list[exp.Expr] = []
    for item in select.expressions:
        columns = _columns(item, scope, reading)
        items.extend([item] if columns is None else [_named(each, given) for each in columns])
    if any(item.is_star for item in select.expressions):
        reading.note("the columns of * were spelled out")
        select.set("expressions", items)


def name_results(select: exp.Expr, reading: Reading) -> None:
    """Name every unnamed expression by its own text, as SQLite does."""
    for item in list(select.expressions):
        if not isinstance(item, exp.Alias | exp.Column | exp.Star):
            text = printed(item.copy(), reading.settings.engine, quoted=False)
            item.replace(exp.Alias(this=item.copy(), alias=name(text[:MAX_NAME])))


def name_apart(select: exp.Expr) -> None:
    """Number results of one name, as SQLite does for a query that is read from."""
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    for item in list(select.expressions):
        called = item.alias_or_name
        free = _free(called, taken, numbers)
        taken.add(fold(free))
        if free != called:
            item.replace(exp.Alias(this=item.unalias().copy(), alias=name(free)))
        if isinstance(item, exp.Alias):
            renamed.setdefault(fold(called), free)
    _follow(select, {old: new for old, new in renamed.items() if old != fold(new)})


def _follow(select: exp.Expr, renamed: dict[str, str]) -> None:
    """Let an ORDER BY that means a result by its name mean the same result still."""
    order = select.args.get("order")
    for term in order.expressions if order and renamed else []:
        bare = ordered_name(term)
        if bare is not None and fold(bare.name) in renamed:
            bare.set("this", name(renamed[fold(bare.name)]))


def ordered_name(term: exp.Expr) -> exp.Column | None:
    """Return the whole of an ORDER BY term, if it is a name without a table's."""
    bare = term.this.this if isinstance(term.this, exp.Collate) else term.this
    is_bare = isinstance(bare, exp.Column) and bare.args.get("table") is None
    return bare if is_bare else None


def _free(wanted: str, taken: set[str], numbers: Counter[str]) -> str:
    """Return the name, or its beginning with the next number (select.c, ColumnsFromExprList)."""
    free, stem = wanted, _NUMBERED.sub("", wanted)
    while fold(free) in taken:
        numbers[fold(stem)] += 1
        free = f"{stem}:{numbers[fold(stem)]}"
    return free


def _named(column: exp.Expr, given: frozenset[str]) -> exp.Expr:
    if fold(column.name) not in given:
        return column
    return exp.Alias(this=column, alias=name(column.name))


def _columns(item: exp.Expr, scope: Scope, reading: Reading) -> list[exp.Expr] | None:
    """Return the columns that a `*` stands for; None if the item is no `*`."""
    if isinstance(item, exp.Star):
        return _all_columns(item, scope, reading)
    if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
        return _columns_of(item, scope, reading)
    return None


def _all_columns(star: exp.Expr, scope: Scope, reading: Reading) -> list[exp.Expr]:
    if not scope.sources:
        raise Objection("sql.parse", "`*` needs a FROM", position=position(star))
    reading.spell(sum(len(source.columns) for source in scope.sources))
    items: list[exp.Expr] = []
    for source in scope.sources:
        for column in source.columns:
            reading.use(source, column)
            if not scope.is_merged(source, fold(column)):
                bare = scope.is_shared(fold(column))
                items.append(exp.Column(this=name(column)) if bare else _column(source, column))
    return items


def _columns_of(star: exp.Column, scope: Scope, reading: Reading) -> list[exp.Expr]:
    source = next((s for s in scope.sources if fold(s.alias) == fold(star.table)), None)
    if source is None:
        raise Objection(
            "sql.table_not_granted",
            f"there is no table or alias `{star.table}` here",
            position=position(star),
            subject=star.table,
            hint="here: " + listed([s.alias for s in scope.sources]),
        )
    reading.spell(len(source.columns))
    for column in source.columns:
        reading.use(source, column)
    return [_column(source, column) for column in source.columns]


def _column(source: Source, column: str) -> exp.Column:
    return exp.Column(this=name(column), table=name(source.alias))
