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
_BLOCK = re.compile(r"^```([a-z]+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"# ([a-z_./-]+\.yaml)\n")
_ENDLESS = frozenset({"--follow", "-f"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One line of a `console` block that begins with `$ sandbox-broker`."""

    line: str
    words: tuple[str, ...]
    """What follows the command's name, without what would make it never end."""
    exits: int
    """As a comment at its end says: `# exits 1`; 0 where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A `yaml` block whose first line is a file's name: `# call.yaml`."""

    name: str
    text: str


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return [text for spoken, text in _BLOCK.findall(page.read_text()) if spoken == language]


def steps(page: Path) -> list[Command | File]:
    """Return what the page's reader writes and types, in order."""
    found: list[Command | File] = []
    for language, text in _BLOCK.findall(page.read_text()):
        if language == "console":
            found.extend(_commands(text))
        elif language == "yaml" and (named := _NAMED.match(text)) is not None:
            found.append(File(name=named[1], text=text))
    return found


def _commands(console: str) -> list[Command]:
    """Return what a `console` block says after a `$ `; a line may be continued."""
    lines = console.replace("\\\n", " ").splitlines()
    return [_command(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]


def _command(line: str) -> Command:
    words = shlex.split(line, comments=True)
    assert words[0] == "sandbox-broker", f"only our own command can be run: {line}"
    exits = _EXITS.search(line)
    return Command(
        line=line,
        words=tuple(word for word in words[1:] if word not in _ENDLESS),
        exits=int(exits[1]) if exits is not None else 0,
    )
