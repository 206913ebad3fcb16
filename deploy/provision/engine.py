"""Which Docker Engine will run the containers?

Law: an engine that answers is used as it is. One that is installed is started. Only where
there is none, on Debian or Ubuntu and as root, is one installed; everywhere else a person
is told which commands are missing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.commands import Commands
from provision.daemon import Daemon, processes
from provision.debian import Packages
from provision.engine_api import EngineApi
from provision.problem import Problem
from provision.steps import Intent

PACKAGE = "docker.io"
PATIENCE = 30.0
"""Seconds for an engine that somebody else is starting."""


def socket_of(env: Mapping[str, str]) -> Path:
    """Return the Unix socket that `DOCKER_HOST`, or the engine's default, names."""
    host = env.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    scheme, _, path = host.partition("://")
    if scheme != "unix":
        raise Problem(
            f"DOCKER_HOST is `{host}`: isolation is read back from this machine's kernel, so the "
            "engine must run here",
            "unset DOCKER_HOST, or set it to unix:///path/of/the/socket",
        )
    return Path(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The step that ends with an engine that answers."""

    api: EngineApi
    daemon: Daemon
    packages: Packages
    commands: Commands
    name: str = "engine"

    def intent(self) -> Intent:
        """Look for an engine."""
        if version := self.answering():
            return Intent(words=f"use Docker Engine {version} at {self.api.socket}")
        if self.installed():
            return Intent(words="start the Docker Engine that is installed")
        return Intent(
            words=f"install Docker Engine (`{PACKAGE}`) with apt-get, start it", installs=True
        )

    def act(self) -> str:
        """Find, start or install an engine; return where it answers."""
        version = self.answering() or self._start()
        return f"Docker Engine {version} at {self.api.socket}"

    def answering(self) -> str | None:
        """Return the version of the engine that answers, or nothing."""
        try:
            return self.api.version()
        except PermissionError as error:
            raise self._not_ours_to_open() from error
        except OSError:
            return None

    def installed(self) -> bool:
        """Is there an engine that only needs to be started?"""
        return shutil.which("dockerd") is not None

    def _start(self) -> str:
        if self.api.socket != self.daemon.socket:
            raise Problem(
                f"no engine answers at {self.api.socket}, which DOCKER_HOST names",
                "start that engine, or unset DOCKER_HOST, then run this again",
            )
        if os.geteuid() != 0:
            raise self._needs_root()
        if not self.installed():
            self._install()
        if Path("/run/systemd/system").is_dir():
            self.commands.run(["systemctl", "start", "docker"], mend="see `journalctl -u docker`")
            return self._await()
        self.daemon.stop()  # if it runs, it runs and does not answer
        return self._await() if _somebody_elses() else self.daemon.start()

    def _install(self) -> None:
        if not self.packages.possible():
            raise Problem(
                "no Docker Engine is installed, and this is neither Debian nor Ubuntu",
                "install Docker Engine 20.10 or later with this system's own packages",
                "start it, then run this again",
            )
        self.packages.install(PACKAGE)

    def _await(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if version := self.answering():
                return version
            time.sleep(0.2)
        raise Problem(
            f"an engine was started, and does not answer at {self.api.socket}",
            "see its log (`journalctl -u docker`, or /var/log/docker.log)",
        )

    def _not_ours_to_open(self) -> Problem:
        return Problem(
            f"you may not open the engine's socket {self.api.socket}",
            f"as root: usermod --append --groups docker {os.environ.get('USER', '$USER')}",
            "log in again, then run this again (who is in that group is as good as root)",
        )

    def _needs_root(self) -> Problem:
        how = "service docker start" if self.installed() else f"apt-get install {PACKAGE}"
        return Problem(
            f"no Docker Engine answers at {self.api.socket}, and only root can change that",
            f"as root: {how}",
            f"as root: usermod --append --groups docker {os.environ.get('USER', '$USER')}",
            "log in again, then run this again; or run this once as root",
        )


def _somebody_elses() -> bool:
    """Is an engine coming up that is not ours, by the package's init script perhaps?"""
    daemons = (one for one in processes() if one.program == "dockerd")
    return any("--config-file" not in one.command for one in daemons)
