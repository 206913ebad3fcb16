"""Files that outlive their task, through the real server and real filesystems."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.client import CallRefused
from sandbox_runtime.errors import EvidenceUnavailable, Reason
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import Erased
from sandbox_runtime.evidence.kept import KeptFiles
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.filing import keeping
from sandbox_runtime.filing.needs import Carried
from sandbox_runtime.records import FileHeldBack, FileKept
from sandbox_runtime.server.settings import Peer
from tests.support.eventually import eventually
from tests.support.filed import FRIEND, filed, root
from tests.support.serving import served
from tests.support.traces import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_runtime.client import AsyncBroker, AsyncTask
    from tests.support.serving import Served

SECRET = b"of the host"


@asynccontextmanager
async def serving(directory: Path, **changes: object) -> AsyncIterator[tuple[Served, AsyncBroker]]:
    async with (
        served(directory, None, manifests=filed(directory), **changes) as here,
        here.client() as broker,
    ):
        yield here, broker


def kept(here: Served) -> list[FileKept]:
    return [record for record in here.records() if isinstance(record, FileKept)]


def files_of(here: Served) -> list[Path]:
    return sorted(Path(here.settings.state_dir, "kept").glob("*/*"))


async def refusal(task: AsyncTask, path: str) -> Reason | None:
    with pytest.raises(CallRefused) as caught:
        await task.get_file(path)
    return caught.value.reason


async def test_what_shall_outlive_a_task_does_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("out/end.json", b'{ "a": 1 }')
        await task.put_file("note.txt", b"a\x1b[31mb")
        await task.put_file("deep/note.txt", b"not named")
        await task.put_file("end.json", b"{}")
        await task.close()
        listed = (await task.files()).entries
        assert [(one.path, one.kept) for one in listed] == [
            ("note.txt", True),
            ("out/end.json", True),
        ]
        assert all(one.kept_until is not None for one in listed)
        assert await task.get_file("out/end.json") == b'{"a":1}'
        assert await task.get_file("note.txt") == b"ab"
        for gone in ("deep/note.txt", "end.json", "absent.txt"):
            assert await refusal(task, gone) is Reason.FILE_NOT_FOUND
        assert not root(here, task.id).exists()
    assert here.kinds()[-7:] == [
        "task.closed",
        "file.kept",
        "file.kept",
        "workspace.removed",
        "file.got",
        "file.got",
        "operator.stopped",
    ]
    assert verify(Path(here.settings.state_dir)).problem is None
    assert traces(tmp_path) == []


async def test_what_a_tool_planted_is_not_kept_and_that_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        there = root(here, task.id)
        (there / "link.md").symlink_to(tmp_path / "secret.txt")
        (there / "lie.txt").write_bytes(b"<html><script>")
        os.link(there / "lie.txt", there / "hard.txt")
        os.mkfifo(there / "pipe.txt")
        with (there / "sparse.txt").open("wb") as file:
            file.truncate(1 << 33)
        (there / "ok.txt").write_bytes(b"ok")
        await task.close()
        assert [one.path for one in (await task.files()).entries] == ["ok.txt"]
    held = [record for record in here.records() if isinstance(record, FileHeldBack)]
    assert sorted(record.code for record in held) == [
        "file.hard_link",
        "file.hard_link",
        "file.not_regular",
        "file.not_regular",
        "file.too_large",
    ]
    assert {record.subject for record in held} == {None}


async def test_a_task_has_so_many_kept_files_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MAX_KEPT", 2)
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        for number in range(4):
            await task.put_file(f"{number}.txt", b"x")
        await task.close()
        assert len((await task.files()).entries) == 2
    assert here.kinds().count("file.refused") == 2


async def test_what_is_kept_is_the_opener_s_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", b"x")
        await task.close()
        stranger = broker.task(task.id, "wrong")
        assert await refusal(stranger, "note.txt") is Reason.TASK_NOT_FOUND
        identity = task.id, task.token
    other = (Peer(uid=os.geteuid(), subject="agent:other"),)
    async with serving(tmp_path, peers=other) as (here, broker):
        task = broker.task(*identity)
        assert await refusal(task, "note.txt") is Reason.OPENER_NOT_ALLOWED
        with pytest.raises(CallRefused):
            await task.files()
    assert here.kinds().count("file.got") == 0


async def test_a_restart_keeps_what_was_recorded_and_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", b"x")
        await task.close()
        identity = task.id, task.token
        (Path(here.settings.state_dir) / "kept" / task.id / "f-stray").write_bytes(b"unrecorded")
    async with serving(tmp_path) as (here, broker):
        assert await broker.task(*identity).get_file("note.txt") == b"x"
        assert [each.name for each in files_of(here)] == [one.file for one in kept(here)]


async def test_on_disk_a_kept_file_is_encrypted_and_erased_with_its_task(tmp_path: Path) -> None:
    text = b"nobody else may read this"
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", text)
        await task.close()
        (path,) = files_of(here)
        assert text not in path.read_bytes()
        state = Path(here.settings.state_dir)
        keys = Keys.open(layout.keys_directory(state))
        files = KeptFiles(directory=layout.kept_directory(state), keys=keys)
        assert files.open(task.id, path.name) == text
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
        with pytest.raises(EvidenceUnavailable):
            files.open(task.id, path.name)
        keys.destroy(task.id)
        with pytest.raises(Erased):
            files.open(task.id, path.name)


async def test_once_its_time_is_over_a_kept_file_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_MICROSECOND", timedelta(hours=1))
    async with serving(tmp_path, sweep_every=timedelta(seconds=1)) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", b"x")
        await task.close()
        assert await refusal(task, "note.txt") is Reason.FILE_NOT_FOUND
        await eventually(lambda: "file.deleted" in here.kinds())
        assert files_of(here) == []
    assert verify(Path(here.settings.state_dir)).problem is None


async def test_the_log_says_of_which_file_only_under_the_task_s_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, broker):
        task = await broker.open_task("filing", variables=FRIEND)
        await task.put_file("note.txt", b"x")
        await task.close()
    (record,) = kept(here)
    assert "note" not in record.model_dump_json()
    bodies = layout.bodies(Path(here.settings.state_dir))
    told = Carried.model_validate_json(bodies.open(task.id, record.body))
    assert told.path == "note.txt"
