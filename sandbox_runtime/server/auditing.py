"""How is the log read for somebody while it is being written?

Law: reading blocks in threads of its own, few of them, so that it delays no call by more than its
share. A reader holds one page at a time, and what is not durable is not read.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from sandbox_runtime.audit.pages import Cursor, Page
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.evidence import layout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from sandbox_runtime.audit.wanted import Wanted
    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.server.settings import Audit

_PAUSE: Final = 0.1
"""Seconds between two looks for what became durable."""


class Auditing:
    """Reads one broker's log. `durable` tells before which number everything is on disk."""

    def __init__(self, state: Path, durable: Callable[[], int], settings: Audit) -> None:
        self._state, self._durable, self._most = state, durable, settings.tails
        self._threads = ThreadPoolExecutor(settings.readers, thread_name_prefix="audit")
        self._tails = 0

    async def page(self, wanted: Wanted, first: int, limit: int, *, opened: bool) -> Page:
        """Return one page of what is durable now."""
        return await self._page(self._cursor(first), wanted, limit=limit, bodies=self._keys(opened))

    async def tail(
        self, wanted: Wanted, first: int | None, *, opened: bool, ending: Callable[[], bool]
    ) -> AsyncGenerator[Page, None]:
        """Yield pages from `first` on, by default the next record, until `ending` says so.

        Raises `Refusal` where too many do.
        """
        if self._tails >= self._most:
            hint = "end one, then ask again"
            problem = f"{self._most} others follow the log already"
            raise Refusal(problem, reason=Reason.RATE_LIMITED, hint=hint)
        self._tails += 1
        try:
            cursor = self._cursor(self._durable() if first is None else first)
            bodies = self._keys(opened)
            while True:
                over = ending()  # asked before reading: what came before it is told
                while cursor.next < self._durable():
                    yield await self._page(cursor, wanted, bodies=bodies)
                if over:
                    return
                await asyncio.sleep(_PAUSE)
        finally:
            self._tails -= 1

    async def aclose(self) -> None:
        """Let reads under way end."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _page(
        self, cursor: Cursor, wanted: Wanted, *, bodies: Bodies | None, limit: int | None = None
    ) -> Page:
        read = partial(cursor.page, wanted, end=self._durable(), bodies=bodies)
        doing = read if limit is None else partial(read, limit=limit)
        return await asyncio.get_running_loop().run_in_executor(self._threads, doing)

    def _cursor(self, first: int) -> Cursor:
        return Cursor(layout.reader(self._state), first)

    def _keys(self, opened: bool) -> Bodies | None:  # noqa: FBT001 - a wish passed on
        return layout.bodies(self._state) if opened else None
