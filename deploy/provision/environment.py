"""Does an environment hold exactly what its lock file names?

Law: every package is checked against the hash in the lock, and a package the lock does
not name is removed. The project itself is linked in, so that editing a file is enough.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provision.commands import Commands, Word
from provision.debian import Packages
from provision.places import Places
from provision.problem import Problem
from provision.steps import Intent

OLDEST = (3, 11)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
PINNED_AT = re.compile(r"^([A-Za-z0-9._-]+==\S+)", re.MULTILINE)
PROJECT = "sandbox-broker"
MEND = "check that the package index can be reached, then run this again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The step that ends with the packages of the lock called `lock` in `venv`."""

    places: Places
    packages: Packages
    commands: Commands
    lock: str
    venv: Path
    enough: tuple[str, ...] = ()
    """Locks that hold at least what `lock` does."""
    project: bool = True
    """Is the project itself linked in?"""
    name: str = "environment"

    def intent(self) -> Intent:
        """Compare the stamp in the environment with the lock."""
        if self._satisfied():
            return Intent(words=f"use {self._shown}")
        words = f"install deploy/lock/{self.lock}.txt into {self._shown}"
        if _can_make_environments():
            return Intent(words=words)
        return Intent(words=f"install python3-venv with apt-get, {words}", installs=True)

    def act(self) -> str:
        """Make the environment what the lock says; return which one it holds."""
        if not self._satisfied():
            self._install()
        return f"{self._shown}, as deploy/lock/{self._stamped()}.txt says"

    @property
    def _shown(self) -> Path:
        return self.venv.relative_to(self.places.checkout)

    def _install(self) -> None:
        if not self._python.exists():
            self._make()
        self.stamp.unlink(missing_ok=True)
        lock = self.places.lock(self.lock)
        pip: list[Word] = [self._python, "-m", "pip", "--disable-pip-version-check"]
        self.commands.run([*pip, "install", "--require-hashes", "-r", lock], mend=MEND)
        if surplus := self._surplus():
            self.commands.run([*pip, "uninstall", "--yes", *surplus], mend=MEND)
        if self.project:
            self._link(pip)
        self.stamp.write_text(self._digest(self.lock))

    def _link(self, pip: list[Word]) -> None:
        """Link the project in, with the build backend of the lock: nothing is fetched."""
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--editable"]
        self.commands.run([*pip, "install", *options, self.places.checkout], mend=MEND)

    def _make(self) -> None:
        if sys.version_info < OLDEST:
            raise Problem(
                f"this is Python {sys.version.split()[0]}, and 3.11 is the oldest that will do",
                "name a newer one: make PYTHON=/path/of/python3.11 …",
            )
        if not _can_make_environments():
            self._install_venv()
        self.commands.run([sys.executable, "-m", "venv", "--clear", self.venv], mend=MEND)

    def _install_venv(self) -> None:
        if not self.packages.possible():
            raise Problem(
                f"{sys.executable} cannot make environments: it lacks `ensurepip`",
                "on Debian or Ubuntu, as root: apt-get install python3-venv",
                "or name another Python: make PYTHON=/path/of/python3 …",
            )
        self.packages.install("python3-venv")

    def _satisfied(self) -> bool:
        return self._python.exists() and self._stamped() is not None

    def _stamped(self) -> str | None:
        """Return the lock that the environment was made from, if that one is enough."""
        if not self.stamp.exists():
            return None
        digest = self.stamp.read_text()
        enough = (self.lock, *self.enough)
        return next((name for name in enough if digest == self._digest(name)), None)

    def _digest(self, lock: str) -> str:
        project = (self.places.checkout / "pyproject.toml").read_bytes()
        content = self.places.lock(lock).read_bytes() + _entry_points(project)
        return hashlib.sha256(content + sys.version.encode()).hexdigest()

    def _surplus(self) -> list[str]:
        """Name what is installed and neither the lock's nor the project."""
        listing = self.commands.run([self._python, "-c", INSTALLED], mend=MEND)
        wanted = names_in(self.places.lock(self.lock).read_text()) | {"pip", PROJECT}
        return sorted(normal(listing.split()) - wanted)

    @property
    def stamp(self) -> Path:
        """Says which lock the environment was last made from."""
        return self.venv / ".lock"

    @property
    def _python(self) -> Path:
        return self.venv / "bin" / "python"


INSTALLED = (
    "from importlib.metadata import distributions as d\n"
    "print(*(one.metadata['Name'] for one in d()), sep='\\n')"
)


def normal(names: Iterable[str]) -> set[str]:
    """Return names of distributions as the index compares them (PEP 503)."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def names_in(lock: str) -> set[str]:
    """Return the names that a lock pins."""
    return normal(PINNED.findall(lock))


def _entry_points(project: bytes) -> bytes:
    """Return the part of `pyproject.toml` that linking the project in depends on."""
    _, _, rest = project.partition(b"[project.scripts]")
    return rest.partition(b"\n[")[0]


def _can_make_environments() -> bool:
    """Debian ships `ensurepip` in a package of its own."""
    return importlib.util.find_spec("ensurepip") is not None
