"""How are two connections made into one?

Law: what one end hears, the other says, unread and in order; neither buffers beyond the other.
When one side is gone, so is the other.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger("sandbox_broker.splice")


class End(asyncio.Protocol):
    """One end of a splice."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise, for the type checker
        self.transport = transport

    def splice(self, other: End) -> None:
        """Belong together from now on."""
        self.other, other.other = other, self

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if (there := self._there()) is not None:
            there.write(data)

    def eof_received(self) -> bool:
        """Pass on that this side has said all; stay open while the other still speaks.

        TLS knows no side that has said all and still hears: there, both are over.
        """
        self.over = True
        here, there = self.transport, self._there()
        if here is None or there is None or self.other is None or self.other.over:
            return False
        if not (here.can_write_eof() and there.can_write_eof()):
            _close(there)
            return False
        there.write_eof()
        return True

    def pause_writing(self) -> None:
        """Have the other end hear no more until this one has said what it has."""
        if (there := self._there()) is not None:
            there.pause_reading()

    def resume_writing(self) -> None:
        """Let the other end hear again."""
        if (there := self._there()) is not None:
            there.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Say what is left to say at the other end, and close it."""
        if (there := self._there()) is not None:
            _close(there)

    def _there(self) -> asyncio.Transport | None:
        return self.other.transport if self.other is not None else None


def _close(transport: asyncio.Transport) -> None:
    """Close once: a TLS transport that is closed twice can no longer be aborted (CPython 3.11)."""
    if not transport.is_closing():
        transport.close()


class Leading:
    """Callers that are led to private sockets."""

    def __init__(self) -> None:
        self._callers: set[End] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self, caller: End, private: Path, name: Path | None = None) -> None:
        """Lead a caller to a private socket, where it is known by `name` if that is given."""
        transport = caller.transport
        assert transport is not None  # noqa: S101 - it was made before it is led
        transport.pause_reading()  # now: what a TLS handshake brought along is read right after it
        self._callers.add(caller)
        task = asyncio.create_task(self._lead(private, transport, caller, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, caller: End) -> None:
        """Forget a caller that is gone."""
        self._callers.discard(caller)

    async def close(self) -> None:
        """Hang up on everyone."""
        for caller in tuple(self._callers):
            if caller.transport is not None:
                caller.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lead(
        self, private: Path, transport: asyncio.Transport, caller: End, name: Path | None
    ) -> None:
        inner = End()
        inner.splice(caller)
        try:
            connection = await _connected(private, name)
            await asyncio.get_running_loop().create_unix_connection(lambda: inner, sock=connection)
        except OSError as error:
            _log.error("listener_lost", cause=error.strerror)
            transport.abort()
        else:
            transport.resume_reading()


async def _connected(private: Path, name: Path | None) -> socket.socket:
    """Return a connection to `private`, which sees `name` as its peer."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
        if name is not None:
            connection.bind(str(name))
            os.unlink(name)  # noqa: PTH108 - a blocking call, as short as binding it was
        await asyncio.get_running_loop().sock_connect(connection, str(private))
    except BaseException:
        connection.close()
        raise
    return connection
