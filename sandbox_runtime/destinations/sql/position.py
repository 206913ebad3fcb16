"""Where in the text does a part of the tree stand?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


def position(node: exp.Expr) -> tuple[int, int] | None:
    """Return the line and column of the first part of `node` that knows its place."""
    for part in node.walk(bfs=False):
        meta = part._meta  # noqa: SLF001 - `meta` would make one
        if meta and "line" in meta and "start" in meta:
            return meta["line"], max(1, meta["col"] - (meta["end"] - meta["start"]))
    return None
