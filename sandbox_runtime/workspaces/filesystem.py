"""How does a filesystem of a given size come to be mounted, and go?

Law: the size is real. The disk's room is taken before anything is written into it, and what the
kernel shows mounted is compared with what was asked: type, options, source, bytes and inodes.
What differs, or cannot be had, is unavailable.

One image is never behind two loop devices (both would write it): mount(8) takes the device that
has it already. The device lets go of the image by itself once nothing is mounted from it, so
whoever dies in between leaves none behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime import mountinfo
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.records import Allotment

if TYPE_CHECKING:
    from sandbox_runtime.mountinfo import Mounted

BLOCK = 4096
OPTIONS = frozenset({"nodev", "nosuid", "noexec"})
TYPE = "ext4"
_FEATURES = "none,extent,filetype,dir_index,sparse_super,large_file,huge_file,extra_isize"
_INODE = 256
_GROUP = 32768
"""Blocks that share one bitmap."""
_SYSTEM_INODES = 11
"""Of every ext4: the root, and others that nobody sees."""
_MOST_HELD_BACK = 4096
"""Blocks: the kernel holds back a fiftieth, and no more than this (ext4's `resv_clusters`)."""
_LOOPS, _DEVICES = Path("/sys/block"), Path("/sys/dev/block")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_ALONE = 0o700
"""Mode of the root: its owner's."""
_PATIENCE = 60.0
"""Seconds that a program gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a filesystem shall be."""

    size: int
    """Bytes of files that it must have room for."""
    inodes: int
    uid: int
    """Whose it is."""
    headroom: int
    """Bytes that must stay free on the disk that it lies on."""


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One image, and the folder where it is mounted. Both lie in a folder of their own."""

    home: Path

    @property
    def image(self) -> Path:
        """The file that is mounted."""
        return self.home / "image"

    @property
    def root(self) -> Path:
        """Where it is mounted."""
        return self.home / "root"

    @property
    def view(self) -> Path:
        """Where the same shows read-only.

        A mount of its own: an engine that binds `root` read-only drops its other options
        (runc 1.1 mounts it again with `ro` alone).
        """
        return self.home / "view"

    def make(self, asked: Asked) -> Allotment:
        """Make it and mount it, empty; return what it has become. Raises `SandboxUnavailable`."""
        try:
            self.home.mkdir(mode=0o700, parents=True)
            self.root.mkdir(mode=0o700)
            self.view.mkdir(mode=0o700)
            self._allocate(blocks_for(asked) * BLOCK, asked.headroom)
            self._format(asked)
            self._mount()
            self._hand_over(asked.uid)
            return self._measured(asked)
        except OSError as error:
            raise SandboxUnavailable(f"no workspace at `{self.home}`: {error}") from error

    def stand(self, allotment: Allotment) -> None:
        """See that it is mounted as it was made; mount it where it is not.

        A tool may open its root to others (`tar` does, of a root that was open), and that
        harms nobody; it is closed again. Raises `SandboxUnavailable`.
        """
        try:
            if not self._is_up():
                self.rest()
                self._mend()
                self._mount()
            self.root.chmod(_ALONE)
            self._compare(allotment)
        except OSError as error:
            raise SandboxUnavailable(f"no workspace at `{self.home}`: {error}") from error

    def is_there(self) -> bool:
        """Say whether it has its files; not so where its removal has begun."""
        return self.image.exists()

    def rest(self) -> None:
        """Unmount it; its files stay in the image. Raises OSError where it is in use."""
        for mount in reversed(self._mounted()):
            _run("umount", "--no-canonicalize", mount.point)

    def remove(self) -> None:
        """Unmount it and give its room back. Raises OSError where something is left of it."""
        self.rest()
        self.image.unlink(missing_ok=True)
        for folder in (self.root, self.view, self.home):
            with suppress(FileNotFoundError):
                folder.rmdir()

    def _mounted(self) -> list[Mounted]:
        """Return what the kernel shows mounted here, the earliest first."""
        table = mountinfo.parse(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        return [mount for mount in table if mount.point in (str(self.root), str(self.view))]

    def _is_up(self) -> bool:
        points = [(mount.point, "ro" in mount.flags) for mount in self._mounted()]
        return points == [(str(self.root), False), (str(self.view), True)]

    def _allocate(self, size: int, headroom: int) -> None:
        """Take the disk's room now: a file with holes would find the disk full later."""
        descriptor = os.open(self.image, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _expect_room(self.home, size + headroom)
            os.posix_fallocate(descriptor, 0, size)
            _expect_room(self.home, headroom)  # others may have taken room meanwhile
        except BaseException:
            self.image.unlink()
            raise
        finally:
            os.close(descriptor)

    def _format(self, asked: Asked) -> None:
        inodes = str(asked.inodes + _SYSTEM_INODES)
        _run(
            *("mkfs.ext4", "-q", "-F", "-O", _FEATURES, "-b", str(BLOCK), "-I", str(_INODE)),
            *("-N", inodes, "-m", "0", "-E", "nodiscard,lazy_itable_init=0", str(self.image)),
        )

    def _mount(self) -> None:
        options = ",".join(("loop", *sorted(OPTIONS), "noatime", "errors=remount-ro"))
        _run("mount", "-n", "-t", TYPE, "-o", options, str(self.image), str(self.root))
        options = ",".join(("bind", "ro", *sorted(OPTIONS)))
        _run("mount", "-n", "-o", options, str(self.root), str(self.view))

    def _mend(self) -> None:
        """Make it whole after the machine went down with it.

        Where a device has it, it is mounted in some other namespace, and whole.
        """
        if not any(_backs(device, self.image) for device in _LOOPS.glob("loop*")):
            _run("e2fsck", "-p", str(self.image), fine=(0, 1))

    def _hand_over(self, uid: int) -> None:
        (self.root / "lost+found").rmdir()
        self.root.chmod(_ALONE)
        os.chown(self.root, uid, uid)

    def _measured(self, asked: Asked) -> Allotment:
        shown = os.statvfs(self.root)
        if shown.f_bavail * shown.f_frsize < asked.size or shown.f_ffree < asked.inodes:
            raise OSError(f"{shown} has no room for what was asked: {asked}")
        allotment = Allotment(
            uid=asked.uid, size=shown.f_blocks * shown.f_frsize, inodes=shown.f_files
        )
        self._compare(allotment)
        return allotment

    def _compare(self, allotment: Allotment) -> None:
        shown, owner = os.statvfs(self.root), self.root.stat()
        if not self._is_up():
            raise OSError(f"the kernel shows mounted: {self._mounted()}")
        for mount in self._mounted():
            self._compare_mount(mount)
        if (shown.f_blocks * shown.f_frsize, shown.f_files) != (allotment.size, allotment.inodes):
            raise OSError(f"the kernel shows {shown}, and it was made with {allotment}")
        if (owner.st_uid, owner.st_gid, owner.st_mode & 0o7777) != (*(allotment.uid,) * 2, _ALONE):
            raise OSError("its root is not the task's alone")

    def _compare_mount(self, mount: Mounted) -> None:
        if (mount.type, mount.root) != (TYPE, "/") or "rw" not in mount.options:
            raise OSError(f"the kernel shows {mount}")
        if not mount.flags >= OPTIONS:
            raise OSError(f"the kernel shows it mounted with {sorted(mount.flags)}")
        if not _backs(_DEVICES / mount.device, self.image):
            raise OSError(f"the kernel shows something else behind {mount.device}")


def blocks_for(asked: Asked) -> int:
    """Return how many blocks an image has in which `asked` finds its room.

    Beside the files lie the inodes, and of each group of blocks two bitmaps and, of some, the
    superblock with the table of groups. Rounded up: what is over is the task's.
    """
    files = -(-asked.size // BLOCK) + 1
    inodes = -(-(asked.inodes + _SYSTEM_INODES) * _INODE // BLOCK)
    groups = 2 + (files + inodes) // (_GROUP - 64)
    tables = groups * (4 + groups * 32 // BLOCK + _INODE * 16 // BLOCK)
    needed = files + inodes + tables
    return needed + min(needed // 49 + 1, _MOST_HELD_BACK)


def _expect_room(folder: Path, size: int) -> None:
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < size:
        raise OSError("the disk has no room for it")


def _backs(device: Path, image: Path) -> bool:
    """Say whether `image` is behind a device, by its place in sysfs."""
    try:
        said = (device / "loop/backing_file").read_text(encoding="utf-8")
    except OSError:  # there is nothing behind it
        return False
    return said.rstrip("\n") == str(image)


def _run(program: str, *arguments: str, fine: tuple[int, ...] = (0,)) -> None:
    """Run a program of the system's; raise OSError where it fails."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise OSError(f"this machine has no `{program}`")
    environment = {"PATH": _PATH, "LC_ALL": "C", "MKE2FS_CONFIG": "/dev/null"}
    try:
        done = subprocess.run(  # noqa: S603 - our own words, and no shell
            [found, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"`{program}` did not end") from error
    if done.returncode not in fine:
        raise OSError(f"`{program}` says: {done.stderr.decode(errors='replace').strip()}")
