"""How is what blocks waited for, when whoever waits may be cancelled?

Law: a thread cannot be cancelled, so nobody goes on before it has ended. What it works on, a mount,
an open file, a turn, is given back or closed only then: a descriptor that is closed beneath a
thread may be another file's when the thread writes to it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


async def to_its_end(do: Callable[..., R], *arguments: object) -> R:
    """Return what `do` returns, done in a thread. Cancelling this takes effect at its end."""
    doing = asyncio.create_task(asyncio.to_thread(do, *arguments))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        while not doing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({doing})
        if not doing.cancelled():
            doing.exception()  # nobody is left to hear of it
        raise
