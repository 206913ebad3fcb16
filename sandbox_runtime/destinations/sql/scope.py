"""What does a name mean at one place of a statement?

Law: names are looked up as SQLite does it (resolve.c, lookupName): the sources of this
SELECT, then the names it gives to its results, then the SELECT around it. What is not
found does not exist; nothing is looked up in the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_runtime.destinations.sql.settings import fold

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Source:
    """One entry of a FROM: a granted table, a named query, or a query in parentheses."""

    alias: str
    columns: tuple[str, ...]
    table: str | None = None
    """The granted table's name; None if the columns come from a query."""

    def spelling(self, column: str) -> str | None:
        """Return the column's name as the source spells it."""
        return self.folded.get(fold(column))

    @cached_property
    def folded(self) -> dict[str, str]:
        """Folded name of each column to its spelling; of two of one name, the first."""
        return {fold(name): name for name in reversed(self.columns)}


@dataclass(slots=True)
class Scope:
    """The names of one SELECT. Filled while its FROM is read."""

    outer: Scope | None
    sources: list[Source] = field(default_factory=list)
    merged: set[str] = field(default_factory=set)
    """Folded columns that USING or NATURAL made one of two."""
    results: frozenset[str] = frozenset()
    """Folded names that the SELECT gives to its results."""

    def around(self) -> Iterator[Scope]:
        """Yield this scope, then those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def source(self, alias: str) -> Source | None:
        """Return the source of this alias, here or further out."""
        wanted = fold(alias)
        return next(
            (s for scope in self.around() for s in scope.sources if fold(s.alias) == wanted), None
        )

    def holding(self, column: str) -> list[Source]:
        """Return the sources of this SELECT that have such a column."""
        return [source for source in self.sources if source.spelling(column) is not None]

    def common(self, source: Source) -> set[str]:
        """Return the folded columns that `source` shares with the sources so far."""
        return {name for name in source.folded if any(name in s.folded for s in self.sources)}
