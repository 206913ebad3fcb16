"""Which records and which calls does a reader of the log ask for?

Law: a wish names what it wants to see said. A record that says nothing of the kind is not
taken, so that wishes only ever narrow. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_runtime.audit.gathering import CallRecords
    from sandbox_runtime.records import Micros, Record

_OF_CALLS = ("task", "call", "subject", "tool")
_OF_RECORDS = (*_OF_CALLS, "kind", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reader asks for. None: anything."""

    task: str | None = None
    call: str | None = None
    kind: str | None = None
    kinds: frozenset[str] = frozenset()
    """Any of these; none: any at all."""
    subject: str | None = None
    tool: str | None = None
    permitted: bool | None = None
    reason: str | None = None
    """A reason, or the code of the check that refused."""
    outcome: str | None = None
    since: Micros | None = None
    until: Micros | None = None

    def takes(self, record: Record) -> bool:
        """Say whether this record is asked for."""
        return (
            self._in_time(record.at)
            and (not self.kinds or record.kind in self.kinds)
            and self._said_by(record, _OF_RECORDS)
            and self.permitted in (None, getattr(record, "permitted", None))
            and (self.reason is None or self.reason in _reasons(record))
        )

    def takes_call(self, call: CallRecords) -> bool:
        """Say whether this call is asked for. Its time is the decision's."""
        decided, outcome = call.decided, call.outcome
        return (
            self._in_time(decided.at)
            and self._said_by(decided, _OF_CALLS)
            and self.permitted in (None, decided.permitted)
            and self.outcome in (None, outcome.outcome if outcome else "")
            and (self.reason is None or self.reason in (*_reasons(decided), *_reasons(outcome)))
        )

    @property
    def marks(self) -> tuple[bytes, ...]:
        """What the leaf of every record that `takes` takes holds somewhere: quick to look for."""
        wishes = (*(getattr(self, name) for name in _OF_RECORDS), self.reason)
        return tuple(_mark(wish) for wish in wishes if wish is not None)

    def _in_time(self, at: Micros) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def _said_by(self, record: Record, names: Iterable[str]) -> bool:
        wishes = {name: wish for name in names if (wish := getattr(self, name)) is not None}
        return all(getattr(record, name, None) == wish for name, wish in wishes.items())


def _mark(wish: str) -> bytes:
    """Return how a leaf says it. What is no text is said by none, whatever it is looked for as."""
    return orjson.dumps(wish.encode(errors="replace").decode())


def _reasons(record: Record | None) -> tuple[str | None, ...]:
    return getattr(record, "reason", None), getattr(record, "code", None)
