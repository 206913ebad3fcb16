"""What must the kernel show of a container before it may be trusted with a call?

Law: walls are written from the plan, never from what was observed. What no rule names
must not be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.sandbox.plan import (
    MASKED,
    PERIOD,
    READ_ONLY,
    SHM,
    WORKSPACE,
    nano_cpus,
    rlimits,
)
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from sandbox_runtime.sandbox.plan import ContainerPlan

SAFE = frozenset({"nosuid", "nodev", "noexec"})
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


class MountRule(Strict):
    """A mount that may be there, and what must be true of it."""

    point: str
    """Where; with a last `/*`, any one folder below."""
    types: frozenset[str]
    """File systems; empty: any."""
    flags: frozenset[str] = SAFE
    """At least these."""
    required: bool = True
    source: str | None = None
    """The file or folder of the host's that it must show."""
    size: int | None = None
    """Bytes at most, and exactly."""
    inodes: int | None = None


class Walls(Strict):
    """Everything that is compared."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: int = 0
    no_new_privileges: bool = True
    seccomp: int = 2
    """The mode: 2 is a filter."""
    hidden: bool = True
    """PID 1 is not dumpable: its /proc files belong to root."""
    interfaces: tuple[str, ...] = ("lo",)
    private: tuple[str, ...] = NAMESPACES
    rlimits: dict[str, int]
    mounts: tuple[MountRule, ...]
    masked: tuple[str, ...] = MASKED
    """Hidden, where the host has them: an empty read-only file system, or /dev/null."""
    read_only: tuple[str, ...] = READ_ONLY
    """Read-only, where the host has them."""
    memory: int
    memory_and_swap: int
    pids: int
    cpu_quota: int
    """Microseconds of each `PERIOD`."""

    @property
    def covered(self) -> tuple[str, ...]:
        """The paths that something must be mounted over, where the host has them."""
        return (*self.masked, *self.read_only)


SYSTEM = (
    MountRule(point="/", types=frozenset(), flags=frozenset({"ro"})),
    MountRule(point="/proc", types=frozenset({"proc"})),
    MountRule(point="/dev", types=frozenset({"tmpfs"}), flags=frozenset({"nosuid"})),
    MountRule(point="/dev/pts", types=frozenset({"devpts"}), flags=frozenset({"nosuid", "noexec"})),
    MountRule(point="/dev/mqueue", types=frozenset({"mqueue"})),
    MountRule(point="/dev/shm", types=frozenset({"tmpfs"}), size=SHM),  # noqa: S108 - the container's
    MountRule(point="/sys", types=frozenset({"sysfs"}), flags=SAFE | {"ro"}),
    MountRule(point="/sys/fs/cgroup", types=frozenset({"tmpfs"}), required=False),
    MountRule(
        point="/sys/fs/cgroup",
        types=frozenset({"cgroup2"}),
        flags=SAFE | {"ro"},
        required=False,
    ),
    MountRule(
        point="/sys/fs/cgroup/*",
        types=frozenset({"cgroup"}),
        flags=SAFE | {"ro"},
        required=False,
    ),
    MountRule(point="/etc/hostname", types=frozenset(), flags=frozenset({"ro"}), required=False),
)
"""What every container of the engine's has. `/sys` and below lie under a mask besides."""


def expected(plan: ContainerPlan) -> Walls:
    """Return what the kernel must show of this plan's container."""
    have = plan.ceilings
    return Walls(
        uid=plan.uid,
        gid=plan.gid,
        groups=(plan.gid,),
        rlimits=rlimits(plan),
        mounts=(*SYSTEM, scratch(plan), *binds(plan), *files(plan)),
        memory=have.memory,
        memory_and_swap=have.memory,
        pids=have.pids,
        cpu_quota=nano_cpus(plan) * PERIOD // 10**9,
    )


def scratch(plan: ContainerPlan) -> MountRule:
    """Return `/tmp`, the only place that takes writes beside the task's files."""
    return MountRule(
        point="/tmp",  # noqa: S108 - the container's own
        types=frozenset({"tmpfs"}),
        size=plan.ceilings.tmp,
        inodes=plan.ceilings.tmp_inodes,
    )


def binds(plan: ContainerPlan) -> tuple[MountRule, ...]:
    """Return the runner and the operator's data."""
    return tuple(
        MountRule(
            point=mount.target, types=frozenset(), flags=frozenset({"ro"}), source=mount.source
        )
        for mount in plan.mounts
    )


def files(plan: ContainerPlan) -> tuple[MountRule, ...]:
    """Return the task's files, where the tool works on them: that filesystem and no other."""
    if (have := plan.files) is None:
        return ()
    return (
        MountRule(
            point=WORKSPACE,
            types=frozenset({"ext4"}),
            flags=SAFE | {"ro" if have.read_only else "rw"},
            source=have.source,
            size=have.size,
            inodes=have.inodes,
        ),
    )
