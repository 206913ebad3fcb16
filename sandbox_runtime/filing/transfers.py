"""How many files may be on their way at a time?

Law: a transfer that is one too many is refused before a byte of it is held: what is on its way
takes memory and disk of the broker's.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


class Transfers:
    """Counts files on their way."""

    def __init__(self, *, of_task: int, of_all: int) -> None:
        self._of_task, self._of_all = of_task, of_all
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one(self, task: str) -> Iterator[None]:
        """Count one more while the block lasts; raise `Refusal` where it is one too many."""
        mine, all_ = self._under_way[task], self._under_way.total()
        if mine >= self._of_task or all_ >= self._of_all:
            raise Refusal(
                "too many files are on their way",
                reason=Reason.RATE_LIMITED,
                hint="wait until one of them is done, then send the same again",
            )
        self._under_way[task] += 1
        try:
            yield
        finally:
            self._under_way[task] -= 1
            self._under_way += Counter()  # forget who carries nothing any more
