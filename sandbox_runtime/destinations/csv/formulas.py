"""What would a spreadsheet run?

Law: a cell that begins as a formula does is one, unless it is a number. So does a part of a
cell that a careless reader would take for a cell of its own: after `;` or a tab (the separators
of other countries), after a line end.

An apostrophe before the sign makes a text of it. OWASP, "CSV injection"; CVE-2014-3524.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINS: Final = re.compile(
    r"(\A|[;\t\n\u2028\u2029])([\s\"\ufeff]*)([-=+@\uff1d\uff0b\uff0d\uff20])"
)
"""Where a cell begins for one reader or another, and the sign; half a width or a full one."""

_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?%?|-", re.ASCII
)
"""Numbers as they are typed; and the dash that stands for none."""


def is_formula(cell: str) -> bool:
    """Whether some spreadsheet would run the cell, or a part of it."""
    return (
        not cell.isalnum() and _BEGINS.search(cell) is not None and _NUMBER.fullmatch(cell) is None
    )


def as_text(cell: str) -> str:
    """Return a formula with an apostrophe before each sign that begins one."""
    return _BEGINS.sub(r"\1\2'\3", cell)
