"""What does the kernel count of one container, and what does it hold it to?

Law: numbers come from the cgroup's files, version 1 or 2, and from nowhere else. A file
that should be there and is not is an error: a limit that cannot be read is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from sandbox_runtime import mountinfo
from sandbox_runtime.sandbox.plan import PERIOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The limits in force. None: no limit."""

    memory: int | None
    memory_and_swap: int | None
    pids: int | None
    cpu_quota: int | None
    """Microseconds of each `PERIOD`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was used, up to now."""

    oom_kills: int
    pids_refused: int
    """How often a new process was refused for want of pids."""
    memory_peak: int
    pids_peak: int
    cpu_seconds: float


class Cgroup(Protocol):
    """One container's cgroup."""

    def held(self) -> Held:
        """Read the limits."""
        ...

    def counted(self) -> Counted:
        """Read the counters."""
        ...


def fields(text: str) -> dict[str, int]:
    """Return the numbers of a file that has a name and a number on each line."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def number(path: Path) -> int:
    """Return the number a file holds."""
    return int(path.read_text())


def limit(path: Path) -> int | None:
    """Return the limit a file holds; version 1 writes a huge number for none, 2 `max`."""
    text = path.read_text().strip()
    return None if text == "max" or int(text) < 0 or int(text) >= 1 << 62 else int(text)


def peak(highest: Path, present: Path) -> int:
    """Return the most there was; kernels without a file for it know only the present."""
    return number(highest if highest.exists() else present)


def per_period(quota: int, period: int) -> int | None:
    """Return a processor quota as microseconds of each `PERIOD`."""
    return None if quota < 0 else quota * PERIOD // period


@dataclass(frozen=True, slots=True, kw_only=True)
class Version1:
    """A folder for each controller."""

    memory: Path
    pids: Path
    cpu: Path
    cpuacct: Path

    def held(self) -> Held:
        """Read the limits."""
        return Held(
            memory=limit(self.memory / "memory.limit_in_bytes"),
            memory_and_swap=limit(self.memory / "memory.memsw.limit_in_bytes"),
            pids=limit(self.pids / "pids.max"),
            cpu_quota=per_period(
                number(self.cpu / "cpu.cfs_quota_us"), number(self.cpu / "cpu.cfs_period_us")
            ),
        )

    def counted(self) -> Counted:
        """Read the counters."""
        return Counted(
            oom_kills=fields((self.memory / "memory.oom_control").read_text())["oom_kill"],
            pids_refused=fields((self.pids / "pids.events").read_text())["max"],
            memory_peak=number(self.memory / "memory.max_usage_in_bytes"),
            pids_peak=peak(self.pids / "pids.peak", self.pids / "pids.current"),
            cpu_seconds=number(self.cpuacct / "cpuacct.usage") / 1e9,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version2:
    """One folder for all controllers."""

    folder: Path

    def held(self) -> Held:
        """Read the limits. Swap is limited apart here."""
        memory, swap = limit(self.folder / "memory.max"), limit(self.folder / "memory.swap.max")
        quota, period = (self.folder / "cpu.max").read_text().split()
        return Held(
            memory=memory,
            memory_and_swap=None if memory is None or swap is None else memory + swap,
            pids=limit(self.folder / "pids.max"),
            cpu_quota=None if quota == "max" else per_period(int(quota), int(period)),
        )

    def counted(self) -> Counted:
        """Read the counters: `memory.peak` since Linux 5.19, `pids.peak` since 6.11."""
        return Counted(
            oom_kills=fields((self.folder / "memory.events").read_text())["oom_kill"],
            pids_refused=fields((self.folder / "pids.events").read_text())["max"],
            memory_peak=peak(self.folder / "memory.peak", self.folder / "memory.current"),
            pids_peak=peak(self.folder / "pids.peak", self.folder / "pids.current"),
            cpu_seconds=fields((self.folder / "cpu.stat").read_text())["usage_usec"] / 1e6,
        )


def locate(pid: int, container: str, host: Path = Path("/")) -> Cgroup:
    """Return the cgroup of process `pid`, which must be the container's.

    `host` is where /proc and /sys are found. A pid that has passed to another process
    since the engine named it raises LookupError.
    """
    places = memberships((host / f"proc/{pid}/cgroup").read_text())
    if not all(container in path for path in places.values()):
        raise LookupError("the process is not in the container's cgroups")
    table = mountinfo.parse((host / "proc/self/mountinfo").read_text())
    if "memory" not in places:
        return Version2(folder=folder(places[""], "", table, host))
    found = {name: folder(places[name], name, table, host) for name in FOLDERS}
    return Version1(**found)


FOLDERS = ("memory", "pids", "cpu", "cpuacct")


def memberships(text: str) -> dict[str, str]:
    """Return the path in each controller's hierarchy; version 2's is named by nothing."""
    lines = (line.split(":", 2) for line in text.splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def folder(path: str, controller: str, table: tuple[mountinfo.Mounted, ...], host: Path) -> Path:
    """Return where the cgroup `path` of `controller` is found on this host."""
    for mount in reversed(table):
        wanted = mount.type == "cgroup2" if not controller else controller in mount.options
        if wanted and mount.type.startswith("cgroup"):
            inner = PurePosixPath(path).relative_to(mount.root)
            return host / mount.point.lstrip("/") / inner
    raise FileNotFoundError(f"no cgroup file system for `{controller or 'version 2'}` is mounted")
