"""How does a text become one tree, and a tree a text?

Law: whatever the parser or the printer does with hostile input, only a tree, a text, or an
`Objection` comes out of here.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.destinations.sql.dialects import SqlDialect

RECURSION_LIMIT: Final = 6000
"""Python frames that a statement of the greatest allowed depth may need. All of them are
frames of pure Python (3.11 keeps those off the C stack), so that this is safe."""


@contextmanager
def deep_enough() -> Iterator[None]:
    """Allow the recursion that the greatest allowed statement needs, and no more."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def parse(text: str, engine: SqlDialect) -> exp.Expr:
    """Return the tree of the one statement that `text` holds."""
    try:
        trees = sqlglot.parse(text, read=engine.reader, error_level=ErrorLevel.IMMEDIATE)
    except RecursionError as error:
        raise Objection("sql.too_complex", "the statement nests too deep") from error
    except ParseError as error:
        raise Objection(
            "sql.parse", "the statement cannot be read", position=_position(error)
        ) from error
    # The parser is not ours, and fails on odd input in ways that nobody listed.
    except Exception as error:
        raise Objection("sql.parse", "the statement cannot be read") from error
    statements = [
        tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)
    ]
    if len(statements) != 1:
        raise Objection("sql.not_one_statement", f"there are {len(statements)} statements, not one")
    return _left_to_right(statements[0])


def _left_to_right(root: exp.Expr) -> exp.Expr:
    """Take out the parentheses that the parser writes where INTERSECT follows another.

    Its other dialects need them. SQLite takes compounds from left to right, and knows no
    parentheses there.
    """
    for compound in list(root.find_all(exp.SetOperation)):
        if _is_bare_compound(compound.this):
            compound.set("this", compound.this.this)
    return root


def _is_bare_compound(node: exp.Expr) -> bool:
    """Whether a compound stands in parentheses to which nothing else belongs."""
    rest = [held for slot, held in node.args.items() if slot != "this" and held]
    return isinstance(node, exp.Subquery) and isinstance(node.this, exp.SetOperation) and not rest


def printed(root: exp.Expr, engine: SqlDialect, *, quoted: bool = True) -> str:
    """Return the text of a tree. It holds no comment, and quotes every name if asked to."""
    try:
        text: str = root.sql(
            engine.reader,
            copy=False,
            identify=quoted,
            comments=False,
            normalize_functions=False,
            unsupported_level=ErrorLevel.RAISE,
        )
    except RecursionError as error:
        raise Objection("sql.too_complex", "the statement nests too deep") from error
    # As above: the printer is not ours.
    except Exception as error:
        raise Objection("sql.not_confirmed", "the statement cannot be written") from error
    return text


def _position(error: ParseError) -> tuple[int, int] | None:
    first = error.errors[0] if error.errors else {}
    line, column = first.get("line"), first.get("col")
    return (line, column) if isinstance(line, int) and isinstance(column, int) else None
