"""Where do the demonstration's records come from?

Law: the archive is fetched by pip and kept only with the hash that the lock names. It is
read, never installed. pip asks even a source archive for its metadata and runs its
`setup.py` for that; it does so after the hash was checked, with a setuptools from a lock
of its own, so that nothing unpinned runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.cli.output import FAULT, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS, BUILD = "demo-data.txt", "demo-build.txt"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
MEND = "check that the package index can be reached, then run this again"


def fetched(locks: Path, cache: Path, tell: Callable[[str], None]) -> Path:
    """Return the archive that `demo-data.txt` in `locks` names, from `cache` if it is there."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (there := archives(cache)):
        tell(f"fetching what {locks / RECORDS} names")
        _fetch(locks, cache)
        there = archives(cache)
    return there[0]


def archives(cache: Path) -> list[Path]:
    """Return the archives that a cache holds."""
    return sorted(cache.glob("*.tar.gz"))


def _fetch(locks: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as place:
        builder, arrived = Path(place, "builder"), Path(place, "arrived")
        _pip(["install", "--target", str(builder)], locks / BUILD)
        how = ["--no-build-isolation", "--use-pep517", "--dest", str(arrived)]
        _pip(["download", *how], locks / RECORDS, python_path=builder)
        for archive in archives(arrived):
            archive.replace(cache / archive.name)


def _pip(words: list[str], lock: Path, python_path: Path | None = None) -> None:
    """Run one command of pip's under a lock."""
    if not lock.is_file():
        raise Failure(f"{lock} is missing", "run the demonstration in a checkout, or name --locks")
    paths = {"PYTHONPATH": str(python_path.absolute())} if python_path else {}
    command = [*PIP, *words, "--require-hashes", "--no-deps", "--requirement", str(lock)]
    ended = subprocess.run(  # noqa: S603 - our own words
        command, env={**os.environ, **paths}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.strip().rpartition("\n")[2]
        raise Failure(f"pip cannot fetch what {lock} names: {said}", MEND, FAULT)
