"""Files that shall outlive a task whose end no broker saw, on real filesystems."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.server import join
from tests.support.eventually import eventually
from tests.support.filed import FRIEND, filed, root
from tests.support.serving import served
from tests.support.traces import traces


async def _opened(broker: AsyncBroker) -> tuple[str, str]:
    task = await broker.open_task("filing", variables=FRIEND)
    await task.put_file("note.txt", b"kept")
    return task.id, task.token


async def test_a_task_that_expired_while_no_broker_ran_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, manifests=filed(tmp_path)) as here, here.client() as broker:
        identity = await _opened(broker)
    assert traces(tmp_path) == []  # it lies there unmounted
    later = time.time_ns() // 1000 + 20 * 60 * 10**6
    monkeypatch.setattr(join, "_micros", lambda: later)
    async with served(tmp_path, manifests=filed(tmp_path)) as here, here.client() as broker:
        assert await broker.task(*identity).get_file("note.txt") == b"kept"
        assert here.kinds().count("workspace.removed") == 1
    assert traces(tmp_path) == []


async def test_a_removal_that_a_broker_died_in_goes_on_after_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, manifests=filed(tmp_path)) as here, here.client() as broker:
        task, token = await _opened(broker)
        state = Path(here.settings.state_dir)
    (state / "workspaces" / task / "image").unlink()
    later = time.time_ns() // 1000 + 20 * 60 * 10**6
    monkeypatch.setattr(join, "_micros", lambda: later)
    async with served(tmp_path, manifests=filed(tmp_path)) as here, here.client() as broker:
        assert (await broker.task(task, token).files()).entries == ()
        assert here.kinds().count("workspace.removed") == 1
    assert list((state / "workspaces").iterdir()) == []


async def test_files_in_use_are_kept_once_and_go_when_they_can(tmp_path: Path) -> None:
    soon = timedelta(seconds=1)
    async with (
        served(tmp_path, manifests=filed(tmp_path), sweep_every=soon) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", b"kept")
        with (root(here, task.id) / "other").open("w"):
            await task.close()
            assert "workspace.removed" not in here.kinds()
        await eventually(lambda: "workspace.removed" in here.kinds())
        assert here.kinds().count("file.kept") == 1
        assert await task.get_file("note.txt") == b"kept"
    assert traces(tmp_path) == []
