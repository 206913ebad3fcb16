from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.server.attempts import Attempts
from sandbox_runtime.server.identity import Stranger

if TYPE_CHECKING:
    from sandbox_runtime.records import AuthRefused


class Notes:
    """Stands for the ledger."""

    def __init__(self) -> None:
        self.clock = 0
        self.noted: list[AuthRefused] = []
        self.full = False

    def now(self) -> int:
        """Return another moment each time."""
        self.clock += 1
        return self.clock

    async def note(self, record: AuthRefused) -> None:
        """Keep it, unless the disk is full."""
        if self.full:
            raise EvidenceUnavailable("full")
        self.noted.append(record)


async def test_nobody_turned_away_is_no_record() -> None:
    notes = Notes()
    await Attempts(notes).flush()  # type: ignore[arg-type]
    assert notes.noted == []


async def test_what_could_not_be_recorded_is_counted_on() -> None:
    notes = Notes()
    attempts = Attempts(notes)  # type: ignore[arg-type]
    attempts.count(Stranger.NO_TOKEN)
    notes.full = True
    await attempts.flush()
    attempts.count(Stranger.NO_TOKEN)
    notes.full = False
    await attempts.flush()
    await attempts.flush()
    (record,) = notes.noted
    assert record.count == 2


async def test_a_record_says_since_when_it_counts() -> None:
    notes = Notes()
    attempts = Attempts(notes)  # type: ignore[arg-type]
    attempts.count(Stranger.UNKNOWN_UID)
    first = notes.clock
    attempts.count(Stranger.UNKNOWN_UID)
    await attempts.flush()
    assert (notes.noted[0].since, notes.noted[0].count) == (first, 2)
