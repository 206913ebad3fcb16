"""Which tasks have files, and where?

Law: what is mounted under this broker's folder belongs to a task that lives, or is removed: at
the start, and whenever somebody sweeps. No two of its workspaces have one user id.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.workspaces.filesystem import Asked, Filesystem
from sandbox_runtime.workspaces.threads import to_its_end
from sandbox_runtime.workspaces.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from sandbox_runtime.manifests.model import Workspace as Wanted
    from sandbox_runtime.records import Allotment

    Last = Callable[[Workspace], Awaitable[None]]

_log = structlog.get_logger("sandbox_broker.workspaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Names of what lay there and belonged to no task that lives."""

    removed: tuple[str, ...]
    stuck: tuple[str, ...]
    """Something is in use; an operator should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the workspaces of a broker are, and whose they may be."""

    folder: Path
    uids: range
    headroom: int
    """Bytes that stay free on the disk beside all workspaces."""


class Workspaces:
    """The workspaces of one broker."""

    def __init__(self, place: Place, standing: Mapping[str, Allotment]) -> None:
        """`standing` are those of the tasks that live, as the log tells; `of` looks at each."""
        self._place = place
        self._known = {task: self._workspace(task, had) for task, had in standing.items()}
        self._making: dict[str, int] = {}
        """By task whose workspace is being made, its user id."""
        self._latest = place.uids.start - 1

    async def make(self, task: str, wanted: Wanted) -> Workspace:
        """Make the workspace of a new task. Raises `SandboxUnavailable`; then nothing is left.

        Cancelling this removes what was made.
        """
        uid = self._making[task] = self._latest = self._free_uid()
        asked = Asked(
            size=wanted.size, inodes=wanted.inodes, uid=uid, headroom=self._place.headroom
        )
        try:
            self._known[task] = self._workspace(task, await to_its_end(self._made, task, asked))
        except asyncio.CancelledError:
            await to_its_end(self._removed, task)
            raise
        finally:
            del self._making[task]
        return self._known[task]

    async def of(self, task: str) -> Workspace | None:
        """Return the task's workspace, mounted as it was made; None where it has none.

        Raises `SandboxUnavailable`.
        """
        if (workspace := self._known.get(task)) is None:
            return None
        async with workspace.standing:
            workspace.expect()
            await to_its_end(self._filesystem(task).stand, workspace.allotment)
        return workspace

    async def end(self, task: str, last: Last | None = None) -> bool:
        """Remove the task's files, once whoever has the turn is done; say whether there were any.

        `last` is who still looks at them, mounted as they were made. Raises `SandboxUnavailable`
        where that cannot be, or something is left; done again, it goes on there.
        """
        if (workspace := self._known.get(task)) is None:
            return False
        async with workspace.last_turn():
            if task not in self._known:
                return False
            if last is not None and self._filesystem(task).is_there():
                await self._stand(workspace)
                await last(workspace)
            async with workspace.standing:
                if not await to_its_end(self._removed, task):
                    raise SandboxUnavailable(f"the workspace of task `{task}` cannot be removed")
            del self._known[task]
        return True

    async def rest(self) -> None:
        """Unmount what is not in use; `of` mounts it again."""
        for workspace in tuple(self._known.values()):  # tasks end meanwhile
            async with workspace.standing:
                await to_its_end(self._rested, workspace.task)

    async def sweep(self) -> Swept:
        """Remove what lies here and belongs to no task that lives."""
        names = await asyncio.to_thread(self._names)
        strays = [name for name in names if name not in self._known | self._making]
        gone = [await to_its_end(self._removed, name) for name in strays]
        return Swept(
            removed=tuple(name for name, went in zip(strays, gone, strict=True) if went),
            stuck=tuple(name for name, went in zip(strays, gone, strict=True) if not went),
        )

    async def _stand(self, workspace: Workspace) -> None:
        there = self._filesystem(workspace.task)
        async with workspace.standing:
            await to_its_end(there.stand, workspace.allotment)

    def _made(self, task: str, asked: Asked) -> Allotment:
        try:
            return self._filesystem(task).make(asked)
        except SandboxUnavailable:
            self._removed(task)
            raise

    def _removed(self, task: str) -> bool:
        try:
            self._filesystem(task).remove()
        except OSError as error:
            _log.error("workspace_not_removed", task=task, cause=str(error))
            return False
        return True

    def _rested(self, task: str) -> None:
        try:
            self._filesystem(task).rest()
        except OSError as error:
            _log.warning("workspace_left_mounted", task=task, cause=str(error))

    def _names(self) -> list[str]:
        folder = self._place.folder
        return sorted(home.name for home in folder.iterdir()) if folder.exists() else []

    def _free_uid(self) -> int:
        uids = self._place.uids
        taken = {each.uid for each in self._known.values()} | set(self._making.values())
        for uid in chain(range(self._latest + 1, uids.stop), uids):
            if uid not in taken:
                return uid
        raise SandboxUnavailable(f"each of the {len(uids)} user ids for workspaces is taken")

    def _filesystem(self, task: str) -> Filesystem:
        return Filesystem(self._place.folder / task)

    def _workspace(self, task: str, allotment: Allotment) -> Workspace:
        there = self._filesystem(task)
        return Workspace(task, root=there.root, view=there.view, allotment=allotment)
