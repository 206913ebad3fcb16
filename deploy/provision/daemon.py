"""How does an engine run where no service manager runs it?

Law: our daemon has our configuration, which gives containers no network bridge and
touches no firewall. What an unclean end left behind (pid files that name nobody, or a
stranger; a containerd without its parent; sockets nobody listens on) never keeps the
next start from succeeding, and nothing that is not ours is ever signalled.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provision.engine_api import EngineApi
from provision.problem import Problem

START = 40.0
"""Seconds the engine may take until it answers."""
STOP = 20.0
"""Seconds it may take to end, before it is killed."""
LAST_LINES = 8
ENDED = frozenset("ZX")
"""States of a process that runs no more (proc(5)). One in the middle of `exec` has no
command line for a moment, and lives."""
WISHES: dict[str, object] = {
    "log-level": "warn",
    "bridge": "none",
    "iptables": False,
    "ip6tables": False,
    "ip-forward": False,
}
"""The broker's containers have no network interface, so the engine needs no bridge, no
forwarding and no firewall rules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process of this machine, as procfs shows it."""

    pid: int
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        """The file name of what it runs."""
        return Path(self.command[0]).name


def processes(proc: Path = Path("/proc")) -> Iterator[Process]:
    """Every process that has not ended."""
    for entry in proc.iterdir():
        if entry.name.isdecimal() and (process := process_of(int(entry.name), proc)):
            yield process


def process_of(pid: int, proc: Path = Path("/proc")) -> Process | None:
    """Return the process `pid`, or nothing if it ended, even if nobody has reaped it yet."""
    try:
        state = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
        raw = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    words = raw.decode(errors="replace").rstrip("\0").split("\0")
    return None if state in ENDED else Process(pid=pid, command=tuple(words))


@dataclass(frozen=True, kw_only=True, slots=True)
class Daemon:
    """The engine that we start ourselves, and its files."""

    home: Path
    socket: Path = Path("/var/run/docker.sock")
    pid_file: Path = Path("/var/run/docker.pid")
    exec_root: Path = Path("/var/run/docker")
    data_root: Path = Path("/var/lib/docker")
    configured: Path = Path("/etc/docker/daemon.json")
    """What this machine's owner wants of an engine; it counts more than our wishes."""

    @property
    def config(self) -> Path:
        """Its configuration, by which a running daemon is known to be ours."""
        return self.home / "daemon.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.home / "dockerd.log"

    def settings(self) -> dict[str, object]:
        """Return the daemon's configuration."""
        return WISHES | {"data-root": str(self.data_root)} | self._owners() | self._places()

    def _owners(self) -> dict[str, object]:
        return json.loads(self.configured.read_text()) if self.configured.exists() else {}

    def _places(self) -> dict[str, object]:
        return {
            "hosts": [f"unix://{self.socket}"],
            "pidfile": str(self.pid_file),
            "exec-root": str(self.exec_root),
        }

    def running(self) -> Process | None:
        """Return our daemon's process, if it runs."""
        ours = str(self.config)
        found = (one for one in processes() if one.program == "dockerd" and ours in one.command)
        return next(found, None)

    def start(self) -> str:
        """Start it in a session of its own and wait until it answers; return its version."""
        self.sweep()
        self.home.mkdir(parents=True, exist_ok=True)
        self.config.write_text(json.dumps(self.settings(), indent=1) + "\n")
        return self._await(self._spawn())

    def _spawn(self) -> int:
        """Start the program; it lives on when set-up ends. Return its process id."""
        program = shutil.which("dockerd") or "/usr/sbin/dockerd"
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            program,
            [program, "--config-file", str(self.config)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def stop(self) -> bool:
        """End our daemon and the containerd it started; say whether it ran."""
        if not (daemon := self.running()):
            return False
        end(daemon)
        self.sweep()
        return True

    def sweep(self) -> None:
        """Remove what an unclean end left: orphans of ours, files that name nobody."""
        for orphan in self._orphans():
            end(orphan)
        for pid_file, program in self._pid_files():
            if not _names(pid_file, program):
                pid_file.unlink(missing_ok=True)

    def _orphans(self) -> list[Process]:
        """List the containerd processes of this exec root that no dockerd watches over."""
        config = str(self.exec_root / "containerd" / "containerd.toml")
        if any(one.program == "dockerd" and not self._elsewhere(one) for one in processes()):
            return []
        return [one for one in processes() if one.program == "containerd" and config in one.command]

    def _elsewhere(self, daemon: Process) -> bool:
        """Does this dockerd run from a configuration that is not ours?"""
        configured = "--config-file" in daemon.command
        return configured and str(self.config) not in daemon.command

    def _pid_files(self) -> list[tuple[Path, str]]:
        containerd = self.exec_root / "containerd" / "containerd.pid"
        return [(self.pid_file, "dockerd"), (containerd, "containerd")]

    def _await(self, pid: int) -> str:
        api, deadline = EngineApi(socket=self.socket), time.monotonic() + START
        while time.monotonic() < deadline and process_of(pid):
            try:
                return api.version()
            except OSError:
                time.sleep(0.1)
        raise Problem(
            f"the engine did not start; the end of its log:\n{self._last_lines()}",
            f"mend what {self.log} says, then run this again",
            "an engine that you start yourself is used as it is",
        )

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join(f"    {line}" for line in lines)


def end(process: Process) -> None:
    """Ask a process to end; kill it when it does not."""
    for sign, patience in ((signal.SIGTERM, STOP), (signal.SIGKILL, STOP)):
        _signal(process.pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if process_of(process.pid) is None:
                return
            time.sleep(0.05)
    raise Problem(f"process {process.pid} ({process.program}) does not end", "restart the machine")


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _names(pid_file: Path, program: str) -> bool:
    """Does the file name a live process that runs `program`?"""
    try:
        process = process_of(int(pid_file.read_text()))
    except (OSError, ValueError):
        return False
    return process is not None and process.program == program
