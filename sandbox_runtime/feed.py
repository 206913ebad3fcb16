"""What has a running tool said lately?

Law: memory is bounded whatever a tool says and however slowly anyone reads. A feed keeps the
latest; each reader holds its own place, and finds out when that place is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sandbox_runtime.call import Printed

if TYPE_CHECKING:
    from sandbox_runtime.call import Utterance

KEPT = 256 << 10
"""Bytes that one call's feed keeps."""
AT_ONCE = 32 << 10
"""Bytes of log after which a reader gets no further piece at once."""
_OVERHEAD = 128
"""Bytes that a piece costs beside its text: many empty ones fill memory, too."""


class Feed:
    """The latest that one call said, numbered from 0."""

    def __init__(self) -> None:
        self.first = 0
        """Number of the oldest piece that is kept."""
        self.missed_bytes = 0
        """Of the pieces before it."""
        self.over = False
        """Whether the call has ended; nothing more is said."""
        self._kept: deque[Utterance] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def hear(self, said: Utterance) -> None:
        """Keep what the tool says, and forget the oldest where it is too much."""
        self._kept.append(said)
        self._size += _cost(said)
        while self._size > KEPT:
            oldest = self._kept.popleft()
            self._size -= _cost(oldest)
            self.missed_bytes += len(oldest.text)
            self.first += 1
        self._tell()

    def end(self) -> None:
        """Say that nothing follows."""
        self.over = True
        self._tell()

    async def take(self, place: int) -> tuple[Utterance, int] | None:
        """Return the next thing said from `place` on, and the place after it; None at the end.

        Neighbouring pieces of one log are one. `place` is not before `first`.
        """
        while place - self.first >= len(self._kept):
            if self.over:
                return None
            await self._news.wait()
            if place < self.first:
                return None
        return self._joined(place - self.first)

    def _joined(self, index: int) -> tuple[Utterance, int]:
        said = self._kept[index]
        if not isinstance(said, Printed):
            return said, self.first + index + 1
        text = bytearray()
        while index < len(self._kept) and len(text) < AT_ONCE:
            piece = self._kept[index]
            if not isinstance(piece, Printed) or piece.stream != said.stream:
                break
            text += piece.text
            index += 1
        return Printed(said.stream, bytes(text)), self.first + index

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _cost(said: Utterance) -> int:
    return len(said.text) + _OVERHEAD
