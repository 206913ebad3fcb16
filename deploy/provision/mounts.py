"""What is mounted below a folder of ours?

Law: what a broker that was killed left mounted is unmounted before anything is removed, so
that nothing is removed through a mount.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def unmount_below(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Unmount all that is mounted below `folder`; return what stays mounted."""
    stay = []
    for point in reversed(_below(folder, table)):
        done = subprocess.run(  # noqa: S603 - a place of ours
            ["/usr/bin/umount", "--no-canonicalize", point], capture_output=True, check=False
        )
        if done.returncode:
            stay.append(point)
    return stay


def _below(folder: Path, table: Path) -> list[str]:
    fields = (line.split(" ") for line in table.read_text(encoding="utf-8").splitlines())
    points = (line[4].encode().decode("unicode_escape") for line in fields)
    return [point for point in points if point.startswith(f"{folder.resolve()}/")]
