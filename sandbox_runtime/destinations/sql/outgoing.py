"""Is the text that leaves the one that was checked?

Law: the printed text is read twice more before it may leave. Parsed again, it gives the
tree that it was printed from. Token by token, read as the database reads it, it calls only
allowed functions, and reads only granted tables and its own queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.lexis import Token, tokens
from sandbox_runtime.destinations.sql.settings import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.destinations.sql.settings import SqlSettings

_KEYWORDS: Final = """
    ALL AND AS ASC BETWEEN BY CASE CAST COLLATE CROSS CURRENT CURRENT_DATE CURRENT_TIME
    CURRENT_TIMESTAMP DESC DISTINCT ELSE END ESCAPE EXCEPT EXCLUDE EXISTS FALSE FILTER FIRST
    FOLLOWING FROM FULL GLOB GROUP GROUPS HAVING IN INNER INTEGER INTERSECT IS JOIN LAST LEFT
    LIKE LIMIT NATURAL NO NOT NULL NULLS NUMERIC OFFSET ON OR ORDER OTHERS OUTER OVER
    PARTITION PRECEDING RANGE REAL RIGHT ROW ROWS SELECT TEXT THEN TIES TRUE UNBOUNDED UNION
    USING WHEN WHERE WINDOW WITH
    """
_WORDS: Final = frozenset(_KEYWORDS.split())
_KINDS: Final = frozenset({"text", "quoted", "number", "word", "sign"})
_END: Final = Token("sign", ";", 0)


def same(one: exp.Expr, other: exp.Expr) -> bool:
    """Whether two trees are equal, letter by letter. Comments and places do not count.

    A slot that is empty, false or missing says the same.
    """
    waiting: list[tuple[object, object]] = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if isinstance(left, exp.Expr) and isinstance(right, exp.Expr):
            if type(left) is not type(right):
                return False
            mine, yours = left.args, right.args
            slots = mine if mine.keys() == yours.keys() else mine.keys() | yours.keys()
            waiting.extend((mine.get(slot) or None, yours.get(slot) or None) for slot in slots)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            waiting.extend(zip(left, right, strict=True))
        elif left != right:
            return False
    return True


def confirm_tokens(text: str, root: exp.Expr, settings: SqlSettings) -> None:
    """Object if the printed text says anything that no list allows."""
    queries = frozenset(fold(entry.alias) for entry in root.find_all(exp.CTE))
    seen = [token for token in tokens(text) if token.kind != "space"]
    padded = [*seen, _END, _END, _END]
    for place, token in enumerate(seen):
        after = padded[place + 1 : place + 4]
        if not _is_plain(token) or (
            token.kind == "word" and not _is_allowed_word(token, after, queries, settings)
        ):
            raise unconfirmed()


def unconfirmed() -> Objection:
    """Say that what was printed is not what was checked."""
    return Objection(
        "sql.not_confirmed",
        "the statement cannot be written so that its meaning is certain",
        hint="write it more simply",
    )


def _is_plain(token: Token) -> bool:
    """No comment, variable, blob, other statement, nor a foreign kind of quotes."""
    if token.kind == "quoted":
        return token.text[0] == '"'
    return token.kind in _KINDS and token.text != ";"


def _is_allowed_word(
    token: Token, after: Sequence[Token], queries: frozenset[str], settings: SqlSettings
) -> bool:
    word = token.text.upper()
    if word in ("FROM", "JOIN"):
        return after[0].text == "(" or _is_allowed_read(after, queries, settings)
    if word == "IN":
        return after[0].text == "("
    if word in _WORDS or word in settings.engine.collations:
        return True
    # INVARIANT (our own call): row filters compare within one type, by `typeof`.
    allowed = token.text.lower() in settings.callable_functions or token.text == "typeof"
    return allowed and after[0].text == "("


def _is_allowed_read(
    after: Sequence[Token], queries: frozenset[str], settings: SqlSettings
) -> bool:
    """A granted table under the main schema, or a query that the statement defines."""
    first, dot, second = after
    if first.kind != "quoted":
        return False
    if dot.text != ".":
        return fold(first.name) in queries
    is_main = first.name == settings.engine.main_schema and second.kind == "quoted"
    return is_main and second.name in (settings.tables or {})
