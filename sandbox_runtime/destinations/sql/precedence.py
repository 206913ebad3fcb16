"""Does the database take the operands together as the tree does?

Law: a part that stands bare beside an operator binds tighter than it, by SQLite's own table
(parse.y). The parser's table differs, and it writes `x NOT IN y` as `NOT x IN y`; beside a
looser operator the printed text would say something else, so such a part is refused until
it is put in parentheses.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.dialects import WRITTEN, Plus
from sandbox_runtime.destinations.sql.position import position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOOSE_TO_TIGHT: Final[tuple[tuple[type[exp.Expr], ...], ...]] = (
    (exp.Or,),
    (exp.And,),
    (exp.Not,),
    (
        exp.EQ, exp.NEQ, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between,
        exp.Like, exp.Glob, exp.Escape,
    ),
    (exp.GT, exp.GTE, exp.LT, exp.LTE),
    (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift),
    (exp.Add, exp.Sub),
    (exp.Mul, exp.Div, exp.Mod),
    (exp.DPipe,),
    (exp.Collate,),
    (exp.Neg, exp.BitwiseNot, Plus),
)  # fmt: skip

_LEVEL: Mapping[type[exp.Expr], int] = MappingProxyType(
    {kind: level for level, kinds in enumerate(_LOOSE_TO_TIGHT) for kind in kinds}
)
_CLOSED: Final = len(_LOOSE_TO_TIGHT)
"""The level of whatever brings its own ends: names, values, calls, parentheses."""

_FLAT: Final = (exp.And, exp.Or)
"""Operators for which it does not matter how a chain of them is taken together."""


def check_operands(node: exp.Expr) -> None:
    """Object if an operand of `node` is looser than `node` lets it be."""
    own = _LEVEL.get(type(node))
    if own is None:
        return
    if _level(node.this) < own or any(
        _level(_as_written(operand)) < least for operand, least in _right_of(node, own)
    ):
        raise Objection(
            "sql.unclear",
            "it is not certain what belongs together here",
            position=position(node),
            hint="put parentheses around what belongs together",
        )


def _right_of(node: exp.Expr, own: int) -> Iterator[tuple[object, int]]:
    """Yield what stands bare to the right, and the loosest level that it may have."""
    if isinstance(node, exp.Between):
        yield node.args["low"], _LEVEL[exp.Not]
        yield node.args["high"], own + 1
    elif isinstance(node, exp.Binary) and not isinstance(node, exp.Escape):
        yield node.expression, own if isinstance(node, _FLAT) else own + 1


def _as_written(operand: object) -> object:
    """Look through parentheses that the parser put where it took too much to the right."""
    while isinstance(operand, exp.Paren) and WRITTEN not in operand.meta:
        operand = operand.this
    return operand


def _level(operand: object) -> int:
    return _LEVEL.get(type(operand), _CLOSED)  # type: ignore[arg-type]
