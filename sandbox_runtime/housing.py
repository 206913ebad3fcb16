"""Where do a task's files live, and until when?

Law: a task whose manifest asks for a workspace has it before it is open, or is not opened. Its
files are gone once it has ended, and the log says so; what could not be removed then is tried
again until it can.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime.errors import Fault, Reason, Refusal, SandboxUnavailable
from sandbox_runtime.records import WorkspaceRemoved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sandbox_runtime.ledger import Ledger, Live
    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.records import Allotment, Micros
    from sandbox_runtime.workspaces import Workspace, Workspaces

    Last = Callable[[Live, Workspace], Awaitable[None]]

_log = structlog.get_logger("sandbox_broker.housing")

_PATIENCE = 10.0
"""Seconds that the end of a task waits for its files to be gone, and the end of the broker."""


class Housing:
    """The workspaces of the tasks."""

    def __init__(
        self, ledger: Ledger, workspaces: Workspaces, *, most_of_subject: int = 1000
    ) -> None:
        """`most_of_subject` workspaces may one subject's tasks have at a time."""
        self._ledger = ledger
        self._workspaces = workspaces
        self._most_of_subject = most_of_subject
        self._opening: Counter[str] = Counter()
        """By subject, tasks with files that are not known to the ledger yet."""
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._last: Last | None = None

    def before_end(self, last: Last) -> None:
        """Let `last` look at what shall outlive a task before it goes; where it fails all stays."""
        self._last = last

    @contextmanager
    def share(self, subject: str, manifest: LoadedTask) -> Iterator[None]:
        """Count one more workspace of the subject's, while its task is opened.

        Raises `Refusal` where it has its share: disk and user ids are everybody's.
        """
        if manifest.manifest.spec.workspace is None:
            yield
            return
        if self._had(subject) >= self._most_of_subject:
            raise Refusal(
                f"{self._most_of_subject} tasks of the subject have files already",
                reason=Reason.RATE_LIMITED,
                hint="close those that are done, then open this one",
            )
        self._opening[subject] += 1
        try:
            yield
        finally:
            self._opening[subject] -= 1
            self._opening += Counter()  # forget who opens nothing any more

    def _had(self, subject: str) -> int:
        states = (live.task.state for live in self._ledger.tasks())
        had = sum(each.workspace is not None and each.subject == subject for each in states)
        return had + self._opening[subject]

    async def make(self, task: str, manifest: LoadedTask) -> Allotment | None:
        """Make what the manifest asks for, for a task that is about to be opened.

        Raises `SandboxUnavailable`.
        """
        wanted = manifest.manifest.spec.workspace
        if wanted is None:
            return None
        return (await self._workspaces.make(task, wanted)).allotment

    async def forget(self, task: str) -> None:
        """Remove what was made for a task that was not opened after all."""
        try:
            await self._workspaces.end(task)
        except SandboxUnavailable as fault:  # the next start sweeps it
            _log.error("workspace_not_forgotten", task=task, cause=str(fault))

    async def of(self, live: Live) -> Workspace | None:
        """Return the task's workspace, mounted; None where its manifest asks for none.

        Raises `SandboxUnavailable`.
        """
        if live.task.state.workspace is None:
            return None
        return await self._workspaces.of(live.task.state.id)

    async def end(self, live: Live) -> None:
        """Remove the files of a task that has ended; return when they are gone, or soon.

        A call that cannot be removed keeps them, and whoever waits is not kept for that.
        """
        if live.task.state.workspace is None:
            return
        ending = self._begin_ending(live)
        await asyncio.wait({ending}, timeout=_PATIENCE)

    async def tidy(self) -> None:
        """Remove the files of all tasks that have ended, and what belongs to no task."""
        now = self._ledger.now()
        over = [live for live in self._ledger.tasks() if _is_over(live, now)]
        if endings := [self._begin_ending(live) for live in over]:
            await asyncio.wait(endings, timeout=_PATIENCE)
        swept = await self._workspaces.sweep()
        if swept.removed or swept.stuck:
            _log.warning("stray_workspaces", removed=len(swept.removed), stuck=swept.stuck)

    async def keep_tidy(self, interval: float) -> None:
        """Tidy up every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.tidy()
            except Fault as fault:
                _log.error("not_tidied", cause=str(fault))

    async def rest(self) -> None:
        """Unmount everything, and leave what tasks that live have where it is."""
        if self._ending:
            await asyncio.wait(self._ending.values(), timeout=_PATIENCE)
        await self._workspaces.rest()

    def _begin_ending(self, live: Live) -> asyncio.Task[None]:
        task = live.task.state.id
        if task not in self._ending:
            ending = self._ending[task] = asyncio.create_task(self._end(live))
            ending.add_done_callback(lambda _: self._ending.pop(task))
        return self._ending[task]

    async def _end(self, live: Live) -> None:
        task = live.task.state.id
        try:
            await self._workspaces.end(task, self._looks(live))
            gone = WorkspaceRemoved(at=self._ledger.now(), task=task)
            await self._ledger.append(live, [gone]).wait()
        except Fault as fault:
            _log.error("workspace_not_ended", task=task, cause=str(fault))

    def _looks(self, live: Live) -> Callable[[Workspace], Awaitable[None]] | None:
        """Return who looks at the files before they go; None where nothing of them is to stay."""
        wanted = live.task.manifest.manifest.spec.workspace
        if self._last is None or wanted is None or not wanted.keep:
            return None
        return partial(self._last, live)


def _is_over(live: Live, now: Micros) -> bool:
    state = live.task.state
    return state.workspace is not None and (state.closed or state.expires_at <= now)
