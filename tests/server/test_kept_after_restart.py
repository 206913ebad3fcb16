"""Files that shall outlive their task, where brokers die and disks are full."""

from __future__ import annotations

import errno
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence import kept, layout
from sandbox_runtime.evidence.kept import KeptFiles
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.server import join
from tests.support.eventually import eventually
from tests.support.filed import FRIEND, filed, root
from tests.support.serving import served
from tests.support.traces import traces


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


def kept_below(state: Path) -> list[Path]:
    return list((state / "kept").glob("*/*"))


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


async def test_a_disk_that_is_nearly_full_keeps_files_where_they_are_and_the_log_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = timedelta(seconds=1)
    async with (
        served(tmp_path, manifests=filed(tmp_path), sweep_every=soon) as here,
        here.client() as broker,
    ):
        task, state = await broker.open_task("filing", variables=FRIEND), here.settings.state_dir
        await task.put_file("note.txt", b"kept")
        with monkeypatch.context() as full:
            full.setattr(kept, "create", _full)
            await task.close()
            assert "workspace.removed" not in here.kinds()
            assert kept_below(Path(state)) == []
        await eventually(lambda: "workspace.removed" in here.kinds())
        assert await task.get_file("note.txt") == b"kept"


def test_what_did_not_become_whole_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys.begin(tmp_path / "keys")
    keys.create("t-1")
    space = os.statvfs(tmp_path)
    files = KeptFiles(directory=tmp_path / "kept", keys=keys)
    nearly = KeptFiles(
        directory=tmp_path / "kept", keys=keys, headroom=space.f_bavail * space.f_frsize * 2
    )
    with pytest.raises(EvidenceUnavailable, match="nearly full"):
        nearly.keep("t-1", b"x")
    monkeypatch.setattr(kept, "sync_directory", _full)
    with pytest.raises(EvidenceUnavailable):
        files.keep("t-1", b"x")
    assert not [name for _, name in files.names() if name.endswith(".new")]


async def test_kept_files_of_an_erased_task_go_when_their_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, manifests=filed(tmp_path)) as here, here.client() as broker:
        task, token = await _opened(broker)
        await broker.task(task, token).close()
        state = Path(here.settings.state_dir)
    assert len(kept_below(state)) == 1
    Keys.open(layout.keys_directory(state)).destroy(task)
    async with served(tmp_path, manifests=filed(tmp_path)):
        assert len(kept_below(state)) == 1  # its time is not over
    later = time.time_ns() // 1000 + 400 * 86_400 * 10**6
    monkeypatch.setattr(join, "_micros", lambda: later)
    soon = timedelta(seconds=1)
    async with served(tmp_path, manifests=filed(tmp_path), sweep_every=soon) as here:
        await eventually(lambda: "file.deleted" in here.kinds() and not kept_below(state))
    async with served(tmp_path, manifests=filed(tmp_path), sweep_every=soon) as here:
        assert here.kinds().count("file.deleted") == 1
    assert verify(state).problem is None
