"""How does a worker give up its power?

Law: nothing is left that the work does not need, and every step succeeds or the worker
ends. It starts as root, with everything imported; afterwards it cannot open, connect,
start or signal anything, and has two descriptors: jobs come in by one, verdicts leave by
the other. `readback.py` asks the kernel whether that is so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNS, _CLONE_NEWCGROUP = 0x00020000, 0x02000000
_CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x04000000, 0x08000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4

STACK_BYTES: Final = 64 << 20
"""Compiled parsers recurse on the C stack without counting."""

DESCRIPTORS: Final = (0, 1)
NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "uts")


class Terms(Strict):
    """What one worker is told when it starts."""

    uid: int
    """Its user and group id, which nobody else has."""
    memory: int
    """Bytes of address space, the interpreter's own included."""
    frame_bytes: int
    """The longest frame, either way."""


class Unconfined(Exception):  # noqa: N818 - the state a worker must not work in
    """A step of the lockdown failed."""

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(f"{step}: {problem}")
        self.step, self.problem = step, problem


@dataclass(frozen=True, slots=True)
class Limit:
    """One resource limit, soft and hard. `label` is its name in `/proc/<pid>/limits`."""

    resource: int
    label: str
    value: int


def limits(terms: Terms) -> tuple[Limit, ...]:
    """Return the resource limits of a worker."""
    return (
        # A value that needs more ends as a refusal, not as the machine's problem.
        Limit(resource.RLIMIT_AS, "Max address space", terms.memory),
        Limit(resource.RLIMIT_STACK, "Max stack size", STACK_BYTES),
        # Descriptors are numbered below this: there is never a third one, of any kind.
        Limit(resource.RLIMIT_NOFILE, "Max open files", len(DESCRIPTORS)),
        # No process, no thread.
        Limit(resource.RLIMIT_NPROC, "Max processes", 0),
        # No bytes into a file, should one ever be reached; no core file with a call's bytes.
        Limit(resource.RLIMIT_FSIZE, "Max file size", 0),
        Limit(resource.RLIMIT_CORE, "Max core file size", 0),
        # What is accounted to the user rather than to the process.
        Limit(resource.RLIMIT_MEMLOCK, "Max locked memory", 0),
        Limit(resource.RLIMIT_MSGQUEUE, "Max msgqueue size", 0),
    )


def lock_down(terms: Terms) -> None:
    """Give up everything, step by step. Raises `Unconfined`."""
    for step, take in STEPS:
        try:
            take(terms)
        except (OSError, ValueError) as error:
            raise Unconfined(step, str(error)) from error


def _forget_environment(_: Terms) -> None:
    os.environ.clear()
    os.umask(0o777)


def _close_descriptors(_: Terms) -> None:
    os.closerange(len(DESCRIPTORS), resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _leave_namespaces(_: Terms) -> None:
    _call(
        "unshare",
        _CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS | _CLONE_NEWCGROUP,
    )


def _leave_filesystem(_: Terms) -> None:
    """Make an empty, closed directory the root, and let go of the machine's mounts.

    It lies below the root of the mount namespace: who is in a chroot may not make a user
    namespace (user_namespaces(7)), in which he would hold every capability again.
    """
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    _call("mount", b"none", b"/proc", b"tmpfs", flags, b"size=4k,nr_inodes=2,mode=0")
    os.chdir("/proc")
    Path("empty").mkdir(mode=0)
    _call("mount", b"none", b"/proc", None, _MS_REMOUNT | _MS_RDONLY | flags, None)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    os.chroot("empty")
    os.chdir("/")


def _set_limits(terms: Terms) -> None:
    for limit in limits(terms):
        resource.setrlimit(limit.resource, (limit.value, limit.value))


def _drop_capabilities(_: Terms) -> None:
    """Empty the ambient and the bounding set; becoming another user empties the rest."""
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(_known_capabilities()):
        _call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)


def _known_capabilities() -> int:
    """PR_CAPBSET_READ (23) knows the kernel's capabilities and no number beyond them."""
    libc = ctypes.CDLL(None)
    return next(number for number in range(1 << 16) if libc.prctl(23, number, 0, 0, 0) < 0)


def _become(terms: Terms) -> None:
    os.setgroups([])
    os.setresgid(terms.uid, terms.uid, terms.uid)
    os.setresuid(terms.uid, terms.uid, terms.uid)


def _seal(_: Terms) -> None:
    """Last, because becoming another user resets two of the three."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


STEPS: Final[tuple[tuple[str, Callable[[Terms], None]], ...]] = (
    ("forget the environment", _forget_environment),
    ("close descriptors", _close_descriptors),
    ("leave the namespaces", _leave_namespaces),
    ("leave the file system", _leave_filesystem),
    ("set limits", _set_limits),
    ("drop capabilities", _drop_capabilities),
    ("become another user", _become),
    ("seal", _seal),
)


def _call(name: str, *arguments: bytes | int | None) -> None:
    """Call the C library's `name`; raise `OSError` where it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*[_unsigned(argument) for argument in arguments]) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _unsigned(argument: bytes | int | None) -> ctypes.c_ulong | bytes | None:
    return ctypes.c_ulong(argument) if isinstance(argument, int) else argument
