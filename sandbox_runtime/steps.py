"""What is finished once it is begun, whoever hangs up meanwhile?

Law: asking and hanging up is no way to ask for nothing: else it would occupy the validators, be
neither recorded nor counted, and could be done again at once. Once steps are closed, none begins.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sandbox_runtime.admission import Told

R = TypeVar("R")


class Steps:
    """The steps under way, each under its task's lock."""

    def __init__(self) -> None:
        self._doing: set[asyncio.Task[Any]] = set()
        self._closed: Told | None = None

    async def whole(
        self,
        lock: asyncio.Lock,
        step: Callable[[], Coroutine[Any, Any, R]],
        *,
        unheard: Callable[[R], None] = lambda _: None,
        unbegun: Callable[[], None] = lambda: None,
    ) -> R:
        """Do `step` under `lock`, to its end.

        `unheard` gets what nobody waits for any more; `unbegun` is told that it never began.
        """
        doing = await self._begun(lock, step, unbegun)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            doing.add_done_callback(partial(_tell, unheard))
            raise

    async def close(self, told: Told, grace: float) -> None:
        """Let no step begin, and return when those under way are done or `grace` is over."""
        self._closed = told
        if self._doing:
            await asyncio.wait(self._doing, timeout=grace)

    async def _begun(
        self,
        lock: asyncio.Lock,
        step: Callable[[], Coroutine[Any, Any, R]],
        unbegun: Callable[[], None],
    ) -> asyncio.Task[R]:
        try:
            await lock.acquire()
        except asyncio.CancelledError:
            unbegun()
            raise
        if self._closed is not None:
            lock.release()
            unbegun()
            raise self._closed()
        doing = asyncio.create_task(step())
        self._doing.add(doing)
        doing.add_done_callback(lambda _: lock.release())
        doing.add_done_callback(self._doing.discard)
        return doing


def _tell(unheard: Callable[[R], None], done: asyncio.Task[R]) -> None:
    if not done.cancelled() and done.exception() is None:
        unheard(done.result())
