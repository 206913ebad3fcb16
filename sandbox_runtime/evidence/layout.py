"""Where under a broker's state directory does its evidence lie?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.reader import LogReader

if TYPE_CHECKING:
    from pathlib import Path


def log_directory(state: Path) -> Path:
    """Return where the log lies."""
    return state / "log"


def keys_directory(state: Path) -> Path:
    """Return where the keys of its bodies lie."""
    return state / "keys"


def kept_directory(state: Path) -> Path:
    """Return where files lie that outlive their task."""
    return state / "kept"


def reader(state: Path) -> LogReader:
    """Return a reader of the log: no lock, no keys."""
    return LogReader(root=log_directory(state))


def bodies(state: Path) -> Bodies:
    """Return the opener of the log's bodies. Raises `KeysRefused` without the keys."""
    return Bodies(root=log_directory(state), keys=Keys.open(keys_directory(state)))
