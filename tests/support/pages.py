"""What a page of the documentation tells its reader to type."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TASK = "t-bd14fa581ba246ac"
"""The task that pages speak of. A test puts a real one in its place."""

_EXITS = re.compile(r"# exits (\d)$")
_ENDLESS = frozenset({"--follow", "-f"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One line of a `console` block that begins with `$ sandbox-broker`."""

    line: str
    words: tuple[str, ...]
    """What follows the command's name, without what would make it never end."""
    exits: int
    """As a comment at its end says: `# exits 1`; 0 where none does."""


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[Command]:
    """Return what the page's `console` blocks say after a `$ `; a line may be continued."""
    text = "".join(blocks(page, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [_command(line) for line in lines]


def _command(line: str) -> Command:
    words = shlex.split(line, comments=True)
    assert words[0] == "sandbox-broker", f"only our own command can be run: {line}"
    exits = _EXITS.search(line)
    return Command(
        line=line,
        words=tuple(word for word in words[1:] if word not in _ENDLESS),
        exits=int(exits[1]) if exits is not None else 0,
    )
