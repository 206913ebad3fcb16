"""What do kernel, clock and disk of this machine show?

Law: looking changes nothing. What cannot be looked at is told as missing.
"""

from __future__ import annotations

import ctypes
import grp
import os
import platform
import pwd
import stat
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox_runtime import mountinfo
from sandbox_runtime.cli.doctor.facts import Clock, Disk, Kernel, Place
from sandbox_runtime.sandbox.readback import read_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox_runtime.server.settings import Evidence

_MOMENT: Final = 0.1
_TIMEX_BYTES: Final = 512
"""More than any kernel's `struct timex` has."""
_TIME_ERROR: Final = 5
"""What adjtimex(2) returns where nothing keeps the clock."""
_BLOCK: Final = 512
"""Bytes that stat(2) counts `st_blocks` in."""


def kernel(host: Path = Path("/")) -> Kernel:
    """Return what the kernel shows to this process."""
    status = read_status((host / "proc/self/status").read_text())
    return Kernel(
        release=platform.release(),
        controllers=tuple(sorted(_controllers(host))),
        seccomp=tuple(_text(host / "proc/sys/kernel/seccomp/actions_avail").split()),
        modules=tuple(_modules(host)),
        uid=os.geteuid(),
        capabilities=int(status["CapEff"], 16),
    )


def _controllers(host: Path) -> Iterator[str]:
    for mount in mountinfo.parse((host / "proc/self/mountinfo").read_text()):
        if mount.type == "cgroup":
            yield from mount.options & {"cpu", "memory", "pids"}
        elif mount.type == "cgroup2":
            yield from _text(host / mount.point.lstrip("/") / "cgroup.controllers").split()


def _modules(host: Path) -> Iterator[str]:
    if _text(host / "sys/module/apparmor/parameters/enabled").strip() == "Y":
        yield "AppArmor"
    if (host / "sys/fs/selinux/enforce").exists():
        yield "SELinux"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def clock(newest_record: int | None) -> Clock:
    """Return how time goes by. Takes a moment."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_MOMENT)
    apart = abs((time.time() - wall) - (time.monotonic() - steady))
    return Clock(
        synchronised=_synchronised(),
        apart=round(apart, 6),
        now=time.time_ns() // 1000,
        newest_record=newest_record,
    )


def _synchronised() -> bool | None:
    """Ask the kernel: adjtimex(2) with nothing to adjust."""
    nothing = ctypes.create_string_buffer(_TIMEX_BYTES)
    said = ctypes.CDLL(None, use_errno=True).adjtimex(nothing)
    return None if said < 0 else bool(said != _TIME_ERROR)


def disk(state: Path, evidence: Evidence) -> Disk:
    """Return the room where `state` is, or will be."""
    there = os.statvfs(nearest(state))
    reserved = 0
    with suppress(OSError):
        reserved = (state / "log/reserve").stat().st_blocks * _BLOCK
    return Disk(
        free=there.f_bavail * there.f_frsize,
        reserved=reserved,
        reserve=evidence.reserve,
        headroom=evidence.headroom,
    )


def nearest(path: Path) -> Path:
    """Return `path`, or what is there of the folders above it."""
    return next(each for each in (path, *path.parents) if place(each).there)


def place(path: Path) -> Place:
    """Return what is at `path`. A link is not followed."""
    try:
        status = path.lstat()
    except OSError:
        return Place(path=str(path), there=False)
    return Place(
        path=str(path),
        there=True,
        folder=stat.S_ISDIR(status.st_mode),
        owner=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
    )


def accounts(uids: Iterable[int]) -> dict[int, str]:
    """Return who has these ids, as users or as groups."""
    found: dict[int, str] = {}
    for uid in uids:
        with suppress(KeyError):
            found[uid] = f"group `{grp.getgrgid(uid).gr_name}`"
        with suppress(KeyError):
            found[uid] = f"user `{pwd.getpwuid(uid).pw_name}`"
    return found


def is_held(lock: Path) -> bool:
    """Say whether some process holds this file locked, by the kernel's own list.

    Trying to lock it would stand in the way of a broker that starts at this moment.
    """
    try:
        status = lock.stat()
        listed = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    return f" {device}:{status.st_ino} " in listed


def installed(distribution: str) -> str | None:
    """Return the version of a distribution that is installed here."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
