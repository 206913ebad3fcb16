"""Waiting for what has to happen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def eventually(holds: Callable[[], object], seconds: float = 20) -> None:
    """Return once `holds` does; raise `TimeoutError` if it never does."""
    async with asyncio.timeout(seconds):
        # It may be another process's doing: there is no event to wait for.
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
