"""Who stands at the other end of a Unix socket?

Law: the kernel says so (SO_PEERCRED, unix(7)), when the connection is made. Who is nobody we
know is hung up on, and counted.

gRPC's Python server shows neither a connection's credentials nor which listener took it
(`context.peer()` is a bare `unix:`; grpc/grpc#28755). So we hold the public socket, read the
credentials, and splice the bytes to a private socket that belongs to one subject: its own
server, in a directory that nobody but the broker can enter.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from sandbox_runtime.server.identity import Stranger
from sandbox_runtime.server.splice import End, Leading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox_runtime.server.attempts import Attempts

_log = structlog.get_logger("sandbox_broker.peers")
_CREDENTIALS: Final = struct.Struct("=iII")
"""`struct ucred`: pid, uid, gid."""

MAX_CONNECTIONS: Final = 128
"""Of one uid, at a time."""


class _Caller(End):
    """The end towards the caller."""

    def __init__(self, porch: Porch) -> None:
        super().__init__()
        self._porch = porch
        self._uid: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - set a line above
        uid = peer_uid(transport.get_extra_info("socket"))
        if self._porch.admits(uid):
            self._uid = uid
            self._porch.enter(uid, self)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._uid is not None:
            self._porch.leave(self._uid, self)


class Porch:
    """The public socket. Leads each uid that it knows to its subject's private socket."""

    def __init__(self, private: Mapping[int, Path], attempts: Attempts) -> None:
        self._private, self._attempts = private, attempts
        self._counts: Counter[int] = Counter()
        self._leading = Leading()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        """Take connections on `listener`, a bound Unix socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Caller(self), sock=listener)

    async def close(self) -> None:
        """Hang up on everyone."""
        if self._server is not None:
            self._server.close()
        await self._leading.close()

    def admits(self, uid: int) -> bool:
        """Whether this uid may come in now. Who may not is counted."""
        if uid not in self._private:
            self._attempts.count(Stranger.UNKNOWN_UID)
            return False
        if self._counts[uid] >= MAX_CONNECTIONS:
            _log.warning("too_many_connections", uid=uid)
            return False
        return True

    def enter(self, uid: int, caller: _Caller) -> None:
        """Lead a caller to its subject's listener."""
        self._counts[uid] += 1
        self._leading.enter(caller, self._private[uid])

    def leave(self, uid: int, caller: _Caller) -> None:
        """Forget a caller that is gone."""
        self._counts[uid] -= 1
        self._leading.leave(caller)


def peer_uid(connection: socket.socket) -> int:
    """Return the uid of the process that made this connection, as the kernel recorded it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)
