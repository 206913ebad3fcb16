"""What may a manifest say about CSV?

Law: left out, a size is the default and a formula becomes a text. A grant can only take less,
or refuse what the tool would have written differently.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULTS: Mapping[str, int] = MappingProxyType(
    {"max_bytes": 1 << 20, "max_rows": 10_000, "max_columns": 256, "max_cell": 32_767}
)
MOST_BYTES: Final = 4 << 20


class CsvSettings(Strict):
    """How large a table may be, and what becomes of formulas."""

    formulas: Literal["quote", "refuse"] | None = None
    """What a spreadsheet would run: `quote` (the default) makes a text of it by an apostrophe,
    `refuse` lets no table through that has one."""
    max_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES)] | None = None
    """Of the text, in UTF-8, before and after. Default 1048576."""
    max_rows: Annotated[int, Field(ge=1, le=200_000)] | None = None
    """With the heading. Default 10000."""
    max_columns: Annotated[int, Field(ge=1, le=16_384)] | None = None
    """Default 256."""
    max_cell: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Characters of one cell. Default 32767, as many as a spreadsheet takes."""

    def most(self, key: str) -> int:
        """Return one of the sizes, with the default filled in."""
        said: int | None = getattr(self, key)
        return _DEFAULTS[key] if said is None else said


def narrow(tool: CsvSettings, grant: CsvSettings) -> CsvSettings:
    """Return what both allow, or raise `Widens`."""
    for key in grant.model_fields_set & _DEFAULTS.keys():
        if grant.most(key) > tool.most(key):
            raise Widens((key,), f"the tool takes at most {tool.most(key)}")
    if tool.formulas == "refuse" and grant.formulas == "quote":
        raise Widens(("formulas",), "the tool refuses formulas")
    both = {**tool.model_dump(exclude_none=True), **grant.model_dump(exclude_none=True)}
    return CsvSettings(**both)
