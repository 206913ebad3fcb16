"""The host in a tree that hostile code has written: a real one, and the real kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.errors import Reason, Refusal, SandboxUnavailable
from sandbox_runtime.workspaces import beneath, listing, writing
from sandbox_runtime.workspaces.beneath import FileNotFound, FileRefused, opened_root
from sandbox_runtime.workspaces.paths import MAX_DEPTH, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = 64_999
MOST = 1 << 20
SECRET = b"of the host"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "secret").write_bytes(SECRET)
    root = tmp_path / "workspace"
    root.mkdir()
    yield root
    # Python's own removal, and so pytest's, is not up to a tree of any depth.
    subprocess.run(["/bin/rm", "-rf", str(root)], check=True)  # noqa: S603


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    with opened_root(tree) as held:
        yield held


def read(root: int, path: str, most: int = MOST) -> bytes:
    return beneath.read(root, steps(path), most=most)


def put(root: int, tmp_path: Path, path: str, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with source.open("rb") as file, writing.staged(root, steps(path), file.fileno(), uid=UID) as it:
        it.appear()


def test_a_regular_file_is_read_whole(tree: Path, root: int) -> None:
    (tree / "data").mkdir()
    (tree / "data" / "in.csv").write_bytes(b"a,b\n" * 1000)
    assert read(root, "data/in.csv") == b"a,b\n" * 1000


@pytest.mark.parametrize("target", ["../secret", "plain", "/proc/self/environ", "nowhere"])
def test_a_symbolic_link_is_never_followed(tree: Path, root: int, target: str) -> None:
    (tree / "plain").write_bytes(b"here")
    (tree / "link").symlink_to(target)
    with pytest.raises(FileRefused):
        read(root, "link")


@pytest.mark.parametrize("target", ["..", "sub", "/"])
def test_no_directory_is_entered_through_a_link(tree: Path, root: int, target: str) -> None:
    (tree / "sub").mkdir()
    (tree / "sub" / "secret").write_bytes(b"x")
    (tree / "to").symlink_to(target)
    with pytest.raises(FileRefused) as caught:
        read(root, "to/secret")
    assert caught.value.code == "file.leads_away"


def test_the_kernel_itself_refuses_to_climb_out(tree: Path, root: int) -> None:
    assert tree.parent.joinpath("secret").exists()
    for path in ("../secret", f"{tree.parent}/secret", "/proc/self/environ"):
        with pytest.raises(OSError, match="cross-device") as caught:
            beneath.open_beneath(root, path, os.O_PATH)
        assert caught.value.errno == errno.EXDEV


def test_another_mount_below_the_root_is_not_entered() -> None:
    with opened_root(Path("/")) as whole, pytest.raises(FileRefused):
        beneath.read(whole, ("proc", "version"), most=MOST)


def test_a_pipe_a_socket_a_device_and_a_directory_are_no_files(tree: Path, root: int) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "directory").mkdir()
    os.mknod(tree / "device", 0o20666, os.makedev(1, 5))  # /dev/zero: it never ends
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "s"))
        for name in ("pipe", "directory", "device", "s"):
            with pytest.raises(FileRefused) as caught:
                read(root, name)
            assert caught.value.code == "file.not_regular"


def test_opening_a_pipe_is_not_seen_by_who_waits_at_its_other_end(tree: Path, root: int) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(FileRefused):
        read(root, "pipe")
    with pytest.raises(OSError, match="No such device") as caught:
        os.open(tree / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    assert caught.value.errno == errno.ENXIO  # nobody reads it


def test_a_file_with_a_second_name_is_refused(tree: Path, root: int) -> None:
    os.link(tree.parent / "secret", tree / "hard")
    with pytest.raises(FileRefused) as caught:
        read(root, "hard")
    assert caught.value.code == "file.hard_link"


def test_a_huge_sparse_file_is_refused_unread(tree: Path, root: int) -> None:
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Refusal) as caught:
        read(root, "sparse")
    assert caught.value.why is Reason.FILE_TOO_LARGE


def test_a_file_may_be_as_large_as_said_and_no_larger(tree: Path, root: int) -> None:
    (tree / "f").write_bytes(b"x" * 100)
    assert len(read(root, "f", 100)) == 100
    with pytest.raises(Refusal) as caught:
        read(root, "f", 99)
    assert caught.value.why is Reason.FILE_TOO_LARGE


def test_what_is_not_there_is_not_found(tree: Path, root: int) -> None:
    (tree / "file").write_bytes(b"")
    for path in ("absent", "absent/too", "file/below"):
        with pytest.raises(FileNotFound):
            read(root, path)


def test_a_file_that_is_swapped_for_a_link_all_the_time_never_yields_the_host_s(
    tree: Path, root: int
) -> None:
    stop, own = threading.Event(), b"the task's own"

    def swap() -> None:
        while not stop.is_set():
            (tree / "new").write_bytes(own)
            (tree / "new").replace(tree / "target")
            (tree / "other").symlink_to("../secret")
            (tree / "other").replace(tree / "target")

    (tree / "target").write_bytes(own)
    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[str] = set()
    try:
        for _ in range(3000):
            try:
                assert read(root, "target") == own
                seen.add("file")
            except Refusal:
                seen.add("refused")
    finally:
        stop.set()
        swapping.join()
    assert seen == {"file", "refused"}


def test_a_directory_that_is_swapped_for_a_link_while_reading_leads_nowhere(
    tree: Path, root: int
) -> None:
    stop = threading.Event()
    (tree / "d").mkdir()
    (tree / "d" / "secret").write_bytes(b"inside")
    (tree / "l").symlink_to("..")
    libc = ctypes.CDLL(None)
    names = os.fsencode(tree / "d"), os.fsencode(tree / "l")

    def exchange() -> None:
        while not stop.is_set():
            libc.renameat2(-100, names[0], -100, names[1], 2)

    swapping = threading.Thread(target=exchange)
    swapping.start()
    seen: set[bytes] = set()
    try:
        for _ in range(3000):
            try:
                seen.add(read(root, "d/secret"))
            except (Refusal, SandboxUnavailable):
                seen.add(b"")
    finally:
        stop.set()
        swapping.join()
    assert seen == {b"inside", b""}


def test_without_openat2_there_is_no_reading(
    root: int, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "f").write_bytes(b"x")
    monkeypatch.setattr(beneath, "_OPENAT2", 100_000)
    with pytest.raises(SandboxUnavailable, match="openat2"):
        read(root, "f")


def test_a_put_file_is_the_task_s_own_and_replaces_in_one_step(
    tree: Path, root: int, tmp_path: Path
) -> None:
    put(root, tmp_path, "a/b/in.csv", b"first")
    put(root, tmp_path, "a/b/in.csv", b"second")
    file = tree / "a" / "b" / "in.csv"
    assert file.read_bytes() == b"second"
    for each in (file, file.parent, tree / "a"):
        assert (each.stat().st_uid, each.stat().st_gid) == (UID, UID)
    assert [each.name for each in file.parent.iterdir()] == ["in.csv"]


def test_a_file_that_does_not_appear_leaves_nothing(tree: Path, root: int, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with (tmp_path / "source").open("rb") as source:
        with writing.staged(root, ("in.csv",), source.fileno(), uid=UID):
            assert [each.name[:5] for each in tree.iterdir()] == [".put-"]
        assert list(tree.iterdir()) == []


def test_a_planted_link_is_replaced_and_not_written_through(
    tree: Path, root: int, tmp_path: Path
) -> None:
    (tree / "in.csv").symlink_to("../secret")
    put(root, tmp_path, "in.csv", b"new")
    assert not (tree / "in.csv").is_symlink()
    assert (tree.parent / "secret").read_bytes() == SECRET


def test_a_hard_link_s_other_name_keeps_what_it_held(tree: Path, root: int, tmp_path: Path) -> None:
    os.link(tree.parent / "secret", tree / "in.csv")
    put(root, tmp_path, "in.csv", b"new")
    assert (tree.parent / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("path", ["to/in.csv", "to/deep/in.csv"])
def test_nothing_is_made_through_a_planted_link(
    tree: Path, root: int, tmp_path: Path, path: str
) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "to").symlink_to(outside)
    with pytest.raises(FileRefused):
        put(root, tmp_path, path, b"x")
    assert list(outside.iterdir()) == []


def test_a_directory_in_the_way_is_a_refusal(tree: Path, root: int, tmp_path: Path) -> None:
    (tree / "in.csv").mkdir()
    with pytest.raises(FileRefused) as caught:
        put(root, tmp_path, "in.csv", b"x")
    assert caught.value.code == "file.not_regular"
    assert [each.name for each in tree.iterdir()] == ["in.csv"]


def test_a_listing_tells_what_each_thing_is_and_opens_none(tree: Path, root: int) -> None:
    (tree / "a").mkdir()
    (tree / "a" / "f").write_bytes(b"four")
    (tree / "l").symlink_to("..")
    os.mkfifo(tree / "p")
    os.mknod(tree / "z", 0o20666, os.makedev(1, 5))
    found = listing.listed(root)
    assert [(one.path, one.kind, one.size) for one in found.entries] == [
        ("a", "directory", 0),
        ("a/f", "file", 4),
        ("l", "link", 0),
        ("p", "pipe", 0),
        ("z", "device", 0),
    ]
    assert (found.left_out, found.complete) == (0, True)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\x1b[2J", "a\u202eb".encode()], ids=repr)
def test_a_name_that_cannot_be_shown_is_counted_and_not_told(
    tree: Path, root: int, name: bytes
) -> None:
    (tree / "good").write_bytes(b"")
    os.close(os.open(os.fsencode(tree) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    found = listing.listed(root)
    assert [one.path for one in found.entries] == ["good"]
    assert found.left_out == 1


def test_a_listing_ends_however_many_files_there_are(
    tree: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 20)
    for number in range(30):
        (tree / f"{number}").write_bytes(b"")
    found = listing.listed(root)
    assert (found.looked_at, found.complete) == (20, False)


def test_a_listing_ends_however_deep_the_directories_are(tree: Path) -> None:
    deep = os.open(tree, os.O_RDONLY)
    for _ in range(3000):  # deeper than any path can say (PATH_MAX)
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    with opened_root(tree) as root:
        found = listing.listed(root)
    assert len(found.entries) == MAX_DEPTH
    assert (found.left_out, found.complete) == (1, True)
