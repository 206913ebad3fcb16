"""How does a command speak: to a person in tables, to a program in JSON?

Law: recorded text reaches a terminal only cleaned. Errors go to standard error, name what
was wrong and how to mend it, and set an honest exit code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox_runtime.strict import Json

FAILED, USAGE, FAULT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Failure(Exception):  # noqa: N818 - an ending, with its exit code
    """A command ends here: what was wrong, how to mend it, and the exit code."""

    problem: str
    mend: str | None = None
    code: int = FAILED


class Output:
    """Where a command writes. With `json`, one JSON document on standard output."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(highlight=False, soft_wrap=True, stderr=True)

    def result(self, value: Json) -> None:
        """Write the command's result for a program. Silent towards a person."""
        if self.json:
            sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")

    def line(self, text: str) -> None:
        """Write a line of our own words for a person."""
        if not self.json:
            self._out.print(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write a table for a person; every cell is cleaned."""
        if self.json:
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(escape(printable(str(cell))) for cell in row))
        self._out.print(table)

    def note(self, text: str) -> None:
        """Write progress to standard error."""
        self._err.print(escape(text), style="dim")

    def fail(self, failure: Failure) -> NoReturn:
        """Write what was wrong and end."""
        if self.json:
            self.result({"error": failure.problem, "mend": failure.mend})
        self._err.print(f"[bold red]error[/]: {escape(printable(failure.problem))}")
        if failure.mend is not None:
            self._err.print(f"[bold]mend[/]: {escape(printable(failure.mend))}")
        sys.exit(failure.code)


def printable(text: str) -> str:
    """Return text of a stranger's making as a terminal may show it."""
    try:
        cleaned = check("model_text", text, {"max_chars": 1_000_000}).value
    except Objection as objection:
        return f"({objection.problem})"
    return cleaned if isinstance(cleaned, str) else ""
