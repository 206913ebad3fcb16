"""What belongs to one broker and outlives its process?

Law: everything lies under `state_dir`, which nobody else can enter.

    id          this broker's name, on its containers and in its log
    log/ keys/  evidence
    workspaces/ the files of tasks that live, mounted while it runs
    kept/       files that outlive their task, encrypted
    staging/    files on their way in, while it runs; they have no names
    doors/      private sockets, while it runs
    identity/   who was issued a token or a certificate, and the broker's own authority
    dev-token   the bearer token of `--dev`, while it runs
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from typing import TYPE_CHECKING

from sandbox_runtime.errors import EvidenceUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_ID = re.compile(r"b-[0-9a-f]{16}")


def prepare(state: Path) -> None:
    """Make the directory, or see that it is ours alone. Raises `EvidenceUnavailable`."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = state.lstat()
    except OSError as error:
        raise EvidenceUnavailable(f"`{state}` cannot be had: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EvidenceUnavailable(f"`{state}` is not a directory of the broker's user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise EvidenceUnavailable(f"others may enter `{state}`: chmod 700 it")


def broker_id(state: Path) -> str:
    """Return this broker's name, made on its first start. The log's lock is held."""
    path = state / "id"
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.write_text(f"b-{secrets.token_hex(8)}\n", encoding="ascii")
        unfinished.replace(path)
    name = path.read_text(encoding="ascii").strip()
    if _ID.fullmatch(name) is None:
        raise EvidenceUnavailable(f"`{path}` holds no broker's name")
    return name


def workspaces(state: Path) -> Path:
    """Return where the files of tasks lie."""
    return state.resolve() / "workspaces"


def doors(state: Path) -> Path:
    """Return an empty directory for private sockets. The log's lock is held."""
    path = state / "doors"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    return path


def staging(state: Path) -> Path:
    """Return where files wait on their way in."""
    path = state / "staging"
    path.mkdir(mode=0o700, exist_ok=True)
    return path
