"""Disk, user ids and places for files are everybody's: one subject has its share of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from sandbox_runtime.client import CallRefused
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.filing import Transfers
from sandbox_runtime.server.settings import Workspaces
from tests.support.filed import FRIEND, filed
from tests.support.serving import served
from tests.support.traces import traces

if TYPE_CHECKING:
    from sandbox_runtime.task import TaskState


async def test_one_subject_s_tasks_leave_room_for_those_of_others(tmp_path: Path) -> None:
    two = Workspaces(count_per_subject=2)
    async with (
        served(tmp_path, manifests=filed(tmp_path), workspaces=two) as here,
        here.client() as broker,
    ):
        opening = (broker.open_task("filing", variables=FRIEND) for _ in range(5))
        ends = await asyncio.gather(*opening, return_exceptions=True)
        refused = [end for end in ends if isinstance(end, CallRefused)]
        assert [each.reason for each in refused] == [Reason.RATE_LIMITED] * 3
        assert here.kinds().count("task.opened") == 2
        tasks = [end for end in ends if not isinstance(end, BaseException)]
        await broker.open_task("greeting", variables=FRIEND)  # it has no files
        await tasks[0].close()
        await broker.open_task("filing", variables=FRIEND)
    assert traces(tmp_path) == []


def _of(task: str, subject: str) -> TaskState:
    return cast("TaskState", SimpleNamespace(id=task, subject=subject))


def test_one_subject_s_files_on_their_way_leave_places_to_others() -> None:
    transfers = Transfers(of_task=2, of_subject=3, of_all=4)
    with transfers.one(_of("t-1", "a")), transfers.one(_of("t-1", "a")):
        with pytest.raises(Refusal), transfers.one(_of("t-1", "a")):
            pass
        with transfers.one(_of("t-2", "a")):
            with pytest.raises(Refusal), transfers.one(_of("t-3", "a")):
                pass
            with (
                transfers.one(_of("t-4", "b")),
                pytest.raises(Refusal),
                transfers.one(_of("t-5", "c")),
            ):
                pass
        with transfers.one(_of("t-3", "a")):
            pass
