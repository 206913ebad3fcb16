"""May this table go to a spreadsheet, and as what?

Law: the text that leaves is printed from the cells that were read. What a spreadsheet would
run becomes a text or is refused, as the settings say; numbers stay numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.destinations.csv import table
from sandbox_runtime.destinations.csv.formulas import as_text, is_directive, is_formula
from sandbox_runtime.destinations.csv.settings import CsvSettings, narrow
from sandbox_runtime.destinations.model_text.characters import cleaned

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json, Strict

_FORMULAS, _INVISIBLE = (
    "cells that a spreadsheet would run, made texts by an apostrophe",
    "invisible and control characters taken out",
)


class Csv:
    """The destination `csv`: comma-separated values for a spreadsheet."""

    kind: ClassVar[str] = "csv"
    settings: ClassVar[type[Strict]] = CsvSettings

    def narrow(self, tool: CsvSettings, grant: CsvSettings) -> CsvSettings:
        """Return what tool and grant both allow, or raise `Widens`."""
        return narrow(tool, grant)

    def normalise(self, value: Json, settings: CsvSettings) -> Json:
        """Return the table in its one spelling, without formulas."""
        return self.check(value, settings).value

    def confine(self, normal: Json, settings: CsvSettings) -> Accepted:
        """Return `normal` with what is true of it: a table has nothing to put in."""
        return self.check(normal, settings)

    def check(self, value: Json, settings: CsvSettings) -> Accepted:
        """Return the table as it may leave, its size, and what was changed."""
        text = _sized(value, settings).removeprefix("\ufeff")
        rows = table.read(text, settings)
        changed: Counter[str] = Counter()
        left = [
            [_cell(cell, (line, column), settings, changed) for column, cell in enumerate(row, 1)]
            for line, row in enumerate(rows, 1)
        ]
        written = _sized(table.written(left), settings)
        facts: dict[str, Json] = {
            "bytes": len(written.encode()),
            "rows": len(left),
            "columns": len(left[0]) if left else 0,
            "formulas": changed[_FORMULAS],
        }
        return Accepted(value=written, facts=facts, changes=_changes(value, written, changed))

    def describe(self, settings: CsvSettings) -> dict[str, Json]:
        """Return the form and the sizes."""
        rows, columns = settings.most("max_rows"), settings.most("max_columns")
        formulas = "refused" if settings.formulas == "refuse" else "written as texts"
        return {
            "description": f"CSV (RFC 4180) of at most {rows} rows, {columns} columns and "
            f"{settings.most('max_bytes')} bytes. Formulas are {formulas}."
        }


def _sized(value: Json, settings: CsvSettings) -> str:
    if not isinstance(value, str):
        raise Objection("csv.not_text", "a table is a text")
    most = settings.most("max_bytes")
    if len(value) > most or len(value.encode("utf-8", "surrogatepass")) > most:
        problem = f"the table is longer than {most} bytes, as it came or as it is written"
        raise Objection("csv.too_large", problem, hint="send less at once")
    return value


def _cell(cell: str, at: tuple[int, int], settings: CsvSettings, changed: Counter[str]) -> str:
    text, hidden = cleaned(cell)
    changed[_INVISIBLE] += hidden.total() - hidden["line_end"]
    leads = at == (1, 1) and is_directive(text)
    if not leads and not is_formula(text):
        return text
    if settings.formulas == "refuse":
        row, column = at
        raise Objection(
            "csv.formula",
            f"the cell in row {row}, column {column} is one that a spreadsheet would run",
            subject=f"row {row}, column {column}",
            hint="begin no cell with `=`, `+`, `-` or `@`, numbers excepted, and no table with "
            "`sep=`",
        )
    changed[_FORMULAS] += 1
    return as_text(f"'{text}" if leads else text)


def _changes(value: Json, written: str, changed: Counter[str]) -> tuple[str, ...]:
    told = tuple(f"{what}: {n}" for what, n in sorted(changed.items()) if n)
    if told or value == written:
        return told
    return ("written as RFC 4180 has it; no cell was changed",)
