"""What was found while one statement was read?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp

    from sandbox_runtime.destinations.sql.scope import Source
    from sandbox_runtime.destinations.sql.settings import SqlSettings


@dataclass(slots=True)
class Reading:
    """What was found. Filled by `resolve`, read by `confine`."""

    settings: SqlSettings
    text: str
    """What the statement was parsed from: quotes are told apart by looking there."""
    bases: list[tuple[exp.Expr, str]] = field(default_factory=list)
    """Every place that reads a granted table, with the table's name."""
    used: dict[str, set[str]] = field(default_factory=dict)
    """Granted table to the columns that the statement names."""
    changes: list[str] = field(default_factory=list)

    def base(self, node: exp.Expr, name: str) -> None:
        """Remember a place that reads a granted table."""
        self.bases.append((node, name))
        self.used.setdefault(name, set())

    def use(self, source: Source, column: str) -> None:
        """Remember that a column is read, if a granted table holds it."""
        if source.table is not None:
            self.used[source.table].add(column)

    def note(self, change: str) -> None:
        """Remember a change, once."""
        if change not in self.changes:
            self.changes.append(change)
