"""Real filesystems on real loop devices. Where they cannot be had, these tests fail."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sandbox_runtime.workspaces import Place, Workspaces
from tests.support.traces import traces


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path / "workspaces", uids=range(70_000, 70_003), headroom=1 << 20)


@pytest.fixture
async def workspaces(place: Place) -> AsyncIterator[Workspaces]:
    """The workspaces of a broker; all that is left of them goes at the end."""
    yield Workspaces(place, {})
    await Workspaces(place, {}).sweep()
    assert traces(place.folder) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB, of which nobody else writes."""
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    image.write_bytes(bytes(24 << 20))
    disk.mkdir()
    for words in (("mkfs.ext4", "-qF", str(image)), ("mount", "-o", "loop", str(image), str(disk))):
        subprocess.run(words, check=True)  # noqa: S603 - the test's own words
    yield disk
    subprocess.run(("umount", str(disk)), check=True)  # noqa: S603, S607
