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
    merged: set[tuple[str, str]] = field(default_factory=set)
    """Folded alias and column of what USING or NATURAL made one with a source before."""
    is_coalescing: bool = False
    """Whether a RIGHT or FULL join merged columns: their value may come from either side."""
    results: frozenset[str] = frozenset()
    """Folded names that the SELECT gives to its results. Empty until the results have been
    read: neither they nor a query within them can mean another result."""

    def around(self) -> Iterator[Scope]:
        """Yield this scope, then those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def called(self, alias: str) -> list[Source]:
        """Return the sources of this alias, from here outwards: the first may lack a column."""
        wanted = fold(alias)
        return [s for scope in self.around() for s in scope.sources if fold(s.alias) == wanted]

    def holding(self, column: str) -> list[Source]:
        """Return the sources of this SELECT that have such a column."""
        wanted = fold(column)
        return [s for s in self.sources if wanted in s.folded and not self.is_merged(s, wanted)]

    def is_merged(self, source: Source, folded: str) -> bool:
        """Whether this column of `source` is one with a column before it."""
        return (fold(source.alias), folded) in self.merged

    def is_shared(self, folded: str) -> bool:
        """Whether sources share a column of this name whose value only the database knows."""
        return self.is_coalescing and any(name == folded for _, name in self.merged)

    def common(self, source: Source) -> set[str]:
        """Return the folded columns that `source` shares with the sources so far."""
        return {name for name in source.folded if any(name in s.folded for s in self.sources)}
