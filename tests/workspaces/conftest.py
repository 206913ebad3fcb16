"""Real filesystems on real loop devices. Where they cannot be had, these tests fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
