"""Which files outlive their task, and for how long?

Law: those that its manifest's `keep` names and that may leave, as they would have left. Each is
recorded once it lies safe; what is not recorded is not kept, and what is over is deleted.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime import policy
from sandbox_runtime.errors import Fault, Reason, Refusal, SandboxUnavailable
from sandbox_runtime.filing.needs import Carried
from sandbox_runtime.records import FileDeleted, FileKept
from sandbox_runtime.workspaces import beneath, listing, paths

if TYPE_CHECKING:
    from sandbox_runtime.filing.getting import Cleaned, Getting
    from sandbox_runtime.filing.needs import KeptFiles, Workspace
    from sandbox_runtime.ledger import Ledger, Live

MAX_KEPT = 256
"""Files of one task."""

_MICROSECOND = timedelta(microseconds=1)

_log = structlog.get_logger("sandbox_broker.files")


class Keeping:
    """Keeps what outlives tasks."""

    def __init__(self, *, ledger: Ledger, getting: Getting, kept: KeptFiles, most: int) -> None:
        """`most` bytes may a kept file have."""
        self._ledger, self._getting, self._kept, self._most = ledger, getting, kept, most
        self._held_back: set[tuple[str, str]] = set()
        """Task and path of what was recorded as staying, while its keeping is not done."""

    async def keep(self, live: Live, workspace: Workspace) -> None:
        """Keep what shall outlive the task. The caller has the workspace's last turn.

        Done again, it goes on where it failed. Raises `Fault`: nothing of the workspace is lost.
        """
        if not policy.workspace(live.task).keep:
            return
        task = live.task.state.id
        try:
            with beneath.opened_root(workspace.root) as root:
                for path in await self._wanted(live, root):
                    await self._keep_one(live, root, path)
        except OSError as error:
            raise SandboxUnavailable(f"the workspace failed: {error.strerror}") from error
        self._held_back = {each for each in self._held_back if each[0] != task}

    async def keep_tending(self, interval: float) -> None:
        """Delete what is over every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.tend()
            except (Fault, OSError) as error:
                _log.error("kept_files_not_tended", cause=str(error))

    async def tend(self) -> None:
        """Delete the files whose time is over."""
        for live in self._ledger.tasks():
            over = [k for k in live.task.state.kept.values() if self._ledger.now() >= k.until]
            for each in over:
                await self._delete(live, each.file)
        for orphan in self._ledger.orphans():
            if self._ledger.now() >= orphan.until:
                await self._ledger.delete_orphan(orphan)
                await asyncio.to_thread(self._kept.delete, orphan.task, orphan.file)

    async def clear(self) -> None:
        """Delete what was never recorded, or is recorded as deleted: an earlier broker died."""
        recorded = {(each.task, each.file) for each in self._ledger.orphans()}
        for live in self._ledger.tasks():
            recorded |= {(live.task.state.id, name) for name in live.task.state.kept}
        for task, name in await asyncio.to_thread(self._kept.names):
            if (task, name) not in recorded:
                await asyncio.to_thread(self._kept.delete, task, name)

    async def _wanted(self, live: Live, root: int) -> list[str]:
        """Return the paths of what shall be kept and is not yet."""
        task, keep = live.task.state.id, policy.workspace(live.task).keep
        found = await asyncio.to_thread(listing.listed, root)
        if not found.complete:
            _log.error("workspace_not_listed_whole", task=task)
        done = {each.path for each in self._getting.outliving(live)}
        wanted = (entry.path for entry in found.entries if paths.is_kept(entry.path, keep))
        return [w for w in wanted if w not in done and (task, w) not in self._held_back]

    async def _keep_one(self, live: Live, root: int, path: str) -> None:
        found = b""
        try:
            self._expect_room(live)
            found = await asyncio.to_thread(beneath.read, root, paths.steps(path), most=self._most)
            outcome = await self._getting.cleaned(live, path, found)
        except Refusal as refusal:  # a link, a device, too large, too many
            outcome = policy.HeldBack(code=_code(refusal), problem=refusal.problem)
        if isinstance(outcome, policy.HeldBack):
            await self._getting.hold_back(live, None, path, found, outcome)
            self._held_back.add((live.task.state.id, path))
            return
        await self._safe(live, path, outcome)

    def _expect_room(self, live: Live) -> None:
        if len(live.task.state.kept) >= MAX_KEPT:
            raise Refusal(f"{MAX_KEPT} files of the task are kept already", code="file.too_many")

    async def _safe(self, live: Live, path: str, file: Cleaned) -> None:
        task, now = live.task.state.id, self._ledger.now()
        name = await asyncio.to_thread(self._kept.keep, task, file.content)
        carried = Carried(path=path, sha256=file.sha256, changes=file.changes)
        body = self._ledger.seal(task, carried)
        record = FileKept(
            at=now,
            task=task,
            file=name,
            size=len(file.content),
            media_type=file.media_type,
            until=now + policy.workspace(live.task).retain // _MICROSECOND,
            body=body.ref,
        )
        await self._ledger.append(live, [record], [body]).wait()

    async def _delete(self, live: Live, name: str) -> None:
        task = live.task.state.id
        record = FileDeleted(at=self._ledger.now(), task=task, file=name)
        await self._ledger.append(live, [record]).wait()
        await asyncio.to_thread(self._kept.delete, task, name)
        _log.info("kept_file_deleted", task=task, file=name)


def _code(refusal: Refusal) -> str:
    return refusal.code or ("file.too_large" if refusal.why is Reason.FILE_TOO_LARGE else "file")
