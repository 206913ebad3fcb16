"""Which Python packages does a tool need, and how do they reach its image?

Law: the host fetches them and the build has no network. Each file is one that
`requirements.txt` names by hash, a wheel, and fits the base's interpreter; nothing is
resolved, nothing is built, nothing of a package runs.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.sandbox.context import ToolNotBuildable

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_GLIBC = 5
"""manylinux_2_5 is the first; its older spellings are for wheels of that time."""
OLD_TAGS = ("manylinux2014", "manylinux2010", "manylinux1")
PATIENCE = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The base's Python."""

    version: str
    """As in 3.11."""
    glibc: tuple[int, int]
    machine: str
    """As in x86_64."""
    site: str
    """Where it looks for packages."""
    release: str = ""
    """The distribution that it stands on, as in `debian bookworm`."""

    def platforms(self) -> Iterator[str]:
        """Yield the platform tags that it takes, best first (PEP 600)."""
        major, minor = self.glibc
        for each in range(minor, OLDEST_GLIBC - 1, -1):
            yield f"manylinux_{major}_{each}_{self.machine}"
        for tag in OLD_TAGS:
            yield f"{tag}_{self.machine}"


PROBE = """\
import json, os, platform, site, sys
libc = os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")
try:
    system = platform.freedesktop_os_release()
except OSError:
    system = {}
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "glibc": [int(libc[0]), int(libc[1])],
    "machine": platform.machine(),
    "site": [path for path in site.getsitepackages() if os.path.isdir(path)][-1],
    "release": " ".join(system.get(key, "") for key in ("ID", "VERSION_CODENAME")).strip(),
}))
"""
"""Run in the base; says what an `Interpreter` is made of."""


PRESENT = """\
import json, os
print(json.dumps([
    os.path.join(folder, name)[1:]
    for folder, folders, names in os.walk("/usr") for name in (*folders, *names)
]))
"""
"""Run in the base; says which files it has."""


def fetch(requirements: Path, python: Interpreter, into: Path) -> None:
    """Put the packages that `requirements` pins into the folder `into`."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"),
        *("--implementation", "cp", "--python-version", python.version),
        *(word for tag in python.platforms() for word in ("--platform", tag)),
        *("--target", str(into), "--requirement", str(requirements)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603 - every word is ours
    except subprocess.CalledProcessError as error:
        raise ToolNotBuildable(f"{requirements}: {last_words(error.stderr)}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolNotBuildable(f"{requirements}: not fetched within {PATIENCE} s") from error


def last_words(text: str) -> str:
    """Return the end of what a program complained."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-5:])
