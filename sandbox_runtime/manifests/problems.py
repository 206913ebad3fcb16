"""What is wrong with a manifest, where, and what mends it?

Law: a problem names its file, line and column, and is told in one line of printable
text, whatever the manifest holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox_runtime.strict import Json

Where = tuple[str | int, ...]
"""A path into a document: `("spec", "grants", 0, "tool")`."""

_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem that knows its path in the document and not yet its line."""

    where: Where
    message: str
    expected: str = ""
    mend: str = ""
    on_key: bool = False
    """Points at the key when true, at what stands behind it otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing to mend. Lines and columns count from 1; columns count characters.

    Line 0: `file` is no file, and has no lines; a variable of the environment, for one.
    """

    file: str
    line: int
    column: int
    message: str
    """What is wrong, what was expected included: lower case, no full stop."""
    expected: str = ""
    """What may stand there, where that can be said in a phrase."""
    mend: str = ""
    """What to do about it, where that is known."""

    def __str__(self) -> str:
        mend = f"; {self.mend}" if self.mend else ""
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{printable(self.file)}{place}: {self.message}{mend}"


class ManifestErrors(Exception):  # noqa: N818 - carries them all, and is named for that
    """The manifests do not load. All their problems, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def printable(text: str) -> str:
    """Return the text with everything a terminal might act on written as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quoted(text: str) -> str:
    """Return user input as a message may hold it: in backticks, printable, not too long."""
    short = text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 1]}…"
    return f"`{printable(short).replace('`', chr(0x27))}`"


def listed(names: Iterable[str], last: str = "or") -> str:
    """Return the names as English lists them: `a`, `b` or `c`."""
    each = [quoted(name) for name in names]
    return f" {last} ".join(filter(None, (", ".join(each[:-1]), *each[-1:])))


def shown(value: Json) -> str:
    """Return what a value is, in words: the string `five`, the integer `5`, a mapping."""
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return f"the string {quoted(value)}"
        case None | bool():
            return f"`{'null' if value is None else str(value).lower()}`"
        case _:
            return f"the {'integer' if isinstance(value, int) else 'number'} `{value}`"


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the mend for a name that is not known, empty where nothing comes near."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {quoted(near[0])}?" if near else ""


def one_of(known: Sequence[str], most: int = 12) -> str:
    """Return `expected` for a choice among names; empty where there are too many or none."""
    return listed(known) if 0 < len(known) <= most else ""
