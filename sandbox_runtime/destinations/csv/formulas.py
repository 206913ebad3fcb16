"""What would a spreadsheet run?

Law: a cell that begins as a formula does is one, unless it is a number. So does a part of a
cell that a careless reader would take for a cell of its own: after `;` or a tab (the separators
of other countries), after a line end.

A table that begins with `sep=` chooses its own separator: any sign in it could then end a cell.

An apostrophe before the sign makes a text of it. OWASP, "CSV injection"; CVE-2014-3524.
"""

from __future__ import annotations

import re
from typing import Final

_SIGN: Final = r"[-=+@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"
"""Of half a width, of a full one, and small."""
_SEPARATES: Final = r";\t\n\u2028\u2029"
_BEFORE: Final = r"\s\"\ufeff;"
_BEGINS: Final = re.compile(
    rf"(\A[{_BEFORE}]*+"
    rf"|(?<![{_BEFORE}])(?:(?![{_SEPARATES}])[{_BEFORE}])*+[{_SEPARATES}][{_BEFORE}]*+)({_SIGN})"
)
"""Where a cell begins for one reader or another, and the sign. A run of what may stand before is
looked at once: else a cell of nothing but line ends would cost the square of its length."""

_SEPARATOR: Final = re.compile(r"[\s\"\ufeff]*+sep\s*=", re.IGNORECASE)
"""In a table's first cell, this chooses what separates cells from there on."""

_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?%?|-", re.ASCII
)
"""Numbers as they are typed; and the dash that stands for none."""


def is_formula(cell: str) -> bool:
    """Whether some spreadsheet would run the cell, or a part of it."""
    return (
        not cell.isalnum() and _BEGINS.search(cell) is not None and _NUMBER.fullmatch(cell) is None
    )


def is_directive(cell: str) -> bool:
    """Whether a spreadsheet would obey it where it is the first cell of a table."""
    return _SEPARATOR.match(cell) is not None


def as_text(cell: str) -> str:
    """Return a formula with an apostrophe before each sign that begins one."""
    return _BEGINS.sub(r"\1'\2", cell)
