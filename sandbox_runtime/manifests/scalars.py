"""What does an unquoted word in YAML mean?

Law: only what every reader of YAML agrees on has a meaning. `true`, `false`, `null` and
decimal numbers are themselves; a word that some version of YAML reads as other than its
text is refused; every other word is text.

Sources: YAML 1.1 type repository (bool, float, int, merge, null, timestamp, value);
YAML 1.2.2, section 10.3 (core schema).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

_LITERALS: dict[str, Json] = {"true": True, "false": False, "null": None}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_MOST_DIGITS = 15
"""Point included; a longer number is not the same to every reader (RFC 7493, 2.2)."""

_TRUTH = "quote it to mean text, or write `{}`"
_NUMBER = "quote it to mean text, or write the number in plain decimal digits"

_AMBIGUOUS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"(?i:y|yes|true|on)"), "true", _TRUTH.format("true")),
    (re.compile(r"(?i:n|no|false|off)"), "false", _TRUTH.format("false")),
    (re.compile(r"~|(?i:null)"), "null", "quote it to mean text, or leave the key out"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number", _NUMBER),
    (re.compile(r"[-+]?0o?[0-7_]+"), "an octal number", _NUMBER),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), "a hexadecimal number", _NUMBER),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"),
        "a number of base 60",
        _NUMBER,
    ),
    (
        re.compile(r"[-+]?(?:[0-9][0-9_]*\.?|\.[0-9])[0-9_]*(?:[eE][-+]?[0-9]+)?"),
        "a number",
        _NUMBER,
    ),
    (re.compile(r"[-+]?\.(?i:inf)|\.(?i:nan)"), "a number that is none", "quote it to mean text"),
    (
        re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?"),
        "a timestamp",
        "quote it to mean text",
    ),
    (re.compile(r"="), "a default value", "quote it to mean text"),
    (re.compile(r"<<"), "a merge key", "write out what it would merge"),
)


class Ambiguous(ValueError):  # noqa: N818 - a finding about a word, not a fault
    """Readers of YAML disagree on the word. `mend` says how to write what was meant."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.problem, self.mend = problem, mend


def plain(word: str) -> Json:
    """Return what an unquoted `word` means; raise `Ambiguous` where readers differ."""
    if word in _LITERALS:
        return _LITERALS[word]
    if _INTEGER.fullmatch(word) or _DECIMAL.fullmatch(word):
        return _number(word)
    for pattern, reading, mend in _AMBIGUOUS:
        if pattern.fullmatch(word):
            problem = f"is {reading} to some readers of YAML and text to others"
            raise Ambiguous(problem, mend)
    return word


def _number(word: str) -> int | float:
    if len(word.removeprefix("-")) > _MOST_DIGITS:
        problem = f"is a number of more than {_MOST_DIGITS} digits"
        raise Ambiguous(problem, "quote it to mean text, or write fewer digits")
    return int(word) if _INTEGER.fullmatch(word) else float(word)
