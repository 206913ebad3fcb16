"""Which tokens does a database see in a text?

Law: this reading is SQLite's own (tokenize.c), and shares nothing with the parser that
builds the tree. It is used twice: before parsing, to bound what the parser is given, and
after printing, to read once more what leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal[
    "space", "comment", "text", "quoted", "blob", "number", "word", "variable", "sign", "broken"
]

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\f\r]+)
    | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<blob>[xX]'[0-9a-fA-F]*')
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
        (?![A-Za-z0-9_$\x80-\U0010ffff]))
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<variable>[?:@\#$][A-Za-z0-9_$:]*)
    | (?P<sign>->>|->|\|\||<<|>>|<=|>=|<>|==|!=|[-+*/%&|~<>=(),.;])
    | (?P<broken>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token, as it is written. `start` counts characters from 0."""

    kind: str
    text: str
    start: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words, given in capitals, outside of quotes."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """What stands between the quotes of a quoted identifier."""
        return self.text[1:-1].replace(self.text[-1] * 2, self.text[-1])


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`, spaces and comments included."""
    for match in _TOKEN.finditer(text):
        yield Token(match.lastgroup or "broken", match.group(), match.start())


def place(text: str, start: int) -> tuple[int, int]:
    """Return the line and column, from 1, of the character at `start`."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
