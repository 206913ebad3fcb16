"""Which column does a name in an expression mean?

Law: a column is written back with the alias of its source, so that the database cannot
take it for another, nor (as SQLite does with a quoted name that it does not know) for a
text. A quoted name that is no column is a text only where a text must stand: compared with
something that is not itself a constant. Elsewhere it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.position import position
from sandbox_runtime.destinations.sql.settings import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.destinations.sql.reading import Reading
    from sandbox_runtime.destinations.sql.scope import Scope, Source

_COMPARISONS: Final = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.In, exp.Between, exp.Like, exp.Glob,
)  # fmt: skip
_MAX_LISTED: Final = 40


def name(spelling: str) -> exp.Identifier:
    """Return `spelling` as it is printed: quoted, always."""
    return exp.Identifier(this=spelling, quoted=True)


def resolve_column(column: exp.Column, scope: Scope, reading: Reading) -> bool:
    """Write the column's source to it; False if there is no such column."""
    if column.args.get("table") is not None:
        _resolve_qualified(column, scope, reading)
        return True
    for around in scope.around():
        holding = around.holding(column.name)
        if len(holding) > 1:
            raise _ambiguous(column, holding)
        if holding:
            _write(column, holding[0], reading, bare=around.is_shared(fold(column.name)))
            return True
        if fold(column.name) in around.results:
            return True
    return False


def settle_unknown(column: exp.Column, scope: Scope, reading: Reading) -> None:
    """Make a text of a name that is no column, where SQLite would and a text must stand."""
    if not (is_double_quoted(column, reading.text) and _must_be_text(column, reading)):
        raise unknown_column(column, scope)
    reading.note(f"the quoted `{column.name}` names no column and was read as a text")
    column.replace(exp.Literal.string(column.name))


def is_double_quoted(column: exp.Column, text: str) -> bool:
    """Whether an unresolved name stands in the quotes that SQLite also takes for a text's."""
    start = (column.this._meta or {}).get("start")  # noqa: SLF001 - `meta` would make one
    return isinstance(start, int) and text[start : start + 1] == '"'


def unknown_column(column: exp.Column, scope: Scope) -> Objection:
    """Say that a column is not there, and which are."""
    visible = [
        f"{source.alias}.{known}"
        for around in scope.around()
        for source in around.sources
        for known in source.columns
    ]
    return Objection(
        "sql.column_not_granted",
        f"there is no column `{column.name}` here",
        position=position(column),
        subject=column.name,
        hint="columns: " + listed(visible),
    )


def listed(names: list[str]) -> str:
    """Return names as a hint, cut where it grows too long to be one."""
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "") or "none"


def _resolve_qualified(column: exp.Column, scope: Scope, reading: Reading) -> None:
    called = scope.called(column.table)
    if not called:
        raise Objection(
            "sql.table_not_granted",
            f"there is no table or alias `{column.table}` here",
            position=position(column),
            subject=column.table,
            hint="here: " + listed([s.alias for around in scope.around() for s in around.sources]),
        )
    source = next((s for s in called if s.spelling(column.name) is not None), None)
    if source is None:
        raise unknown_column(column, scope)
    _write(column, source, reading, bare=False)


def _write(column: exp.Column, source: Source, reading: Reading, *, bare: bool) -> None:
    """Spell the column as its source does, with the source's alias if it is not `bare`."""
    spelling = source.folded[fold(column.name)]
    reading.use(source, spelling)
    column.set("this", name(spelling))
    column.set("table", None if bare else name(source.alias))


def _ambiguous(column: exp.Column, holding: list[Source]) -> Objection:
    return Objection(
        "sql.ambiguous_column",
        f"`{column.name}` stands in several tables",
        position=position(column),
        subject=column.name,
        hint="write " + " or ".join(f"{source.alias}.{column.name}" for source in holding),
    )


def _must_be_text(column: exp.Column, reading: Reading) -> bool:
    comparison = column.parent
    if not isinstance(comparison, _COMPARISONS):
        return False
    operands: Iterator[exp.Expr] = comparison.iter_expressions()
    return any(_varies(part, reading.text) for part in operands if part is not column)


def _varies(part: exp.Expr, text: str) -> bool:
    """Whether a column stands in `part` that is not another unknown quoted name."""
    return any(not is_double_quoted(known, text) for known in part.find_all(exp.Column))
