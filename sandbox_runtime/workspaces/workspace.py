"""What is known of one task's files, and who may touch them now?

Law: one at a time. A call has the turn until the engine has closed its container, the host
while it reads or writes; and nobody has it once the task's files are gone.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sandbox_runtime.errors import SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.records import Allotment


class WorkspaceGone(SandboxUnavailable):
    """The task has ended, and its files with it."""


class Workspace:
    """A mounted filesystem of one task. Made by `Workspaces`."""

    def __init__(self, task: str, *, root: Path, view: Path, allotment: Allotment) -> None:
        """`root` is where the host finds the files, `view` where the same show read-only."""
        self.task, self.root, self.view, self.allotment = task, root, view, allotment
        self.standing = asyncio.Lock()
        """For `Workspaces`, while it mounts or unmounts."""
        self._turn = asyncio.Lock()
        self._gone = False

    @property
    def uid(self) -> int:
        """Who owns the files: the user and group of this task's calls, and of nobody else's."""
        return self.allotment.uid

    @property
    def size(self) -> int:
        """Bytes of the filesystem, as the kernel shows it."""
        return self.allotment.size

    @property
    def inodes(self) -> int:
        """Files that the filesystem can hold, as the kernel shows it."""
        return self.allotment.inodes

    def expect(self) -> None:
        """Raise `WorkspaceGone` where the files are no more, or about to go."""
        if self._gone:
            raise WorkspaceGone(f"the files of task `{self.task}` are gone")

    async def enter(self) -> None:
        """Wait for the turn, in the order of asking. Raises `WorkspaceGone`. Then `leave`."""
        await self._turn.acquire()
        try:
            self.expect()
        except WorkspaceGone:
            self.leave()
            raise

    def leave(self) -> None:
        """Pass the turn on."""
        self._turn.release()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Path]:
        """Have the files to oneself for a block; yields `root`. Raises `WorkspaceGone`."""
        await self.enter()
        try:
            yield self.root
        finally:
            self.leave()

    @asynccontextmanager
    async def last_turn(self) -> AsyncIterator[None]:
        """Have the turn, as the last but those who end it too."""
        async with self._turn:
            self._gone = True
            yield
