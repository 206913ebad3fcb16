"""A workspace is as large as was asked, of one user alone, and gone without a trace."""

from __future__ import annotations

import os

import pytest

from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.workspaces import Workspaces

GROUP = 128 << 20
"""Bytes that share one bitmap; inodes are rounded up in each."""


def wanted(size: int = 4 << 20, inodes: int = 64) -> Wanted:
    return Wanted.model_construct(size=size, inodes=inodes)


@pytest.mark.parametrize("size", [1 << 20, 64 << 20, 130 << 20, 300 << 20, 2 << 30])
@pytest.mark.parametrize("inodes", [16, 4096, 50_000])
async def test_it_has_room_for_what_was_asked_and_little_more(
    workspaces: Workspaces, size: int, inodes: int
) -> None:
    workspace = await workspaces.make("t-1", wanted(size, inodes))
    shown = os.statvfs(workspace.root)
    assert 0 <= shown.f_bavail * shown.f_frsize - size <= (64 << 10) + size // 1000
    assert 0 <= shown.f_ffree - inodes <= 16 * (1 + size // GROUP)
    assert await workspaces.of("t-1") is workspace
    assert await workspaces.end("t-1")
    assert await workspaces.of("t-1") is None
