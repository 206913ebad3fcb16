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

    from sandbox_runtime.task import TaskState


class Transfers:
    """Counts files on their way."""

    def __init__(self, *, of_task: int, of_subject: int, of_all: int) -> None:
        self._most = (of_task, of_subject, of_all)
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def one(self, state: TaskState) -> Iterator[None]:
        """Count one more of the task's while the block lasts; raise `Refusal` at one too many."""
        keys = f"task {state.id}", f"subject {state.subject}", "all"
        if any(self._under_way[key] >= most for key, most in zip(keys, self._most, strict=True)):
            raise Refusal(
                "too many files are on their way",
                reason=Reason.RATE_LIMITED,
                hint="wait until one of them is done, then send the same again",
            )
        self._under_way.update(keys)
        try:
            yield
        finally:
            self._under_way.subtract(keys)
            self._under_way += Counter()  # forget who carries nothing any more
