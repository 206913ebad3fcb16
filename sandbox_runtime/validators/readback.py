"""What does the kernel say of a worker?

Law: declared is applied. A worker's own word counts for nothing; what `/proc` shows of it
is compared, part by part, with what its terms ask for, before it is given a value.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox_runtime.validators.lockdown import DESCRIPTORS, NAMESPACES, limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.validators.lockdown import Terms

_STATUS: Final = {
    "uid": "Uid",
    "gid": "Gid",
    "groups": "Groups",
    "threads": "Threads",
    "no new privileges": "NoNewPrivs",
    "inheritable capabilities": "CapInh",
    "permitted capabilities": "CapPrm",
    "effective capabilities": "CapEff",
    "bounding capabilities": "CapBnd",
    "ambient capabilities": "CapAmb",
}
"""Our name of a part, and the kernel's in `/proc/<pid>/status`."""


def asked(terms: Terms) -> Mapping[str, str]:
    """Return what the kernel must show of a worker under `terms`."""
    nobody = "0" * 16
    return {
        "uid": " ".join([str(terms.uid)] * 4),
        "gid": " ".join([str(terms.uid)] * 4),
        "groups": "",
        "threads": "1",
        "no new privileges": "1",
        **{name: nobody for name in _STATUS if name.endswith("capabilities")},
        **{limit.label: f"{limit.value} {limit.value}" for limit in limits(terms)},
        "descriptors": " ".join(str(number) for number in DESCRIPTORS),
        "shared namespaces": "",
        "interfaces": "lo",
        # None in sight: the root lies below its mount's, and so no user namespace can be made.
        "mounts": "",
        "root": "closed, read-only",
        "files": "",
        "owner of its memory": "0",
    }


def seen(pid: int) -> Mapping[str, str]:
    """Return what the kernel shows of process `pid`. Raises `OSError` where it is gone."""
    proc = Path("/proc") / str(pid)
    status = _table(proc / "status")
    return {
        **{name: status.get(key, "missing") for name, key in _STATUS.items()},
        **_limits(proc / "limits"),
        "descriptors": " ".join(sorted(_names(proc / "fd"), key=int)),
        "shared namespaces": " ".join(name for name in NAMESPACES if _shared(proc, name)),
        "interfaces": " ".join(_table(proc / "net" / "dev")),
        "mounts": (proc / "mountinfo").read_text(),
        "root": _root(proc / "root"),
        "files": " ".join(sorted(_names(proc / "root"))),
        # The kernel gives a process that nobody may trace or dump to root.
        "owner of its memory": str((proc / "mem").stat().st_uid),
    }


def differences(terms: Terms, shown: Mapping[str, str]) -> tuple[str, ...]:
    """Return each part that is not as asked, in words for an operator."""
    return tuple(
        f"{part} is `{shown.get(part, 'missing')}`, asked `{wanted}`"
        for part, wanted in asked(terms).items()
        if shown.get(part) != wanted
    )


def _table(path: Path) -> dict[str, str]:
    """Read `name: rest` lines; others, as headings, are left out."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): " ".join(rest.split()) for name, colon, rest in lines if colon}


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


def _limits(path: Path) -> dict[str, str]:
    """Read columns of fixed width: a name of 25 characters, the soft and the hard limit."""
    lines = path.read_text().splitlines()[1:]
    return {line[:25].strip(): " ".join(line[25:].split()[:2]) for line in lines}


def _shared(proc: Path, name: str) -> bool:
    ours, theirs = (Path("/proc/self/ns") / name).stat(), (proc / "ns" / name).stat()
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def _root(root: Path) -> str:
    closed = stat.S_IMODE(root.stat().st_mode) == 0
    read_only = os.statvfs(root).f_flag & os.ST_RDONLY
    return f"{'closed' if closed else 'open'}, {'read-only' if read_only else 'writable'}"
