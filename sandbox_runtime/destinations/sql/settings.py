"""What may a manifest say about SQL?

Law: what is not listed cannot be read. Without `tables` nothing is readable; a column that
no list shows does not exist for the model, though a row filter may use it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from sandbox_runtime.destinations.sql.dialects import DIALECTS, DialectName, SqlDialect
from sandbox_runtime.strict import Strict

DEFAULT_MAX_ROWS = 1000

Scalar = str | int | float | bool | None
"""A value of a row filter. At load time a string may still be a variable's `$name`."""

Bound = str | int | float

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r'^[^\x00-\x1f"]+$')]
"""A table's or a column's name, as the database spells it."""


def fold(name: str) -> str:
    """Return `name` as SQLite compares it: case is ignored in ASCII, and nowhere else."""
    return name.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class RowFilter(Strict):
    """What a column must hold for its row to exist. All keys given must be true."""

    equals: Scalar = None
    """Exactly this value; null means that the column is null."""
    one_of: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    """One of these values."""
    at_least: Bound | None = None
    """This value or a greater one of the same type."""
    at_most: Bound | None = None
    """This value or a smaller one of the same type."""
    all_of: Annotated[tuple[RowFilter, ...], Field(min_length=1)] | None = None
    """Every one of these filters."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            msg = "a row filter says equals, one_of, at_least, at_most or all_of"
            raise ValueError(msg)
        return self


class Table(Strict):
    """What of one table exists for the model."""

    columns: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The visible columns, in the order in which `*` lists them."""
    rows: dict[Name, RowFilter] = Field(default_factory=dict)
    """Column (visible or not) to what it must hold. All must be true."""

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        _must_be_distinct("column", columns)
        return columns

    @field_validator("rows")
    @classmethod
    def _distinct_rows(cls, rows: dict[str, RowFilter]) -> dict[str, RowFilter]:
        _must_be_distinct("column", tuple(rows))
        return rows


class Functions(Strict):
    """Which of the dialect's functions may be called."""

    allow: tuple[str, ...]
    """Names, in any case. Only functions that the dialect's own list holds can be named."""


class SqlSettings(Strict):
    """One statement of one kind, on these tables, with at most so many rows.

    A key that is left out says nothing: a tool leaves its tables to the grant, a grant
    leaves its dialect to the tool.
    """

    dialect: DialectName | None = None
    """The engine that will run the statement. A tool must name it."""
    statements: Annotated[tuple[Literal["select"], ...], Field(min_length=1)] | None = None
    """Kinds of statements."""
    tables: dict[Name, Table] | None = None
    """Readable tables. Left out by tool and grant both: none."""
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """The most rows that a statement may return. Default 1000."""
    functions: Functions | None = None
    """Left out: every function on the dialect's list."""

    @field_validator("tables")
    @classmethod
    def _ordinary_tables(cls, tables: dict[str, Table] | None) -> dict[str, Table] | None:
        _must_be_distinct("table", tuple(tables or ()))
        for name in tables or ():
            if any(fold(name).startswith(DIALECTS[d].reserved_tables) for d in DIALECTS):
                msg = f"`{name}` belongs to the engine and cannot be granted"
                raise ValueError(msg)
        return tables

    @model_validator(mode="after")
    def _known_functions(self) -> Self:
        known = frozenset().union(*(d.functions for d in DIALECTS.values()))
        for name in self.functions.allow if self.functions else ():
            if name.lower() not in known:
                msg = f"`{name}` is no function that can be allowed"
                raise ValueError(msg)
        return self

    @cached_property
    def engine(self) -> SqlDialect:
        """The dialect's table. A `ValueError` if no dialect is named: the tool's fault."""
        if self.dialect is None:
            msg = "sql settings name no dialect"
            raise ValueError(msg)
        return DIALECTS[self.dialect]

    @cached_property
    def row_cap(self) -> int:
        """The most rows, with the default filled in."""
        return DEFAULT_MAX_ROWS if self.max_rows is None else self.max_rows

    @cached_property
    def callable_functions(self) -> frozenset[str]:
        """Lower-case names of the functions that may be called."""
        if self.functions is None:
            return self.engine.functions
        return self.engine.functions & {name.lower() for name in self.functions.allow}

    @cached_property
    def readable(self) -> dict[str, tuple[str, Table]]:
        """Folded name to spelling and table, for every readable table."""
        return {fold(name): (name, table) for name, table in (self.tables or {}).items()}


def _must_be_distinct(what: str, names: tuple[str, ...]) -> None:
    if len({fold(name) for name in names}) != len(names):
        msg = f"a {what} is named twice (names differ only in case, or not at all)"
        raise ValueError(msg)
