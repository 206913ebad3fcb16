"""Are these the walls that were asked for?

Law: a difference is never weighed. Any of them means that the call's bytes do not go in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.sandbox.readback import Observed, Shown
    from sandbox_runtime.sandbox.walls import MountRule, Walls


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One wall that does not stand as planned. For operators."""

    wall: str
    planned: object
    shown: object

    def __str__(self) -> str:
        return f"{self.wall}: planned `{self.planned}`, the kernel shows `{self.shown}`"


def compare(walls: Walls, seen: Observed) -> tuple[Difference, ...]:
    """Return every difference; none means that each wall stands."""
    pairs = (*identities(walls, seen), *powers(walls, seen), *limits(walls, seen))
    plain = (
        Difference(wall=wall, planned=planned, shown=shown)
        for wall, planned, shown in pairs
        if planned != shown
    )
    return (*plain, *mounted(walls, seen))


def identities(walls: Walls, seen: Observed) -> Iterator[tuple[str, object, object]]:
    """Yield who the process is: real, effective, saved and file system ids."""
    yield "uid", (walls.uid,) * 4, seen.uids
    yield "gid", (walls.gid,) * 4, seen.gids
    yield "groups", walls.groups, seen.groups
    yield "hidden from its own uid", walls.hidden, seen.hidden


def powers(walls: Walls, seen: Observed) -> Iterator[tuple[str, object, object]]:
    """Yield what it may do, and what it shares with us."""
    yield "capabilities", (walls.capabilities,) * 5, seen.capabilities
    yield "no new privileges", walls.no_new_privileges, seen.no_new_privileges
    yield "seccomp mode", walls.seccomp, seen.seccomp
    yield "network interfaces", walls.interfaces, seen.interfaces
    yield "shared namespaces", (), seen.shared


def limits(walls: Walls, seen: Observed) -> Iterator[tuple[str, object, object]]:
    """Yield what it may use."""
    yield "memory", walls.memory, seen.memory
    yield "memory and swap", walls.memory_and_swap, seen.memory_and_swap
    yield "pids", walls.pids, seen.pids
    yield "processor quota", walls.cpu_quota, seen.cpu_quota
    for name, limit in walls.rlimits.items():
        yield f"rlimit {name}", (str(limit),) * 2, seen.rlimits[name]


def mounted(walls: Walls, seen: Observed) -> Iterator[Difference]:
    """Yield what is mounted and should not be, and the other way round."""
    for mount in seen.mounts:
        if not any(fits(mount, rule) for rule in walls.mounts) and not covers(mount, walls):
            yield Difference(wall=f"mount {mount.point}", planned=None, shown=mount)
    for rule in walls.mounts:
        if rule.required and not any(fits(mount, rule) for mount in seen.mounts):
            yield Difference(wall=f"mount {rule.point}", planned=rule, shown=None)
    for path in seen.present:
        if not any(mount.point == path and covers(mount, walls) for mount in seen.mounts):
            yield Difference(wall=f"cover of {path}", planned=True, shown=False)


def fits(mount: Shown, rule: MountRule) -> bool:
    """Say whether the mount is as the rule says."""
    return (
        at(mount.point, rule.point)
        and (not rule.types or mount.type in rule.types)
        and rule.flags <= set(mount.flags)
        and mount.source == rule.source
        and rule.size in (None, mount.size)
        and rule.inodes in (None, mount.inodes)
    )


def at(point: str, rule: str) -> bool:
    """Say whether a mount point is the rule's; `/*` stands for one folder below."""
    return point == rule or (rule.endswith("/*") and point.rpartition("/")[0] == rule[:-2])


def covers(mount: Shown, walls: Walls) -> bool:
    """Say whether the mount hides a path, or protects it, as the walls demand."""
    if mount.point in walls.masked:
        return mount.null or (mount.type == "tmpfs" and "ro" in mount.flags)
    return mount.point in walls.read_only and mount.type == "proc" and "ro" in mount.flags
