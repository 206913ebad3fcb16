"""An engine of our own beside the machine's, for tests that kill it."""

from __future__ import annotations

import os
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


@pytest.fixture(scope="module", autouse=True)
def burials() -> Iterator[None]:
    """Bury the engines that ended here: set-up leaves that to whoever outlives it."""
    yield
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for pid in map(int, children):
        if "dockerd" in Path(f"/proc/{pid}/comm").read_text():
            os.waitpid(pid, 0)


@pytest.fixture
def daemon(isolated: Daemon) -> Daemon:
    """It runs and answers."""
    if isolated.running() is None:
        isolated.start()
    return isolated
