"""`file put|list|get` against a broker that serves in this process, with real filesystems."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.cli.file import _progress
from sandbox_runtime.cli.output import Output
from tests.support.commands import document, run
from tests.support.filed import FRIEND, filed, root
from tests.support.serving import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.client import AsyncTask
    from tests.support.serving import Served


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, manifests=filed(tmp_path)) as broker:
        yield broker


@pytest.fixture
async def task(here: Served, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncTask]:
    async with here.client() as broker, await broker.open_task("filing", variables=FRIEND) as task:
        monkeypatch.setenv("SANDBOX_BROKER", here.unix)
        monkeypatch.setenv("SANDBOX_BROKER_TASK_TOKEN", task.token)
        yield task


async def test_a_file_is_put_listed_and_got(task: AsyncTask, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"a\x1b[31mb\n")
    code, put = await asyncio.to_thread(document, "file", "put", task.id, tmp_path / "in.txt")
    assert (code, put["path"], put["size"]) == (0, "in.txt", 8)
    code, listed = await asyncio.to_thread(document, "file", "list", task.id)
    (entry,) = listed["files"]
    assert (code, entry["path"], entry["kind"], entry["kept"]) == (0, "in.txt", "FILE", True)
    out = tmp_path / "out.txt"
    code, got = await asyncio.to_thread(document, "file", "get", task.id, "in.txt", "--to", out)
    assert (code, out.read_bytes()) == (0, b"ab\n")
    assert (got["media_type"], got["sha256"]) == ("text/plain", sha256(b"ab\n").hexdigest())
    assert got["changes"] == ["invisible characters taken out: 1"]


async def test_what_is_there_is_replaced_only_on_demand(task: AsyncTask, tmp_path: Path) -> None:
    await task.put_file("in.txt", b"new")
    out = tmp_path / "out.txt"
    out.write_bytes(b"mine")
    words = ("file", "get", task.id, "in.txt", "--to", out)
    refused = await asyncio.to_thread(run, *words)
    assert (refused.returncode, out.read_bytes()) == (2, b"mine")
    assert "--force" in refused.stderr
    assert (await asyncio.to_thread(run, *words, "--force")).returncode == 0
    assert out.read_bytes() == b"new"


async def test_a_refused_file_leaves_nothing_and_says_why(task: AsyncTask, tmp_path: Path) -> None:
    await task.put_file("a.png", b"no image")
    out = tmp_path / "out.png"
    code, said = await asyncio.to_thread(document, "file", "get", task.id, "a.png", "--to", out)
    assert (code, said["reason"], said["code"]) == (1, "FILE_REFUSED", "file.type_disagrees")
    assert "image/png" in said["mend"]
    assert not [name for name in os.listdir(tmp_path) if "out.png" in name]  # noqa: PTH208


async def test_a_hostile_name_reaches_the_terminal_cleaned(here: Served, task: AsyncTask) -> None:
    os.mkfifo(root(here, task.id) / "pipe")
    (root(here, task.id) / "\x1b]0;owned\x07").write_bytes(b"")
    (root(here, task.id) / "[bold]x.txt").write_bytes(b"")
    listed = await asyncio.to_thread(run, "file", "list", task.id)
    assert listed.returncode == 0
    assert "\x1b" not in listed.stdout
    assert "[bold]x.txt" in listed.stdout
    assert "special" in listed.stdout
    assert "1 more whose names cannot be shown" in listed.stdout


def test_of_a_long_transfer_it_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(json=False)
    told: list[str] = []
    tell = _progress(output)
    monkeypatch.setattr(output, "note", told.append)
    for done in range(0, (8 << 20) + 1, 1 << 18):
        tell(done, 8 << 20)
    assert told == [f"{tenth}0 % of {8 << 20} bytes" for tenth in range(1, 11)]
    small = len(told)
    tell(10, 10)
    assert len(told) == small


@pytest.mark.parametrize("words", [("put",), ("get", "t"), ("list",)])
def test_what_is_missing_is_a_mistake_of_usage(words: tuple[str, ...]) -> None:
    assert run("file", *words).returncode == 2
