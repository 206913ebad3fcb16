"""What does this machine's own package system install, and did we bring it?

Law: what we install is written down before it is used, so `purge` can name it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provision.commands import Commands
from provision.problem import Problem

ORIGINS = {"debian": "Debian", "ubuntu": "Ubuntu"}
"""The distributions known here, and the origin each signs into its archives."""
MEND = "check the machine's package sources (`apt-get update`), then run this again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Which distribution this machine runs."""

    id: str
    codename: str

    @property
    def origin(self) -> str:
        """The name its archives are signed with."""
        return ORIGINS[self.id]


def release(os_release: Path = Path("/etc/os-release")) -> Release | None:
    """Return the Debian or Ubuntu release of this machine, or nothing."""
    fields = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    name, codename = (fields.get(key, "").strip('"') for key in ("ID", "VERSION_CODENAME"))
    if name not in ORIGINS or not codename or not shutil.which("apt-get"):
        return None
    return Release(id=name, codename=codename)


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """Installs packages of the distribution and remembers which ones are ours."""

    commands: Commands
    record: Path
    _env: dict[str, str] = field(
        default_factory=lambda: {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    )

    def possible(self) -> bool:
        """Is this Debian or Ubuntu, and are we root?"""
        return os.geteuid() == 0 and release() is not None

    def install(self, *names: str) -> None:
        """Install `names` without recommendations, refreshing the lists where needed."""
        before = _installed()
        try:
            self._install(names)
        except Problem:
            self.refresh()
            self._install(names)
        self._remember(sorted(_installed() - before))

    def refresh(self) -> None:
        """Fetch the lists of packages."""
        self.commands.run(["apt-get", "-q", "update"], mend=MEND, **self._env)

    def ours(self) -> list[str]:
        """Name the packages that we brought to this machine."""
        if not self.record.exists():
            return []
        return list(json.loads(self.record.read_text())["installed"])

    def remove_ours(self) -> None:
        """Purge the packages that we brought."""
        command = ["apt-get", "-q", "--yes", "purge", *self.ours()]
        self.commands.run(command, mend=MEND, **self._env)
        self.record.unlink()

    def _install(self, names: Sequence[str]) -> None:
        command = ["apt-get", "-q", "--yes", "--no-install-recommends", "install", *names]
        self.commands.run(command, mend=MEND, **self._env)

    def _remember(self, names: list[str]) -> None:
        self.record.parent.mkdir(parents=True, exist_ok=True)
        installed = sorted({*self.ours(), *names})
        self.record.write_text(json.dumps({"installed": installed}, indent=1) + "\n")


def _installed() -> set[str]:
    form = "${db:Status-Abbrev} ${Package}\n"
    command = ["dpkg-query", "--show", f"--showformat={form}"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    rows = (row.split() for row in listing.stdout.splitlines())
    return {row[-1] for row in rows if row and row[0] == "ii"}
