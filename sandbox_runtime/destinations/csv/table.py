"""Which cells does a text of CSV hold, and which one text stands for them?

Law: RFC 4180 and nothing else. A text that two readers could cut into different cells (a
quotation mark within an unquoted cell, a row that is longer or shorter than the first) is
no table. Rows end with CRLF or LF as they come, with CRLF as they leave.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox_runtime.destinations.csv.settings import CsvSettings

_CELL = re.compile(r'(?:"((?:[^"]|"")*+)"|([^",\r\n]*+))(,|\r?\n|\Z)')
_NEEDS_QUOTES = re.compile(r'[",;\t\r\n]|\A\s|\s\Z')

MAX_CELLS: Final = 150_000
"""As many as are surely looked at within the time that a worker has."""

Row = list[str]

_COUNTED: Mapping[str, str] = MappingProxyType(
    {"max_cell": "characters in a cell", "max_columns": "columns", "max_rows": "rows"}
)


def read(text: str, settings: CsvSettings) -> list[Row]:
    """Return the rows; object at the first place where the text is no table."""
    rows: list[Row] = []
    row: Row = []
    longest, widest, most = (settings.most(key) for key in _COUNTED)
    for start, cell, is_last in _cells(text):
        row.append(cell)
        if len(cell) > longest:
            raise _too_large(text, start, settings, "max_cell")
        if len(row) > widest:
            raise _too_large(text, start, settings, "max_columns")
        if is_last:
            if rows and len(row) != len(rows[0]):
                raise _ragged(text, start, len(row), len(rows[0]))
            if len(rows) == most or (len(rows) + 1) * len(row) > MAX_CELLS:
                raise _too_large(text, start, settings, "max_rows")
            rows.append(row)
            row = []
    return rows


def written(rows: Sequence[Sequence[str]]) -> str:
    """Return the one text of these rows."""
    return "".join(f"{','.join(_written(cell, len(row)) for cell in row)}\r\n" for row in rows)


def _cells(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield where each cell starts, what it holds, and whether it is its row's last."""
    at = 0
    while at < len(text):
        found = _CELL.match(text, at)
        if found is None:
            raise _malformed(text, at)
        quoted, plain, end = found.groups()
        yield at, plain if quoted is None else quoted.replace('""', '"'), end != ","
        if end == "," and found.end() == len(text):
            yield len(text), "", True
        at = found.end()


def _malformed(text: str, at: int) -> Objection:
    return Objection(
        "csv.malformed",
        "this cell cannot be read in one way only",
        position=_position(text, at),
        hint='put a cell that holds `"`, `,` or a line end in `"`, and write each `"` in it twice; '
        "end rows with CRLF or LF",
    )


def _too_large(text: str, at: int, settings: CsvSettings, key: str) -> Objection:
    return Objection(
        "csv.too_large",
        f"the table has more than {settings.most(key)} {_COUNTED[key]}, or {MAX_CELLS} cells",
        position=_position(text, at),
        hint="send less at once",
    )


def _ragged(text: str, at: int, cells: int, first: int) -> Objection:
    return Objection(
        "csv.ragged",
        f"this row has {cells} cells, and the first row {first}",
        position=_position(text, at),
        hint="write as many cells in each row, empty ones too",
    )


def _position(text: str, at: int) -> tuple[int, int]:
    """Return line and column, 1-based."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _written(cell: str, columns: int) -> str:
    # A row of one empty cell would be a line that some readers skip.
    if _NEEDS_QUOTES.search(cell) or (columns == 1 and not cell):
        quoted = cell.replace('"', '""')
        return f'"{quoted}"'
    return cell
