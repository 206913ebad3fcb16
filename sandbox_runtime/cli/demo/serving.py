"""Does a broker answer, for as long as the demonstration needs it?

Law: it is the broker that everybody starts, `sandbox-broker serve` with a configuration
file, in a process of its own. It does not outlive the demonstration, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2
from ruamel.yaml import YAML

from sandbox_runtime.cli.output import FAULT, Failure
from sandbox_runtime.server.environment import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUBJECT = "agent:demo"
COMMAND = Path(sys.executable).with_name("sandbox-broker")
START, DRAIN = 30.0, 30.0
"""Seconds that a broker may take to answer, and to go."""
PR_SET_PDEATHSIG = 1  # prctl(2)
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the demonstration keeps what it makes."""

    root: Path
    manifests: Path

    @property
    def state(self) -> Path:
        """The broker's state: its log, bodies and keys."""
        return self.root / "state"

    @property
    def database(self) -> Path:
        """The flights."""
        return self.root / "flights.db"

    @property
    def cache(self) -> Path:
        """Archives as they were fetched."""
        return self.root / "cache"

    @property
    def config(self) -> Path:
        """The broker's configuration."""
        return self.root / "broker.yaml"

    @property
    def diagnostics(self) -> Path:
        """What the broker tells its operators."""
        return self.root / "broker.log"


class Serving:
    """A broker that answers at `address`."""

    def __init__(self, places: Places, address: str) -> None:
        """Start it, and wait until it answers."""
        self.address = address
        self.exit_code: int | None = None
        self._places = places
        self._process = launch(places)
        self._answers()

    def restart(self) -> None:
        """Stop it in good order, and start another on the same state."""
        self.stop()
        if self.exit_code:
            raise Failure(
                f"the broker ended with exit code {self.exit_code}",
                f"see {self._places.diagnostics}",
                FAULT,
            )
        self._process = launch(self._places)
        self._answers()

    def stop(self) -> None:
        """Have it end, and keep its exit code."""
        self.exit_code = stop(self._process)

    def _answers(self) -> None:
        try:
            wait(self._process, self.address, self._places)
        except BaseException:
            self.stop()
            raise


@contextmanager
def served(places: Places) -> Iterator[Serving]:
    """Start a broker, wait until it answers, and stop it in the end."""
    with tempfile.TemporaryDirectory(prefix="sandbox-broker-") as run:  # socket paths are short
        socket = Path(run, "broker.sock")
        configure(places, socket)
        serving = Serving(places, f"unix:{socket}")
        try:
            yield serving
        finally:
            serving.stop()


def configure(places: Places, socket: Path) -> None:
    """Write the broker's configuration."""
    settings = {
        "state_dir": str(places.state.absolute()),
        "manifests": str(places.manifests.absolute()),
        "listen": {"socket": str(socket)},
        "peers": [{"uid": os.geteuid(), "subject": SUBJECT}],
        "data": {"flights": str(places.database.absolute())},
    }
    places.root.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    yaml.dump(settings, places.config)


def launch(places: Places) -> subprocess.Popen[bytes]:
    """Start the broker; its diagnostics go to a file."""
    with places.diagnostics.open("ab") as diagnostics:
        return subprocess.Popen(  # noqa: S603 - our own command
            [str(COMMAND), "serve", "--config", str(places.config.absolute())],
            env=surroundings(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=diagnostics,
            stderr=diagnostics,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - no thread has been started yet
        )


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings: those of another broker are none of this one's."""
    return {k: v for k, v in environment.items() if not k.upper().startswith(PREFIX)}


def _end_with_parent() -> None:
    """Have the kernel stop the broker when the demonstration is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait(broker: subprocess.Popen[bytes], address: str, places: Places) -> None:
    """Return once the broker says that it serves."""
    with grpc.insecure_channel(address, RECONNECT) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        until = time.monotonic() + START
        while broker.poll() is None and time.monotonic() < until:
            with suppress(grpc.RpcError):
                answer = check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
    said = places.diagnostics.read_text(errors="replace").strip().splitlines()[-12:]
    raise Failure(
        "\n".join(["the broker does not come up:", *said]), f"see {places.diagnostics}", FAULT
    )


def stop(broker: subprocess.Popen[bytes]) -> int:
    """Ask it to end, insist if it does not, and return its exit code."""
    broker.send_signal(signal.SIGTERM)
    try:
        return broker.wait(DRAIN)
    except subprocess.TimeoutExpired:
        broker.kill()
        return broker.wait()
