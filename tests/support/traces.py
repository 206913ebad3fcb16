"""What of a test's workspaces the kernel still has."""

from __future__ import annotations

from pathlib import Path

from sandbox_runtime import mountinfo


def traces(folder: Path) -> list[str]:
    """Return what is mounted below `folder`, and what of it is behind a loop device."""
    table = mountinfo.parse(Path("/proc/self/mountinfo").read_text())
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    files = [path.read_text().strip() for path in backing]
    return [name for name in (*(m.point for m in table), *files) if name.startswith(f"{folder}/")]
