"""How do these rows look as a table?

Law: a value is written as its column's format says, or the call ends with the place of the
first that cannot be. A table of values (CSV) holds them as they came: whoever opens it in a
spreadsheet fetches it from the broker, which makes texts of formulas.
"""

from __future__ import annotations

import csv
import html
import io
from typing import Any

from writing import Failed, answer, written

SHOWN_ROWS, SHOWN_WIDTH = 100, 40
Columns = list[dict[str, Any]]
Cells = list[list[str]]


def report(root: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the table as plain text, and the files that were written."""
    columns, rows = arguments["columns"], arguments["rows"]
    cells = [formatted(number, row, columns) for number, row in enumerate(rows, 1)]
    caption = arguments["caption"]
    texts = {"html": lambda: as_html(columns, cells, caption), "csv": lambda: as_csv(columns, rows)}
    name = arguments["name"]
    files = [written(root, f"{name}.{kind}", texts[kind]()) for kind in arguments["files"]]
    return {"text": as_text(columns, cells, caption), "rows": len(rows), "files": files}


def formatted(number: int, row: list[Any], columns: Columns) -> list[str]:
    """Return a row's values as they are written."""
    if len(row) != len(columns):
        said = f"row {number} has {len(row)} values for {len(columns)} columns"
        raise Failed("wrong_row", said)
    return [
        written_value(value, column, f"row {number}, column {place}")
        for place, (value, column) in enumerate(zip(row, columns, strict=True), 1)
    ]


def written_value(value: Any, column: dict[str, Any], place: str) -> str:  # noqa: ANN401 - any JSON
    """Return one value as it is written; null is nothing."""
    form, decimals = column.get("format", "text"), column.get("decimals", 2)
    if value is None:
        return ""
    if form == "text":
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    if isinstance(value, bool | str):
        raise Failed("wrong_value", f"{place}: {form} was expected")
    match form:
        case "integer" if value != int(value):
            raise Failed("wrong_value", f"{place}: a whole number was expected")
        case "integer":
            return str(int(value))
        case "percent":
            return f"{value * 100:.{decimals}f} %"
        case _:
            return f"{value:.{decimals}f}"


def as_html(columns: Columns, cells: Cells, caption: str) -> str:
    """Return a fragment of HTML."""
    title = f"<caption>{html.escape(caption, quote=False)}</caption>" if caption else ""
    head = "".join(cell("th", column["heading"], column) for column in columns)
    rows = "".join(
        f"<tr>{''.join(map(cell, ['td'] * len(columns), row, columns))}</tr>\n" for row in cells
    )
    return f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n"


def cell(element: str, text: str, column: dict[str, Any]) -> str:
    """Return one cell; numbers stand on the right."""
    side = ' align="right"' if is_number(column) else ""
    return f"<{element}{side}>{html.escape(text, quote=False)}</{element}>"


def as_csv(columns: Columns, rows: list[list[Any]]) -> str:
    """Return headings and values."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([column["heading"] for column in columns])
    writer.writerows(rows)
    return file.getvalue()


def as_text(columns: Columns, cells: Cells, caption: str) -> str:
    """Return the table in columns of equal width; of a long one the beginning."""
    head = [column["heading"] for column in columns]
    shown = [[short(text) for text in row] for row in [head, *cells[:SHOWN_ROWS]]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [line(row, widths, columns) for row in shown]
    lines.insert(1, "  ".join("-" * width for width in widths))
    more = len(cells) - SHOWN_ROWS
    end = [f"… and {more} more rows"] if more > 0 else []
    return "\n".join([*([caption, ""] if caption else []), *lines, *end])


def line(row: list[str], widths: list[int], columns: Columns) -> str:
    """Return one row; numbers stand on the right."""
    placed = [
        text.rjust(width) if is_number(column) else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    ]
    return "  ".join(placed).rstrip()


def short(text: str) -> str:
    """Return a text on one line, and not too long for a column."""
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_WIDTH else f"{flat[: SHOWN_WIDTH - 1]}…"


def is_number(column: dict[str, Any]) -> bool:
    """Whether a column holds numbers."""
    return column.get("format", "text") != "text"


if __name__ == "__main__":
    answer(report)
