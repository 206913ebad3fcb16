"""Is there room on the disk for this append?

Law: room is refused before anything is written, while there is still enough left to
record how begun things end. So a full disk stops new work and cuts no call's story short.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sandbox_runtime.errors import EvidenceUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_OVERHEAD: Final = 4096
"""What an append may cost beyond its bytes: heads, padding, a block begun."""

_USUAL: Final = 64 * 1024
"""Room for the largest record."""


class Space:
    """Counts the bytes that are promised and not yet written, against what is free.

    `headroom` bytes stay free for whatever else ends on this disk; `reserve` bytes are
    held in a file of ours, and given up when an urgent append would not fit without.
    """

    def __init__(self, root: Path, *, headroom: int, reserve: int) -> None:
        """Take the reserve. Raises `OSError` where it cannot be had."""
        self._root, self._headroom = root, headroom
        self._reserve = root / "reserve"
        self._promised = 0
        _allocate(self._reserve, reserve)

    @property
    def is_low(self) -> bool:
        """Whether an append of usual size that is not urgent would be refused now."""
        return self._free() < self._headroom + _USUAL

    def claim(self, size: int, *, urgent: bool) -> None:
        """Promise room for `size` bytes; raise `EvidenceUnavailable` where there is none."""
        needed = size + _OVERHEAD
        if urgent and self._free() < needed:
            os.truncate(self._reserve, 0)
        if self._free() - (0 if urgent else self._headroom) < needed:
            raise EvidenceUnavailable(f"the disk under `{self._root}` is nearly full")
        self._promised += needed

    def settle(self, size: int) -> None:
        """Take back a promise: the bytes were written, or never will be."""
        self._promised -= size + _OVERHEAD

    def _free(self) -> int:
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize - self._promised


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, size)
        if size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
