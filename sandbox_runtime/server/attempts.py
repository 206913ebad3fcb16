"""Who knocked without a key?

Law: every attempt is counted and none is a record of its own. One record an interval says how
many there were, so that strangers can neither hide nor fill the disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.records import AuthRefused

if TYPE_CHECKING:
    from enum import StrEnum

    from sandbox_runtime.ledger import Ledger

_log = structlog.get_logger("sandbox_broker.auth")


class Attempts:
    """Counts attempts without a valid credential until they are recorded."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counted: Counter[str] = Counter()
        self._since = ledger.now()

    def count(self, reason: StrEnum) -> None:
        """Count one attempt. Returns at once and cannot fail."""
        if not self._counted:
            self._since = self._ledger.now()
        self._counted[reason.value] += 1

    async def flush(self) -> None:
        """Record what was counted since the last time, if anything. Raises nothing."""
        if not self._counted:
            return
        since, counted, self._counted = self._since, self._counted, Counter()
        record = AuthRefused(
            at=self._ledger.now(),
            count=counted.total(),
            since=since,
            reasons=dict(sorted(counted.items())),
        )
        _log.warning("auth_refused", count=record.count, reasons=record.reasons)
        try:
            await self._ledger.note(record)
        except EvidenceUnavailable:
            self._counted.update(counted)
            self._since = since

    async def keep_flushing(self, interval: float) -> None:
        """Record every `interval` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.flush()
