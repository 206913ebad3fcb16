"""A workspace is as large as was asked, of one user alone, and gone without a trace."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.workspaces import Place, Workspaces
from tests.support.traces import traces

GROUP = 128 << 20
"""Bytes that share one bitmap; inodes are rounded up in each."""


def wanted(size: int = 4 << 20, inodes: int = 64) -> Wanted:
    return Wanted.model_construct(size=size, inodes=inodes)


@pytest.mark.parametrize("size", [1 << 20, 64 << 20, 130 << 20, 300 << 20, 2 << 30])
@pytest.mark.parametrize("inodes", [16, 4096, 50_000])
async def test_it_has_room_for_what_was_asked_and_little_more(
    workspaces: Workspaces, size: int, inodes: int
) -> None:
    workspace = await workspaces.make("t-1", wanted(size, inodes))
    shown = os.statvfs(workspace.root)
    assert 0 <= shown.f_bavail * shown.f_frsize - size <= (64 << 10) + size // 1000
    assert 0 <= shown.f_ffree - inodes <= 16 * (1 + size // GROUP)
    assert await workspaces.of("t-1") is workspace
    assert await workspaces.end("t-1")
    assert await workspaces.of("t-1") is None


async def test_its_root_is_the_task_s_user_s_alone(workspaces: Workspaces) -> None:
    one, other = [await workspaces.make(task, wanted()) for task in ("t-1", "t-2")]
    for workspace in (one, other):
        status = workspace.root.stat()
        assert (status.st_uid, status.st_gid) == (workspace.uid, workspace.uid)
        assert stat.S_IMODE(status.st_mode) == 0o700
        assert list(workspace.root.iterdir()) == []
        assert stat.S_IMODE(workspace.root.parent.stat().st_mode) == 0o700
    assert one.uid != other.uid


async def test_the_disk_s_room_is_taken_when_it_is_made(workspaces: Workspaces) -> None:
    workspace = await workspaces.make("t-1", wanted(size=64 << 20))
    image = workspace.root.with_name("image").stat()
    assert image.st_blocks * 512 >= image.st_size >= 64 << 20


async def test_a_disk_without_room_for_it_beside_the_headroom_is_refused_untouched(
    place: Place,
) -> None:
    disk = os.statvfs(place.folder.parent)
    crowded = replace(place, headroom=disk.f_bavail * disk.f_frsize - (32 << 20))
    workspaces = Workspaces(crowded, {})
    with pytest.raises(SandboxUnavailable, match="no room"):
        await workspaces.make("t-1", wanted(size=1 << 30))
    assert list(place.folder.iterdir()) == []


async def test_on_a_disk_that_fills_up_the_room_it_took_stays_its_own(
    small_disk: Path, place: Place
) -> None:
    workspaces = Workspaces(replace(place, folder=small_disk / "workspaces"), {})
    workspace = await workspaces.make("t-1", wanted(size=8 << 20))
    with suppress(OSError), (small_disk / "full").open("wb", buffering=0) as full:
        while True:
            full.write(bytes(1 << 20))
    assert os.statvfs(small_disk).f_bavail == 0
    with (workspace.root / "a").open("wb") as file:
        file.write(os.urandom(7 << 20))
        os.fsync(file.fileno())
    with pytest.raises(SandboxUnavailable, match="no room"):
        await workspaces.make("t-2", wanted(size=1 << 20))
    assert await workspaces.end("t-1")


async def test_user_ids_that_are_all_taken_are_unavailable_and_ended_ones_come_back(
    workspaces: Workspaces, place: Place
) -> None:
    made = [await workspaces.make(f"t-{n}", wanted()) for n in range(3)]
    assert sorted(each.uid for each in made) == list(place.uids)
    with pytest.raises(SandboxUnavailable, match="user ids"):
        await workspaces.make("t-3", wanted())
    await workspaces.end("t-1")
    assert (await workspaces.make("t-3", wanted())).uid == made[1].uid


async def test_two_that_are_made_at_once_share_nothing(workspaces: Workspaces) -> None:
    made = await asyncio.gather(*(workspaces.make(f"t-{n}", wanted()) for n in range(3)))
    assert len({each.uid for each in made}) == 3
    assert len({each.root.stat().st_dev for each in made}) == 3


async def test_it_is_mounted_again_after_somebody_unmounted_it(
    workspaces: Workspaces, place: Place
) -> None:
    workspace = await workspaces.make("t-1", wanted())
    (workspace.root / "a").write_text("x")
    await workspaces.rest()
    assert traces(place.folder) == []
    found = await asyncio.gather(*(workspaces.of("t-1") for _ in range(3)))
    assert found == [workspace] * 3
    assert (workspace.root / "a").read_text() == "x"
    assert len(traces(place.folder)) == 3, "mounted once, with its view, on one loop device"


@pytest.mark.parametrize("gone", ["view", "root"])
async def test_what_somebody_half_unmounted_is_mounted_whole_again(
    workspaces: Workspaces, place: Place, gone: str
) -> None:
    workspace = await workspaces.make("t-1", wanted())
    (workspace.root / "a").write_text("x")
    _sh("umount", str(workspace.root.with_name(gone)))
    assert await workspaces.of("t-1") is workspace
    assert (workspace.view / "a").read_text() == "x"
    assert len(traces(place.folder)) == 3


async def test_a_root_that_a_tool_opened_to_others_is_closed_again(workspaces: Workspaces) -> None:
    workspace = await workspaces.make("t-1", wanted())
    workspace.root.chmod(0o777)
    assert await workspaces.of("t-1") is workspace
    assert stat.S_IMODE(workspace.root.stat().st_mode) == 0o700


async def test_an_image_behind_another_mount_is_not_put_behind_a_second_device(
    workspaces: Workspaces, place: Place, tmp_path: Path
) -> None:
    workspace = await workspaces.make("t-1", wanted())
    (tmp_path / "held").mkdir()
    _sh("mount", "--bind", str(workspace.root), str(tmp_path / "held"))
    try:
        await workspaces.rest()
        await workspaces.of("t-1")
        (workspace.root / "a").write_text("x")
        assert (tmp_path / "held/a").read_text() == "x"
        assert len([name for name in traces(place.folder) if name.endswith("image")]) == 1
    finally:
        _sh("umount", str(tmp_path / "held"))


async def test_after_the_machine_went_down_it_is_mended(
    workspaces: Workspaces, place: Place
) -> None:
    workspace = await workspaces.make("t-1", wanted())
    (workspace.root / "a").write_text("x")
    os.sync()
    image = workspace.root.with_name("image")
    torn = image.read_bytes()  # as the disk has it while it is mounted
    await workspaces.rest()
    image.write_bytes(torn)
    _sh("debugfs", "-w", "-R", "freei a", str(image))  # `a` lies in an inode that is free
    _sh("debugfs", "-w", "-R", "set_super_value state 0", str(image))
    after = Workspaces(place, {"t-1": workspace.allotment})
    again = await after.of("t-1")
    assert again is not None
    assert (again.root / "a").read_text() == "x"
    for name in "bcde":
        (again.root / name).write_text("y")
    assert (again.root / "a").read_text() == "x", "mended, it was not given to another file"


@pytest.mark.parametrize("damage", ["image", "bytes", "owner", "options"])
async def test_what_is_not_as_it_was_made_is_unavailable(
    workspaces: Workspaces, place: Place, damage: str
) -> None:
    workspace = await workspaces.make("t-1", wanted())
    allotment = workspace.allotment
    if damage == "image":
        await workspaces.rest()
        workspace.root.with_name("image").unlink()
    elif damage == "bytes":
        allotment = allotment.model_copy(update={"size": allotment.size - 4096})
    elif damage == "owner":
        os.chown(workspace.root, 0, 0)
    else:
        _sh("mount", "-o", "remount,bind,nodev,nosuid,exec", str(workspace.root))
    with pytest.raises(SandboxUnavailable):
        await Workspaces(place, {"t-1": allotment}).of("t-1")


async def test_a_file_in_the_way_of_what_is_made_leaves_nothing_mounted(
    workspaces: Workspaces, place: Place
) -> None:
    place.folder.mkdir()
    (place.folder / "t-1").write_text("in the way")
    with pytest.raises(SandboxUnavailable):
        await workspaces.make("t-1", wanted())
    assert traces(place.folder) == []


async def test_a_maker_that_dies_at_any_step_leaves_what_a_sweep_removes(place: Place) -> None:
    for pause in (2, 10, 18, 30):
        maker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAKER, str(place.folder), f"t-{pause}"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert maker.stdout is not None
        await maker.stdout.readline()
        await asyncio.sleep(pause / 1000)
        maker.kill()
        await maker.communicate()
    await asyncio.sleep(0.2)  # a mount(8) that it had started ends by itself
    swept = await Workspaces(place, {}).sweep()
    assert swept.removed
    assert swept.stuck == ()
    assert traces(place.folder) == []
    assert list(place.folder.iterdir()) == []


async def test_what_is_in_use_is_stuck_and_holds_up_no_other(place: Place) -> None:
    before = Workspaces(place, {})
    one = await before.make("t-1", wanted())
    await before.make("t-2", wanted())
    with (one.root / "a").open("w"):
        swept = await Workspaces(place, {}).sweep()
        assert (swept.removed, swept.stuck) == (("t-2",), ("t-1",))
    assert (await Workspaces(place, {}).sweep()).removed == ("t-1",)


MAKER = """
import asyncio, sys
from pathlib import Path
from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.workspaces import Place, Workspaces
place = Place(folder=Path(sys.argv[1]), uids=range(70_000, 70_003), headroom=1)
made = Workspaces(place, {}).make(sys.argv[2], Wanted.model_construct(size=4 << 20, inodes=64))
print("making", flush=True)
asyncio.run(made)
asyncio.run(asyncio.sleep(60))
"""


def _sh(*words: str) -> None:
    subprocess.run(words, check=True)  # noqa: S603 - the test's own words
