"""Which shapes may a statement's tree have?

Law: every kind of node, and every slot of each, is on the list below, or the statement is
refused. What a later parser learns to read is refused until someone adds it here.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.dialects import Plus
from sandbox_runtime.destinations.sql.position import position
from sandbox_runtime.destinations.sql.precedence import check_operands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sandbox_runtime.destinations.sql.settings import SqlSettings

MAX_NODES: Final = 3000
MAX_TREE_DEPTH: Final = 250
"""Chains such as `a + b + c` nest one deeper with every link."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?")

_BINARY: Final = "this expression"
_TAIL: Final = "with_ order limit offset"

_WRITTEN: Mapping[type[exp.Expr], str] = {
    # Queries
    exp.Select: f"expressions from_ joins where group having windows distinct {_TAIL}",
    exp.Union: f"this expression distinct {_TAIL}",
    exp.Except: f"this expression distinct {_TAIL}",
    exp.Intersect: f"this expression distinct {_TAIL}",
    exp.Subquery: "this alias",
    exp.With: "expressions",
    exp.CTE: "this alias",
    exp.From: "this",
    exp.Join: "this side kind method on using",
    exp.Table: "this alias",
    exp.TableAlias: "this columns",
    exp.Where: "this",
    exp.Group: "expressions",
    exp.Having: "this",
    exp.Order: "expressions",
    exp.Ordered: "this desc nulls_first",
    exp.Limit: "expression",
    exp.Offset: "expression",
    exp.Distinct: "expressions",
    # Names and values
    exp.Alias: "this alias",
    exp.Column: "this table",
    exp.Identifier: "this quoted",
    exp.Star: "",
    exp.Literal: "this is_string",
    exp.Null: "",
    exp.Boolean: "this",
    exp.CurrentDate: "",
    exp.CurrentTime: "",
    exp.CurrentTimestamp: "",
    exp.Var: "this",
    # Calls
    exp.Anonymous: "this expressions",
    exp.Filter: "this expression",
    exp.Window: "this partition_by order spec alias over",
    exp.WindowSpec: "kind start start_side end end_side exclude",
    exp.Cast: "this to",
    exp.DataType: "this expressions nested",
    exp.DataTypeParam: "this",
    exp.Case: "this ifs default",
    exp.If: "this true",
    # Operators
    exp.Paren: "this",
    exp.Tuple: "expressions",
    exp.Not: "this",
    exp.Neg: "this",
    Plus: "this",
    exp.BitwiseNot: "this",
    exp.Exists: "this",
    exp.In: "this expressions query",
    exp.Between: "this low high",
    exp.Collate: _BINARY,
    exp.Escape: _BINARY,
    exp.Like: f"{_BINARY} negate",
    exp.Glob: f"{_BINARY} negate",
    exp.DPipe: f"{_BINARY} safe",
    exp.Div: f"{_BINARY} typed safe",
    exp.Add: _BINARY,
    exp.Sub: _BINARY,
    exp.Mul: _BINARY,
    exp.Mod: _BINARY,
    exp.And: _BINARY,
    exp.Or: _BINARY,
    exp.EQ: _BINARY,
    exp.NEQ: _BINARY,
    exp.GT: _BINARY,
    exp.GTE: _BINARY,
    exp.LT: _BINARY,
    exp.LTE: _BINARY,
    exp.Is: _BINARY,
    exp.NullSafeEQ: _BINARY,
    exp.NullSafeNEQ: _BINARY,
    exp.BitwiseAnd: _BINARY,
    exp.BitwiseOr: _BINARY,
    exp.BitwiseLeftShift: _BINARY,
    exp.BitwiseRightShift: _BINARY,
}
"""Kind of node to the slots that it may fill."""

_SLOTS: Mapping[type[exp.Expr], frozenset[str]] = MappingProxyType(
    {node: frozenset(slots.split()) for node, slots in _WRITTEN.items()}
)

_WORDS: Mapping[tuple[type[exp.Expr], str], frozenset[object]] = MappingProxyType(
    {
        (exp.Join, "side"): frozenset({"LEFT", "RIGHT", "FULL"}),
        (exp.Join, "kind"): frozenset({"INNER", "CROSS", "OUTER"}),
        (exp.Join, "method"): frozenset({"NATURAL"}),
        (exp.Window, "over"): frozenset({"OVER"}),
        (exp.WindowSpec, "kind"): frozenset({"ROWS", "RANGE", "GROUPS"}),
        (exp.WindowSpec, "start_side"): frozenset({"PRECEDING", "FOLLOWING"}),
        (exp.WindowSpec, "end_side"): frozenset({"PRECEDING", "FOLLOWING"}),
        (exp.WindowSpec, "start"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
        (exp.WindowSpec, "end"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
        (exp.DataType, "nested"): frozenset({False}),
    }
)
"""Slots that hold a word: which words."""

_QUERIES = (exp.Select, exp.SetOperation)


def check_grammar(root: exp.Expr, settings: SqlSettings) -> None:
    """Object to the first part of the tree that no list allows."""
    if not isinstance(root, _QUERIES):
        raise _refused(root, "sql.statement_not_allowed", "only SELECT is allowed")
    for node in _bounded(root):
        _check_slots(node)
        check_operands(node)
        if rule := _RULES.get(type(node)):
            rule(node, settings)


def check_size(root: exp.Expr) -> None:
    """Object to a tree that has grown too large since its grammar was checked."""
    for _ in _bounded(root):
        pass


def _bounded(root: exp.Expr) -> Iterator[exp.Expr]:
    """Yield every node, level by level, and object to too many of either."""
    count, level = 0, [root]
    for _ in range(MAX_TREE_DEPTH):
        count += len(level)
        if not level or count > MAX_NODES:
            break
        yield from level
        level = [child for node in level for child in node.iter_expressions()]
    if level:
        raise Objection("sql.too_complex", "the statement has too many parts, or nests too deep")


def _check_slots(node: exp.Expr) -> None:
    slots = _SLOTS.get(type(node))
    if slots is None:
        raise _refused(node, "sql.node_not_allowed", f"{_called(node)} is not allowed")
    for slot, held in node.args.items():
        if held is None or held == []:
            continue
        if slot not in slots or not _is_allowed_word(node, slot, held):
            raise _refused(
                node, "sql.node_not_allowed", f"this form of {_called(node)} is not allowed"
            )


def _is_allowed_word(node: exp.Expr, slot: str, held: object) -> bool:
    words = _WORDS.get((type(node), slot))
    if words is None or isinstance(held, exp.Expr):
        return True
    return (held.upper() if isinstance(held, str) else held) in words


def _function(node: exp.Expr, settings: SqlSettings) -> None:
    name = node.this
    if not isinstance(name, str):
        raise _refused(node, "sql.function_not_allowed", "a function's name takes no quotes")
    if name.lower() not in settings.callable_functions:
        raise Objection(
            "sql.function_not_allowed",
            f"the function `{name}` is not allowed",
            position=position(node),
            subject=name,
            hint="allowed: " + ", ".join(sorted(settings.callable_functions)),
        )


def _table(node: exp.Expr, _settings: SqlSettings) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise _refused(node, "sql.node_not_allowed", "only a table's name may be read from")
    alias = node.args.get("alias")
    if alias is not None and alias.columns:
        raise _refused(node, "sql.node_not_allowed", "a table's alias renames no columns")


def _subquery(node: exp.Expr, _settings: SqlSettings) -> None:
    if not isinstance(node.this, _QUERIES):
        raise _refused(node, "sql.node_not_allowed", "only a SELECT may stand in parentheses here")


def _operands(node: exp.Expr, _settings: SqlSettings) -> None:
    if not (isinstance(node.this, _QUERIES) and isinstance(node.expression, exp.Select)):
        raise _refused(node, "sql.node_not_allowed", "a part of a compound is a bare SELECT")
    if node.expression.args.get("with_") or _has_tail(node.expression):
        raise _refused(node, "sql.node_not_allowed", "WITH, ORDER BY, LIMIT belong to the whole")


def _has_tail(query: exp.Expr) -> bool:
    return any(query.args.get(slot) for slot in ("order", "limit", "offset"))


def _column(node: exp.Expr, _settings: SqlSettings) -> None:
    if isinstance(node.this, exp.Star) and not isinstance(node.parent, exp.Select):
        raise _refused(node, "sql.node_not_allowed", "`*` of a table stands only after SELECT")
    if not isinstance(node.this, exp.Identifier | exp.Star):
        raise _refused(node, "sql.node_not_allowed", "this column's name cannot be read")


def _star(node: exp.Expr, _settings: SqlSettings) -> None:
    parent = node.parent
    if isinstance(parent, exp.Anonymous):
        allowed = str(parent.this).lower() == "count" and len(parent.expressions) == 1
    else:
        allowed = isinstance(parent, exp.Select | exp.Column)
    if not allowed:
        raise _refused(node, "sql.node_not_allowed", "`*` stands only after SELECT and in count(*)")


def _select(node: exp.Expr, _settings: SqlSettings) -> None:
    if not node.expressions:
        raise _refused(node, "sql.parse", "nothing is selected")


def _literal(node: exp.Expr, _settings: SqlSettings) -> None:
    if not node.is_string and not _NUMBER.fullmatch(node.this):
        raise _refused(node, "sql.node_not_allowed", "this number cannot be read")


def _rows(node: exp.Expr, _settings: SqlSettings) -> None:
    value = node.expression
    if isinstance(node, exp.Limit) and isinstance(value, exp.Neg):
        value = value.this
    if not (isinstance(value, exp.Literal) and not value.is_string and value.this.isdigit()):
        raise _refused(node, "sql.limit_not_literal", "LIMIT and OFFSET take a plain number")
    if isinstance(node, exp.Offset) and node.parent and not node.parent.args.get("limit"):
        raise _refused(node, "sql.parse", "OFFSET stands after a LIMIT")


def _escape(node: exp.Expr, _settings: SqlSettings) -> None:
    value = node.expression
    if not (isinstance(value, exp.Literal) and value.is_string and len(value.this) == 1):
        raise _refused(node, "sql.node_not_allowed", "ESCAPE takes one character in quotes")


def _collate(node: exp.Expr, settings: SqlSettings) -> None:
    value = node.expression
    name = value.name.upper() if isinstance(value, exp.Var | exp.Column | exp.Identifier) else ""
    if name not in settings.engine.collations:
        allowed = ", ".join(sorted(settings.engine.collations))
        raise _refused(node, "sql.node_not_allowed", f"COLLATE takes one of {allowed}")
    value.replace(exp.Var(this=name))


def _word(node: exp.Expr, _settings: SqlSettings) -> None:
    """A bare word stands for a collation, which `_collate` checks, or closes a window frame."""
    excluded = node.arg_key == "exclude" and node.this in (
        "CURRENT ROW",
        "GROUP",
        "TIES",
        "NO OTHERS",
    )
    if not excluded and not isinstance(node.parent, exp.Collate):
        raise _refused(node, "sql.node_not_allowed", f"`{node.name}` cannot be read here")


def _type(node: exp.Expr, settings: SqlSettings) -> None:
    """Leave one word for all types of a kind, without a size: SQLite reads no size."""
    engine = settings.engine
    if node.this not in engine.types:
        allowed = {exp.DataType(this=kind).sql(engine.reader) for kind in engine.types.values()}
        raise Objection(
            "sql.type_not_allowed",
            f"a cast to {node.this.value} is not allowed",
            position=position(node),
            hint=f"allowed: {', '.join(sorted(allowed))}; for dates use date() or strftime()",
        )
    node.set("this", engine.types[node.this])
    node.set("expressions", None)


def _distinct(node: exp.Expr, _settings: SqlSettings) -> None:
    if node.expressions and not isinstance(node.parent, exp.Anonymous):
        raise _refused(node, "sql.node_not_allowed", "DISTINCT ON is not allowed")


_RULES: Mapping[type[exp.Expr], Callable[[exp.Expr, SqlSettings], None]] = MappingProxyType(
    {
        exp.Anonymous: _function,
        exp.Collate: _collate,
        exp.Column: _column,
        exp.DataType: _type,
        exp.Distinct: _distinct,
        exp.Escape: _escape,
        exp.CTE: _subquery,
        exp.Except: _operands,
        exp.Exists: _subquery,
        exp.Intersect: _operands,
        exp.Limit: _rows,
        exp.Literal: _literal,
        exp.Offset: _rows,
        exp.Select: _select,
        exp.Star: _star,
        exp.Subquery: _subquery,
        exp.Table: _table,
        exp.Union: _operands,
        exp.Var: _word,
    }
)


def _called(node: exp.Expr) -> str:
    """Return a word for the kind of node that a reader of SQL knows."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()


def _refused(node: exp.Expr, code: str, problem: str) -> Objection:
    return Objection(code, problem, position=position(node), subject=_called(node))
