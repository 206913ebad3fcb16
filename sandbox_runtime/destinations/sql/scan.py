"""May this text be given to a parser at all?

Law: what is refused here needs no understanding: it is too much, it nests too deep, or it
holds characters that two readers may take for different things.
"""

from __future__ import annotations

import re
from typing import Final

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.sql.lexis import Token, place, tokens

MAX_BYTES: Final = 32 * 1024
MAX_TOKENS: Final = 12_000
MAX_DEPTH: Final = 40
MAX_PREFIXES: Final = 4
"""How many of `NOT`, `-`, `+`, `~` may stand in front of one operand."""
MAX_NAME: Final = 256

# Everything Unicode calls a control, a format, a separator other than the plain space, or
# a surrogate, and the fillers that show nothing. Tab and the line ends stay.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5"
    r"\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ud800-\udfff"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]"
)


def scan(text: str) -> None:
    """Object to a text that no parser should see. Linear in its length."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise Objection("sql.too_long", f"the statement is longer than {MAX_BYTES} bytes")
    if unseen := _UNSEEN.search(text):
        raise Objection(
            "sql.control_character",
            f"the statement holds the character U+{ord(unseen.group()):04X}",
            position=place(text, unseen.start()),
            hint="write plain spaces and visible characters only",
        )
    _scan_tokens(text)


def _scan_tokens(text: str) -> None:
    count = depth = prefixes = 0
    ended = False
    for token in tokens(text):
        _must_be_plain(text, token)
        if token.kind in ("space", "comment"):
            continue
        _must_be_one_query(text, token, is_first=count == 0, ended=ended)
        ended = ended or token.text == ";"
        count += 1
        depth = max(0, depth + _opens(token))
        prefixes = prefixes + 1 if _is_prefix(token) else 0
        if count > MAX_TOKENS or depth > MAX_DEPTH or prefixes > MAX_PREFIXES:
            raise Objection(
                "sql.too_complex",
                "the statement has too many parts, or nests too deep",
                position=place(text, token.start),
                hint=f"at most {MAX_TOKENS} words and signs, nested at most {MAX_DEPTH} deep",
            )


def _must_be_plain(text: str, token: Token) -> None:
    """Refuse comments that some engines run, quotes that never close, and endless names."""
    if token.kind == "comment" and token.text.startswith(("/*!", "/*M!", "/*m!", "/*+")):
        problem, code = "the statement holds a comment that some databases run", "sql.comment"
    elif token.kind == "broken":
        problem, code = f"`{token.text}` cannot be read here", "sql.parse"
    elif token.kind in ("word", "quoted") and len(token.text) > MAX_NAME:
        problem, code = f"a name is longer than {MAX_NAME} characters", "sql.parse"
    elif token.kind == "word" and _folds_to_ascii(token.text):
        problem, code = f"`{token.text}` can be taken for another word; quote it", "sql.parse"
    else:
        return
    raise Objection(code, problem, position=place(text, token.start))


def _folds_to_ascii(word: str) -> bool:
    """Whether a reader that ignores case in all of Unicode sees plain letters: \u017felect."""
    return not word.isascii() and (word.upper().isascii() or word.lower().isascii())


def _must_be_one_query(text: str, token: Token, *, is_first: bool, ended: bool) -> None:
    """Refuse by the first word what can be no query: the parser would not even parse it."""
    if ended and token.text != ";":
        problem, code = "there is more than one statement", "sql.not_one_statement"
    elif is_first and not token.is_word("SELECT", "WITH"):
        problem, code = "only SELECT is allowed", "sql.statement_not_allowed"
    else:
        return
    raise Objection(code, problem, position=place(text, token.start))


def _opens(token: Token) -> int:
    if token.text == "(" or token.is_word("CASE"):
        return 1
    return -1 if token.text == ")" or token.is_word("END") else 0


def _is_prefix(token: Token) -> bool:
    return token.text in ("-", "+", "~") or token.is_word("NOT")
