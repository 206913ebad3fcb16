"""What does the kernel show of a started container?

Law: everything comes from the kernel's own view of the process, nothing from what the
engine says it did, and reading changes nothing. What cannot be read is an error.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime import mountinfo
from sandbox_runtime.sandbox import cgroups
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sandbox_runtime.mountinfo import Mounted
    from sandbox_runtime.sandbox.walls import Walls

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
RLIMITS = {
    "core": "Max core file size",
    "fsize": "Max file size",
    "memlock": "Max locked memory",
    "msgqueue": "Max msgqueue size",
    "nice": "Max nice priority",
    "nofile": "Max open files",
    "rtprio": "Max realtime priority",
    "sigpending": "Max pending signals",
}


class Shown(Strict):
    """One mount, without what differs from one container to the next."""

    point: str
    type: str
    flags: tuple[str, ...]
    size: int | None
    inodes: int | None
    null: bool
    """It shows /dev/null."""
    source: str | None
    """The planned source that it shows, if it shows one."""


class Observed(Strict):
    """The walls as they stand. Equal walls give an equal digest."""

    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    capabilities: tuple[int, ...]
    no_new_privileges: bool
    seccomp: int
    hidden: bool
    interfaces: tuple[str, ...]
    shared: tuple[str, ...]
    """Namespaces that are the broker's own."""
    rlimits: dict[str, tuple[str, str]]
    mounts: tuple[Shown, ...]
    present: tuple[str, ...]
    """Paths to mask or protect that this host has."""
    memory: int | None
    memory_and_swap: int | None
    pids: int | None
    cpu_quota: int | None

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def observe(pid: int, walls: Walls, held: cgroups.Held, host: Path = Path("/")) -> Observed:
    """Read what the kernel shows of process `pid`; `walls` says where to look.

    `pid` is the host's. Raises OSError or ValueError where something cannot be read.
    """
    process = host / f"proc/{pid}"
    status = read_status((process / "status").read_text())
    return Observed(
        uids=numbers(status["Uid"]),
        gids=numbers(status["Gid"]),
        groups=numbers(status["Groups"]),
        capabilities=tuple(int(status[name], 16) for name in CAPABILITIES),
        no_new_privileges=status["NoNewPrivs"] == "1",
        seccomp=int(status["Seccomp"]),
        hidden=(process / "status").stat().st_uid == 0,
        interfaces=interfaces((process / "net/dev").read_text()),
        shared=tuple(name for name in walls.private if same_namespace(name, process, host)),
        rlimits=read_rlimits((process / "limits").read_text()),
        mounts=shown(process, walls, host),
        present=tuple(path for path in walls.covered if (host / path.lstrip("/")).exists()),
        memory=held.memory,
        memory_and_swap=held.memory_and_swap,
        pids=held.pids,
        cpu_quota=held.cpu_quota,
    )


def read_status(text: str) -> Mapping[str, str]:
    """Return the fields of /proc/pid/status."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers in a field."""
    return tuple(int(word) for word in text.split())


def interfaces(text: str) -> tuple[str, ...]:
    """Return the network interfaces that /proc/pid/net/dev names below its two headings."""
    return tuple(line.partition(":")[0].strip() for line in text.splitlines()[2:])


def same_namespace(name: str, process: Path, host: Path) -> bool:
    """Say whether the process shares namespace `name` with us."""
    return (process / "ns" / name).readlink() == (host / "proc/self/ns" / name).readlink()


def read_rlimits(text: str) -> dict[str, tuple[str, str]]:
    """Return soft and hard limits by the engine's names."""
    return {name: soft_and_hard(text, label) for name, label in RLIMITS.items()}


def soft_and_hard(text: str, label: str) -> tuple[str, str]:
    """Return the two columns that follow `label` in /proc/pid/limits."""
    line = next(line for line in text.splitlines() if line.startswith(label))
    soft, hard = line[len(label) :].split()[:2]
    return soft, hard


def shown(process: Path, walls: Walls, host: Path) -> tuple[Shown, ...]:
    """Return every mount the process sees."""
    ours = mountinfo.parse((host / "proc/self/mountinfo").read_text())
    sources = {rule.source for rule in walls.mounts if rule.source}
    origins = {mountinfo.origin(str(Path(path).resolve()), ours): path for path in sources}
    theirs = mountinfo.parse((process / "mountinfo").read_text())
    counted = {rule.source for rule in walls.mounts if rule.source and rule.size}
    return tuple(show(mount, origins, counted) for mount in theirs)


def show(
    mount: Mounted, origins: Mapping[tuple[str, str], str], counted: Collection[str] = ()
) -> Shown:
    """Return what is worth comparing of one mount.

    Of the sources in `counted` the whole filesystem shows, and is asked for its size: tmpfs
    says in its options what others only say when asked.
    """
    source = origins.get((mount.device, mount.root))
    asked = os.statvfs(source) if source and source in counted else None
    return Shown(
        point=mount.point,
        type=mount.type,
        flags=tuple(sorted(mount.flags)),
        size=mount.size if asked is None else asked.f_blocks * asked.f_frsize,
        inodes=mount.inodes if asked is None else asked.f_files,
        null=mount.root == "/null",
        source=source,
    )
