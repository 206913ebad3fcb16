"""Where does the broker listen, and what does a server of it consist of?

Law: a server is made of one door and everything behind it: authentication first, then
`BrokerService`, health and reflection. There is no other way to make one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sandbox_runtime.server import securing
from sandbox_runtime.server.audit_rpc import AuditRpc
from sandbox_runtime.server.identity import (
    Authentication,
    Bearer,
    Bearers,
    Certified,
    Reserved,
)
from sandbox_runtime.server.open_requests import OpenRequests
from sandbox_runtime.server.peers import Porch
from sandbox_runtime.server.rpc import BrokerRpc
from sandbox_runtime.server.securing import TlsRefused
from sandbox_runtime.server.tls import Rooms, TlsPorch
from sandbox_runtime.v1 import audit_pb2 as audit
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1.audit_pb2_grpc import add_AuditServiceServicer_to_server
from sandbox_runtime.v1.broker_pb2_grpc import add_BrokerServiceServicer_to_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.caller import Caller
    from sandbox_runtime.server.edge import Core
    from sandbox_runtime.server.identity import Door, Guests
    from sandbox_runtime.server.settings import Tls

SERVICE: Final = pb.DESCRIPTOR.services_by_name["BrokerService"].full_name
AUDIT: Final = audit.DESCRIPTOR.services_by_name["AuditService"].full_name
MAX_REQUEST: Final = 4 << 20
MAX_ANSWER: Final = 96 << 20
"""A result, and its artifacts; the client takes as much."""
MAX_AT_ONCE: Final = 8192
"""Requests in progress behind one door. Each subject is held to far fewer before (`open_requests`),
and told so: gRPC itself would give no reason and no hint."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", MAX_ANSWER),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", MAX_AT_ONCE),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),  # or another process could share our port, and its callers
)


class ListenRefused(Exception):  # noqa: N818 - told to the operator as it is
    """The broker cannot listen there."""


@dataclass(slots=True, kw_only=True)
class Listeners:
    """Every server of one broker, and their common health."""

    core: Core
    attempts: Attempts
    health: health.aio.HealthServicer = field(default_factory=health.aio.HealthServicer)
    _servers: list[grpc.aio.Server] = field(default_factory=list)
    _porch: Porch | None = None
    _tls: TlsPorch | None = None
    _paths: list[Path] = field(default_factory=list)

    async def open_unix(
        self, path: Path, *, group: int | None, callers: Mapping[int, Caller], private: Path
    ) -> None:
        """Listen on the Unix socket `path` for the uids of `callers`.

        `private` is a directory that only the broker can enter. Raises `ListenRefused`.
        """
        doors = {uid: private / f"{n}.sock" for n, uid in enumerate(callers)}
        for uid, inner in doors.items():
            await self._start(Reserved(callers[uid]), f"unix:{inner}")
        self._porch = Porch(doors, self.attempts)
        listener = bind(path, group)
        self._paths.append(path)
        await self._porch.open(listener)

    async def open_loopback(self, port: int, caller: Caller, token_file: Path) -> int:
        """Listen on 127.0.0.1 for whoever has the token in `token_file`; return the port."""
        token = secrets.token_urlsafe(32)
        bound = await self._start(Bearer(known=caller, token=token), f"127.0.0.1:{port}")
        write_token(token_file, token)
        self._paths.append(token_file)
        return bound

    async def open_tls(self, chosen: Tls, guests: Guests, *, state: Path, private: Path) -> str:
        """Listen with TLS for other machines; return the address. Raises `ListenRefused`."""
        names = private / "tls"
        names.mkdir(mode=0o700)
        rooms = Rooms(
            names=names,
            certified=private / "certified.sock",
            bearers=private / "bearers.sock" if chosen.tokens else None,
        )
        try:
            rules = securing.rules(chosen, state, names)
            listener = securing.bound(chosen.address, chosen.port)
        except (OSError, TlsRefused) as error:
            raise ListenRefused(f"TLS cannot be had on `{chosen.address}`: {error}") from error
        porch = self._tls = TlsPorch(rules, rooms, guests, self.attempts)
        await self._start(Certified(guests, porch.cards), f"unix:{rooms.certified}")
        if rooms.bearers is not None:
            await self._start(Bearers(guests), f"unix:{rooms.bearers}")
        porch.open(listener)
        return _shown(chosen.address, listener.getsockname()[1])

    async def serving(self) -> None:
        """Show that requests are taken."""
        for service in (health.OVERALL_HEALTH, SERVICE, AUDIT):
            await self.health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def not_serving(self) -> None:
        """Show that requests are no longer taken; nothing shows otherwise from now on."""
        await self.health.enter_graceful_shutdown()

    async def close(self, grace: float) -> None:
        """Hang up after answers in progress have had `grace` seconds."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        if self._porch is not None:
            await self._porch.close()
        if self._tls is not None:
            await self._tls.close()

    async def _start(self, door: Door, address: str) -> int:
        server = grpc.aio.server(
            interceptors=[Authentication(door, self.attempts), OpenRequests(self.core, door)],
            options=_OPTIONS,
            maximum_concurrent_rpcs=MAX_AT_ONCE,
        )
        add_BrokerServiceServicer_to_server(BrokerRpc(self.core, door), server)
        add_AuditServiceServicer_to_server(AuditRpc(self.core, door), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        names = (SERVICE, AUDIT, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ListenRefused(f"`{address}` cannot be listened on: {error}") from error
        await server.start()
        self._servers.append(server)
        return port


def _shown(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def bind(path: Path, group: int | None) -> socket.socket:
    """Return a Unix socket bound to `path`, for its owner and `group` alone.

    Nobody can connect before its mode is set: it does not listen yet. Raises `ListenRefused`.
    """
    try:
        _make_directory(path.parent, group)
        _remove_stale(path)
        return _bound(path, group)
    except OSError as error:
        raise ListenRefused(f"`{path}` cannot be listened on: {error.strerror}") from error


def _bound(path: Path, group: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        _give(path, group, 0o660)
    except OSError:
        listener.close()
        raise
    return listener


def write_token(path: Path, token: str) -> None:
    """Put the token where only the broker's user can read it."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{token}\n")


def _make_directory(path: Path, group: int | None) -> None:
    """Make the socket's directory, or see that nobody else can put a socket of theirs there."""
    if not path.exists():
        path.mkdir(parents=True)
        _give(path, group, 0o750)
    found = path.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid in {0, os.geteuid()}
    if not ours or found.st_mode & 0o022:
        raise ListenRefused(f"others could replace the socket: `{path}` should be ours, mode 0750")


def _give(path: Path, group: int | None, mode: int) -> None:
    os.chown(path, -1, -1 if group is None else group)
    path.chmod(mode)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a broker that is gone; raise `ListenRefused` if it is not gone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenRefused(f"`{path}` is there and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ListenRefused(f"another broker listens on `{path}`")
