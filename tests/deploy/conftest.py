"""An engine of our own beside the machine's, for tests that kill it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.daemon import Daemon


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A short path: the name of a Unix socket has 107 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def isolated(room: Path) -> Iterator[Daemon]:
    daemon = Daemon(
        home=room / "home",
        socket=room / "docker.sock",
        pid_file=room / "docker.pid",
        exec_root=room / "exec",
        data_root=room / "data",
        configured=room / "none.json",
    )
    yield daemon
    daemon.stop()


@pytest.fixture
def daemon(isolated: Daemon) -> Daemon:
    """It runs and answers."""
    if isolated.running() is None:
        isolated.start()
    return isolated
