"""How does a command speak: to a person in tables, to a program in JSON?

Law: recorded text reaches a terminal only cleaned, also inside JSON, where what cannot be
seen is escaped. With `--json` standard output holds one document, whatever happens. Errors
go to standard error, say what is wrong and how to mend it, and set an honest exit code.
"""

from __future__ import annotations

import json as jsons
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sandbox_runtime.destinations.model_text.characters import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox_runtime.strict import Json

FAILED, USAGE, FAULT = 1, 2, 3
_WIDE: Final = 1_000_000
"""Columns of a pipe or a file: what reads it folds its own lines."""


class Failure(Exception):  # noqa: N818 - an ending, with its exit code
    """A command ends here: what is wrong, how to mend it, and the exit code.

    `more` goes into the document for programs, beside `error` and `mend`.
    """

    def __init__(
        self,
        problem: str,
        mend: str | None = None,
        code: int = FAILED,
        more: Mapping[str, Json] | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem, self.mend, self.code, self.more = problem, mend, code, more or {}

    @property
    def document(self) -> dict[str, Json]:
        """What a program is told."""
        return {"error": self.problem, "mend": self.mend, **self.more}


class Output:
    """Where a command writes. With `json`, one JSON document on standard output."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._documented = False
        wide = None if sys.stdout.isatty() else _WIDE
        self._out = Console(highlight=False, emoji=False, soft_wrap=True, width=wide)
        self._err = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)

    def result(self, value: Json | Mapping[str, Any]) -> None:
        """Write the document for a program. Silent towards a person."""
        if self.json:
            self._document(document(value))

    def listing(self, name: str, values: Iterable[Mapping[str, Any]]) -> None:
        """Write a document of many values under one name, as they come.

        A `Failure` among them ends the list, and stands beside it.
        """
        self._document(f'{{"{name}": [', end="")
        failure = None
        try:
            for at, value in enumerate(values):
                sys.stdout.write(f"{',' if at else ''}\n{jsons.dumps(value)}")
        except Failure as met:
            failure = met
        rest = document(failure.document)[1:-2] if failure is not None else ""
        sys.stdout.write(f"\n]{',' if rest else ''}{rest}}}\n")
        if failure is not None:
            raise failure

    def stream(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Write a document a line, each as it comes: for a stream that may have no end.

        A `Failure` among them is the last line.
        """
        try:
            for value in values:
                self._document(jsons.dumps(value))
                sys.stdout.flush()
        except Failure as met:
            self._document(jsons.dumps(met.document))
            raise

    def line(self, text: str) -> None:
        """Write a line of our own words for a person, with markup."""
        if not self.json:
            self._out.print(text)

    def plain(self, text: str) -> None:
        """Write a line for a person as it stands; it is printable already."""
        if not self.json:
            sys.stdout.write(f"{text}\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write a table for a person, unless it is empty; every cell is cleaned."""
        cells = [[Text(printable(str(cell))) for cell in row] for row in rows]
        if self.json or not cells:
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in cells:
            table.add_row(*row)
        self._print(table)

    def heading(self, title: str) -> None:
        """Write a heading of our own for a person, after an empty line."""
        self.line(f"\n[bold]{escape(title)}[/]")

    def block(self, title: str, text: str) -> None:
        """Write a stranger's text under its title: cleaned, and set in from our own words."""
        self.line(f"[bold]{escape(title)}[/]")
        for line in printable(text).splitlines():
            self.plain(f"  {line}")

    def note(self, text: str) -> None:
        """Write progress to standard error."""
        self._err.print(Text(printable(text)), style="dim")

    def fail(self, failure: Failure) -> NoReturn:
        """Write what is wrong and end."""
        if not self._documented:
            self.result(failure.document)
        self._err.print(f"[bold red]error[/]: {escape(printable(failure.problem))}")
        if failure.mend:
            self._err.print(f"[bold]mend[/]: {escape(printable(failure.mend))}")
        sys.exit(failure.code)

    def _document(self, text: str, end: str = "\n") -> None:
        self._documented = True
        sys.stdout.write(text + end)

    def _print(self, table: Table) -> None:
        if self._out.is_terminal:
            self._out.print(table)
            return
        with self._out.capture() as kept:
            self._out.print(table)
        for line in kept.get().splitlines():
            self.plain(line.rstrip())


def document(value: object) -> str:
    """Return a value as JSON that people can read."""
    return visible(jsons.dumps(value, indent=2, ensure_ascii=False))


def visible(text: str) -> str:
    """Return JSON in which every character that cannot be seen is escaped. The same value."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        char if char == "\n" or char.isprintable() else jsons.dumps(char)[1:-1] for char in text
    )


def printable(text: str) -> str:
    """Return text of a stranger's making as a terminal may show it."""
    return cleaned(text)[0]
