"""A tool works on its task's files: on these, within their walls, and alone."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from sandbox_runtime import policy
from sandbox_runtime.call import ModelContext, Outcome, Permitted, ProposedCall
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.sandbox.calls import PlannedCall, Sandbox
from sandbox_runtime.sandbox.container import WallsDiffer
from sandbox_runtime.sandbox.engine import Engine
from sandbox_runtime.sandbox.launcher import CallBytes
from sandbox_runtime.sandbox.plan import Files
from sandbox_runtime.sandbox.tool_images import Locked
from sandbox_runtime.workspaces import Place, Workspace, Workspaces
from tests.support.rooms import PRELUDE, Room, answered


@pytest.fixture
async def workspaces(tmp_path: Path) -> AsyncIterator[Workspaces]:
    place = Place(folder=tmp_path / "workspaces", uids=range(70_000, 70_010), headroom=1 << 20)
    yield Workspaces(place, {})
    await Workspaces(place, {}).sweep()


@pytest.fixture
async def workspace(workspaces: Workspaces) -> Workspace:
    return await workspaces.make("t", Wanted.model_construct(size=2 << 20, inodes=64))


def files(workspace: Workspace, **changes: object) -> Files:
    has = {
        "source": str(workspace.root),
        "read_only": False,
        "size": workspace.size,
        "inodes": workspace.inodes,
        "uid": workspace.uid,
    }
    return Files.model_validate({**has, **changes})


async def work(room: Room, have: Files, code: str) -> Any:  # noqa: ANN401 - any JSON
    made = room.plan(code, file_size=64 << 20)
    plan = made.model_copy(update={"files": have, "uid": have.uid, "gid": have.uid})
    return answered(await room.carry_out(plan))


async def test_what_one_call_writes_the_next_one_reads_and_the_host_too(
    room: Room, workspace: Workspace
) -> None:
    have = files(workspace)
    assert await work(room, have, "answer(open('/workspace/a', 'w').write('state'))") == 5
    assert await work(room, have, "answer(open('/workspace/a').read())") == "state"
    written = workspace.root / "a"
    assert written.read_text() == "state"
    assert (written.stat().st_uid, written.stat().st_gid) == (workspace.uid, workspace.uid)


async def test_a_tool_that_only_reads_cannot_write(room: Room, workspace: Workspace) -> None:
    (workspace.root / "a").write_text("theirs")
    (workspace.root / "a").chmod(0o666)
    have = files(workspace, source=str(workspace.view), read_only=True)
    code = """answer([open('/workspace/a').read(),
        attempt(lambda: open('/workspace/a', 'w')), attempt(lambda: os.mkdir('/workspace/b'))])"""
    read, *written = await work(room, have, code)
    assert read == "theirs"
    assert written == [f"OSError {errno.EROFS}"] * 2


ATTACKS = {
    "a block device": (
        "os.mknod('/workspace/x', 0o60666, os.makedev(7, 0))",
        f"PermissionError {errno.EPERM}",
    ),
    "a character device": (
        "os.mknod('/workspace/x', 0o20666, os.makedev(1, 1))",
        f"PermissionError {errno.EPERM}",
    ),
    "a program of its own": (
        (
            "(open('/workspace/x', 'w').write('#!/bin/sh'), os.chmod('/workspace/x', 0o4755), "
            "os.execv('/workspace/x', ['x']))"
        ),
        f"PermissionError {errno.EACCES}",
    ),
    "a library of its own": (
        (
            "(open('/workspace/x', 'w').write('x' * 4096), __import__('mmap').mmap("
            "os.open('/workspace/x', os.O_RDWR), 4096, prot=5))"
        ),
        f"PermissionError {errno.EPERM}",
    ),
    "a link to the image's file": (
        "os.link('/etc/passwd', '/workspace/x')",
        f"OSError {errno.EXDEV}",
    ),
    "a file given to root": (
        "(open('/workspace/x', 'w').close(), os.chown('/workspace/x', 0, 0))",
        f"PermissionError {errno.EPERM}",
    ),
    "a file that is taken from it later": (
        "__import__('fcntl').ioctl(os.open('/workspace', 0), 0x40086602, b'\\x10' + bytes(7))",
        f"PermissionError {errno.EPERM}",
    ),
    "freezing it": (
        "__import__('fcntl').ioctl(os.open('/workspace', 0), 0xC0045877, 0)",
        f"PermissionError {errno.EPERM}",
    ),
}
"""What is tried, and how it fails. The ioctls are FS_IOC_SETFLAGS (immutable) and FIFREEZE."""


@pytest.mark.parametrize(("code", "fails"), ATTACKS.values(), ids=ATTACKS)
async def test_what_a_tool_tries_on_its_files_fails(
    room: Room, workspace: Workspace, code: str, fails: str
) -> None:
    assert await work(room, files(workspace), f"answer(attempt(lambda: {code}))") == fails


@pytest.mark.parametrize(
    ("code", "taken"),
    [
        (
            "f = open('/workspace/x', 'wb', 0)\nwhile True: f.write(bytes(65536))",
            lambda shown: shown.f_bavail,
        ),
        (
            "i = 0\nwhile True: os.mkdir(f'/workspace/{i}'); i += 1",
            lambda shown: shown.f_ffree,
        ),
    ],
    ids=["of bytes", "of files"],
)
async def test_a_workspace_that_is_full_is_full_for_its_task_alone(
    room: Room,
    workspaces: Workspaces,
    workspace: Workspace,
    code: str,
    taken: Callable[[os.statvfs_result], int],
) -> None:
    other = await workspaces.make("other", Wanted.model_construct(size=2 << 20, inodes=64))
    image = workspace.root.with_name("image")
    before = image.stat().st_blocks
    body = "\n    ".join(code.splitlines())
    filling = f"try:\n    {body}\nexcept OSError as error: answer(error.errno)"
    assert await work(room, files(workspace), filling) == errno.ENOSPC
    assert taken(os.statvfs(workspace.root)) < 16  # blocks that the kernel keeps for itself
    os.sync()
    assert image.stat().st_blocks == before, "the disk's room was taken when it was made"
    assert await work(room, files(other), "answer(open('/workspace/a', 'w').write('x'))") == 1
    emptied = "__import__('shutil').rmtree('/workspace', ignore_errors=True)"
    assert await work(room, files(workspace), f"{emptied}; os.mkdir('/workspace/y'); answer(1)")


async def test_a_call_that_is_cut_off_by_a_full_workspace_has_an_honest_end(
    room: Room, workspace: Workspace
) -> None:
    code = "f = open('/workspace/x', 'wb', 0)\nwhile True: f.write(bytes(65536))"
    made = room.plan(code, file_size=64 << 20)
    plan = made.model_copy(update={"files": files(workspace), "uid": 70_000, "gid": 70_000})
    done = await room.carry_out(plan)
    assert done.ending is Outcome.CRASHED
    assert b"No space left on device" in done.log.head


async def test_a_file_is_no_larger_than_the_tool_s_limit(room: Room, workspace: Workspace) -> None:
    made = room.plan("f = open('/workspace/x', 'wb', 0); f.write(bytes(100_000)); answer(1)")
    ceilings = made.ceilings.model_copy(update={"file_size": 65_536})
    have = {"files": files(workspace), "uid": 70_000, "gid": 70_000, "ceilings": ceilings}
    await room.carry_out(made.model_copy(update=have))
    assert (workspace.root / "x").stat().st_size == 65_536


async def test_another_task_s_user_reaches_no_file_even_where_it_is_mounted(
    room: Room, workspaces: Workspaces, workspace: Workspace
) -> None:
    other = await workspaces.make("other", Wanted.model_construct(size=2 << 20, inodes=64))
    assert other.uid != workspace.uid
    (workspace.root / "a").write_text("secret")
    (workspace.root / "a").chmod(0o666)
    code = """answer([attempt(lambda: os.listdir('/workspace')),
        attempt(lambda: open('/workspace/a').read()),
        attempt(lambda: open('/workspace/b', 'w'))])"""
    tried = await work(room, files(workspace, uid=other.uid), code)
    assert tried == [f"PermissionError {errno.EACCES}"] * 3


async def test_a_tool_without_files_sees_no_workspace(room: Room, workspace: Workspace) -> None:
    assert workspace.root.exists()
    assert await room.result("answer(os.path.exists('/workspace'))") is False


async def _differing(room: Room, have: Files) -> str:
    made = room.plan("answer(1)").model_copy(
        update={"files": have, "uid": have.uid, "gid": have.uid}
    )
    with pytest.raises(WallsDiffer) as caught:
        await room.carry_out(made)
    return str(caught.value)


async def test_another_size_than_planned_never_hears_the_call(
    room: Room, workspace: Workspace
) -> None:
    assert "/workspace" in await _differing(room, files(workspace, size=workspace.size + 4096))
    assert "/workspace" in await _differing(room, files(workspace, inodes=workspace.inodes - 1))


async def test_writable_where_read_only_was_planned_never_hears_the_call(
    room: Room, workspace: Workspace
) -> None:
    assert "/workspace" in await _differing(room, files(workspace, read_only=True))
    view = files(workspace, source=str(workspace.view))
    assert "/workspace" in await _differing(room, view)


async def test_a_mere_folder_of_the_host_s_never_hears_the_call(
    room: Room, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    assert "/workspace" in await _differing(room, files(workspace, source=str(tmp_path / "folder")))


@pytest.mark.parametrize("option", ["dev", "suid", "exec"])
async def test_a_mount_without_one_of_its_options_never_hears_the_call(
    room: Room, workspace: Workspace, option: str
) -> None:
    root = str(workspace.root)
    remount = ["mount", "-o", f"remount,bind,nodev,nosuid,noexec,{option}", root]
    subprocess.run(remount, check=True)  # noqa: ASYNC221, S603 - as an operator's mistake
    assert "/workspace" in await _differing(room, files(workspace))


async def test_what_is_mounted_below_later_does_not_appear(
    room: Room, workspace: Workspace
) -> None:
    (workspace.root / "below").mkdir()
    (workspace.root / "below").chmod(0o777)
    below = str(workspace.root / "below")
    subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)  # noqa: ASYNC221, S603, S607
    try:
        (workspace.root / "below/a").write_text("the host's")
        assert await work(room, files(workspace), "answer(os.listdir('/workspace/below'))") == []
    finally:
        subprocess.run(["umount", below], check=True)  # noqa: ASYNC221, S603, S607


async def test_a_container_that_the_engine_does_not_remove_keeps_the_turn(
    room: Room, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = AsyncMock(side_effect=SandboxUnavailable("it would not go"))
    plan = room.plan("answer(1)").model_copy(
        update={"files": files(workspace), "uid": workspace.uid, "gid": workspace.uid}
    )
    await workspace.enter()
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "remove", stuck)
        done = await room.launcher.run(
            plan,
            CallBytes(call_id="c", arguments=None),
            deadline=time.monotonic() + 30,
            on_event=lambda _: None,
            gone=workspace.leave,
        )
        await done.closed
        next_one = asyncio.create_task(workspace.enter())
        assert (await room.launcher.sweep()).stuck
        await asyncio.sleep(0.05)
        assert not next_one.done()
    assert (await room.launcher.sweep()).removed
    await asyncio.wait_for(next_one, 5)
    workspace.leave()


async def test_a_container_that_somebody_else_removed_passes_the_turn_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Engine.remove
    told: list[str] = []

    async def removed_and_not_said(engine: Engine, name: str) -> None:
        await remove(engine, name)
        raise SandboxUnavailable("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "remove", removed_and_not_said)
        done = await room.launcher.run(
            room.plan("answer(1)"),
            CallBytes(call_id="c", arguments=None),
            deadline=time.monotonic() + 30,
            on_event=lambda _: None,
            gone=lambda: told.append("gone"),
        )
        await done.closed
        assert told == []
    await room.launcher.sweep()
    await room.launcher.sweep()
    assert told == ["gone"]


MANIFEST = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {{name: probe, version: 1.0.0, owner: tests}}
spec:
  description: Do what a test says.
  program: {{command: [/usr/bin/python3, -c, {code}]}}
  {files}
  result: {{schema: {{}}, model_text: {{}}}}
  sandbox: {{memory: 64Mi, cpu: 1, wall_time: 8s}}
"""


def planned(
    room: Room, workspace: Workspace | None, code: str, access: str = "workspace: read_write"
) -> PlannedCall:
    """A call of a tool that runs `code`, as the broker would plan it."""
    text = MANIFEST.format(code=json.dumps(PRELUDE + code), files=access)
    call = ProposedCall(
        task_id="t", call_id="c", tool="probe", text=b"", subject="s", model=ModelContext()
    )
    tool = load_texts({"tool.yaml": text}).tools["probe"]
    permitted = Permitted(
        call=call,
        tool=tool,
        grant="g",
        rule=(),
        arguments={},
        shown={},
        changes=(),
        facts={},
        workspace=policy.mounted(tool, {}),
    )
    sandbox = Sandbox(
        launcher=room.launcher,
        images=Locked({"probe": room.image}),
        data={},
        seconds=time.time,
        monotonic=time.monotonic,
    )
    return sandbox.plan(permitted, wall_ms=5000, workspace=workspace)


async def test_a_planned_call_has_the_turn_until_its_container_is_gone(
    room: Room, workspace: Workspace
) -> None:
    call = planned(room, workspace, "open('/workspace/a', 'w').write('x'); answer(os.getuid())")
    await call.take_turn()
    late = asyncio.create_task(workspace.enter())
    answered_ = await call.answer()
    assert answered_.answer == f'{{"result": {workspace.uid}}}'.encode()
    await late
    assert await room.left() == 0
    workspace.leave()
    assert (workspace.root / "a").stat().st_uid == workspace.uid


async def test_a_tool_that_only_reads_gets_the_view(room: Room, workspace: Workspace) -> None:
    code = "answer(attempt(lambda: open('/workspace/a', 'w')))"
    call = planned(room, workspace, code, "workspace: read_only")
    await call.take_turn()
    assert f"OSError {errno.EROFS}".encode() in (await call.answer()).answer


@pytest.mark.parametrize("pause", [0, 0.02, 0.2, 0.6])
async def test_a_call_that_is_cancelled_at_any_moment_passes_the_turn_on(
    room: Room, workspace: Workspace, pause: float
) -> None:
    call = planned(room, workspace, "time.sleep(60)")

    async def run() -> None:
        await call.take_turn()
        await call.answer()

    running = asyncio.create_task(run())
    await asyncio.sleep(pause)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(workspace.enter(), 10)
    assert await room.left() == 0
    workspace.leave()


async def test_a_call_whose_time_was_over_when_its_turn_came_never_runs(
    room: Room, workspace: Workspace
) -> None:
    call = planned(room, workspace, "open('/workspace/a', 'w').close(); answer(1)")
    await call.take_turn()
    with pytest.raises(SandboxUnavailable):
        await call.answer(most_ms=0)
    await asyncio.wait_for(workspace.enter(), 10)
    assert list(workspace.root.iterdir()) == []
    workspace.leave()


def test_a_tool_and_a_task_that_differ_about_files_are_unavailable(
    room: Room, workspace: Workspace
) -> None:
    with pytest.raises(SandboxUnavailable, match="differ"):
        planned(room, None, "answer(1)")
    with pytest.raises(SandboxUnavailable, match="differ"):
        planned(room, workspace, "answer(1)", "data: []")
