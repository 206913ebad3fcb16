"""What does a Python value look like as JSON?

Law: every value has an answer. What JSON cannot say is null (not a number, not a time) or
text (everything else). numpy and pandas are known by what they offer: neither is imported.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

REPR_MAX = 1000
DEPTH_MAX = 50
INT_END = 1 << 63
MISSING = frozenset({"NAType", "NaTType"})
"""pandas' own nothings, by the names of their types."""

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def plain(value: object, depth: int = 0) -> Plain:
    """Return `value` as JSON can say it; a `ValueError` if it nests too deeply."""
    if depth > DEPTH_MAX:
        msg = f"the value nests deeper than {DEPTH_MAX} levels"
        raise ValueError(msg)
    match value:
        case None | bool():
            return value
        case str():
            return utf8(value)
        case int():
            return int(value) if -INT_END <= value < INT_END else str(value)
        case float() | decimal.Decimal():
            return float(value) if math.isfinite(value) else None
        case _:
            return composed(value, depth)


def composed(value: object, depth: int) -> Plain:
    """Return what holds other values, part by part, or is foreign to Python itself."""
    match value:
        case dict():
            return {utf8(str(key)): plain(each, depth + 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each, depth + 1) for each in value]
        case _:
            return foreign(value, depth)


def utf8(text: str) -> str:
    """Return text without halves of characters, which no encoding carries."""
    return text.encode("utf-8", "replace").decode()


def foreign(value: Any, depth: int) -> Plain:  # noqa: ANN401 - it may really be anything
    """Return a time, or a value of numpy's or pandas'; any other by its `repr`."""
    if type(value).__name__ in MISSING:
        return None
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if hasattr(value, "iloc"):
        return frame(value, depth) if hasattr(value, "columns") else series(value, depth)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        times = getattr(value.dtype, "kind", "") in set("mM")
        return plain((value.astype(str) if times else value).tolist(), depth + 1)
    return utf8(repr(value)[:REPR_MAX])


def frame(value: Any, depth: int) -> Plain:  # noqa: ANN401 - pandas.DataFrame
    """Return columns and rows; an index that says something becomes columns too."""
    whole = value.reset_index() if says_something(value.index) else value
    split = whole.to_dict(orient="split", index=False)
    columns: list[Plain] = [str(column) for column in split["columns"]]
    return {"columns": columns, "rows": plain(split["data"], depth + 1)}


def series(value: Any, depth: int) -> Plain:  # noqa: ANN401 - pandas.Series
    """Return pairs of label and value."""
    return [[plain(key, depth + 1), plain(each, depth + 1)] for key, each in value.items()]


def says_something(index: Any) -> bool:  # noqa: ANN401 - pandas.Index
    """Whether an index is more than the number of its row."""
    return index.nlevels > 1 or index.name is not None or not hasattr(index, "start")
