"""Real filesystems on real loop devices. Where they cannot be had, these tests fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox_runtime import mountinfo
from sandbox_runtime.workspaces import Workspaces
from sandbox_runtime.workspaces.workspaces import Place


def traces(folder: Path) -> list[str]:
    """What the kernel has mounted below `folder`, or behind a loop device."""
    table = mountinfo.parse(Path("/proc/self/mountinfo").read_text())
    mounted = [mount.point for mount in table if mount.point.startswith(str(folder))]
    backing = [
        path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")
    ]
    return mounted + [file for file in backing if file.startswith(str(folder))]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path / "workspaces", uids=range(70_000, 70_003), headroom=1 << 20)


@pytest.fixture
async def workspaces(place: Place) -> AsyncIterator[Workspaces]:
    """The workspaces of a broker; all that is left of them goes at the end."""
    yield Workspaces(place, {})
    await Workspaces(place, {}).sweep()
    assert traces(place.folder) == []
