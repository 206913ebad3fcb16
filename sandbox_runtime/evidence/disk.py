"""Which small steps make a file durable, and private?

Law: a name is durable only after its directory was synced, bytes only after their file
was; nobody but the owner may read either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_directory(path: Path) -> None:
    """Make `path` and what leads to it, for the owner alone, durably, unless it is there."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path, content: bytes) -> None:
    """Write a new file of the owner's, content durable. The name is not durable yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte. A short write is gone on with, and ends in its error."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
