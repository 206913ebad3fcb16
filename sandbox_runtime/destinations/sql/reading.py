"""What was found while one statement was read?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from sqlglot import exp

    from sandbox_runtime.destinations.sql.scope import Source
    from sandbox_runtime.destinations.sql.settings import SqlSettings

MAX_READS: Final = 64
"""Places that read a granted table. Each is printed with all of the table's columns."""
MAX_SPELLED: Final = 4000
"""Columns that all the `*` of one statement may stand for."""


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
    spelled: int = 0
    """Columns that were put in the place of a `*` so far."""
    changes: list[str] = field(default_factory=list)

    def base(self, node: exp.Expr, name: str) -> None:
        """Remember a place that reads a granted table."""
        if len(self.bases) == MAX_READS:
            raise _too_complex(f"tables are read in more than {MAX_READS} places")
        self.bases.append((node, name))
        self.used.setdefault(name, set())

    def use(self, source: Source, column: str) -> None:
        """Remember that a column is read, if a granted table holds it."""
        if source.table is not None:
            self.used[source.table].add(column)

    def spell(self, columns: int) -> None:
        """Count columns that are about to stand where a `*` stood."""
        self.spelled += columns
        if self.spelled > MAX_SPELLED:
            raise _too_complex(f"`*` stands for more than {MAX_SPELLED} columns")

    def note(self, change: str) -> None:
        """Remember a change, once."""
        if change not in self.changes:
            self.changes.append(change)


def _too_complex(problem: str) -> Objection:
    return Objection("sql.too_complex", problem, hint="name the columns, and read less at once")
