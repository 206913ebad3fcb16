"""What do the tests of evidence stand on? Real files, and real disks that fail."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import Log, LogSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox_runtime.errors import EvidenceUnavailable

ROOMY = LogSettings(headroom=0, reserve=0)
"""For tests that are not about room on the disk."""


@dataclass(kw_only=True)
class Evidence:
    """One log directory, opened as often as a test likes."""

    root: Path
    failures: list[EvidenceUnavailable] = field(default_factory=list)

    def open(self, settings: LogSettings = ROOMY) -> Log:
        return Log.open(self.root, on_failure=self.failures.append, settings=settings)

    def bodies(self, log: Log, *tasks: str) -> Bodies:
        keys = Keys.begin(self.root / "keys")
        for task in tasks:
            keys.create(task)
        return Bodies(root=self.root, keys=keys, end=log.bodies_end)

    def last_segment(self, stream: str = "log") -> Path:
        return max((self.root / stream).glob("*.seg"))


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(root=tmp_path / "evidence")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system in memory, of the size that the test asks for."""
    with ExitStack() as mounted:
        yield lambda size: mounted.enter_context(_tmpfs(tmp_path / "small", size))


@pytest.fixture
def deceptive_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that takes every write and fails at the sync.

    ext4 of 32 MiB on an image that has room for 3: the page cache says yes, the disk no.
    """
    with _tmpfs(tmp_path / "backing", "3m") as backing, ExitStack() as mounted:
        image, disk = backing / "image", tmp_path / "deceptive"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(32 * 2**20)
        _run("/sbin/mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))
        _run("/bin/mount", "-o", "loop", str(image), str(disk))
        mounted.callback(_run, "/bin/umount", "--lazy", str(disk))
        yield disk


@contextmanager
def _tmpfs(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    _run("/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield path
    finally:  # lazily: a test that failed may still hold files there
        _run("/bin/umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)  # noqa: S603 - the words above
