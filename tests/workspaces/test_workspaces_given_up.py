"""Who waits for a filesystem hangs up at the worst moment, and it is as if it had not."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.workspaces.filesystem import Filesystem
from sandbox_runtime.workspaces.threads import to_its_end
from tests.support.traces import traces

if TYPE_CHECKING:
    from sandbox_runtime.workspaces import Place, Workspaces

WANTED = Wanted.model_construct(size=4 << 20, inodes=64)


async def test_who_waits_for_a_thread_is_cancelled_once_it_has_ended() -> None:
    go, order = threading.Event(), list[str]()

    def work() -> None:
        go.wait()
        order.append("worked")
        raise OSError("nobody is left to hear of it")

    waiting = asyncio.create_task(to_its_end(work))
    for _ in range(3):  # however often
        await asyncio.sleep(0.01)
        waiting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert order == ["worked"]


async def test_who_hangs_up_while_it_is_mounted_leaves_it_mounted_once(
    workspaces: Workspaces, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await workspaces.make("t-1", WANTED)
    await workspaces.rest()
    began, go, stand = threading.Event(), threading.Event(), Filesystem._mount  # noqa: SLF001

    def slowly(self: Filesystem) -> None:
        began.set()
        go.wait()
        stand(self)

    monkeypatch.setattr(Filesystem, "_mount", slowly)
    first = asyncio.create_task(workspaces.of("t-1"))
    await asyncio.to_thread(began.wait)
    first.cancel()
    second = asyncio.create_task(workspaces.of("t-1"))
    await asyncio.sleep(0.05)
    go.set()
    assert await second is workspace
    assert first.cancelled()
    assert len(traces(place.folder)) == 3, "mounted once, with its view, on one loop device"


async def test_a_task_that_ends_while_all_is_unmounted_is_no_fault(
    workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in ("t-1", "t-2"):
        await workspaces.make(task, WANTED)
    ended, resting, rest = threading.Event(), threading.Event(), Filesystem.rest

    def while_another_ends(self: Filesystem) -> None:
        if self.home.name == "t-1" and not resting.is_set():
            resting.set()
            ended.wait()
        rest(self)

    monkeypatch.setattr(Filesystem, "rest", while_another_ends)
    all_ = asyncio.create_task(workspaces.rest())
    await asyncio.to_thread(resting.wait)
    await workspaces.end("t-2")
    ended.set()
    await all_
    assert await workspaces.end("t-1")
