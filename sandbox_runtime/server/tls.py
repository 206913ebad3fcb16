"""Who stands at the other end of a TLS connection?

Law: TLS 1.3 and nothing less (RFC 8446); whoever shows a certificate shows one of the authority
that the settings name, or there is no connection. What was shown counts for one request at a
time: a connection whose certificate counts no more is hung up on.

We end TLS ourselves, as `peers` reads credentials itself. gRPC's Python server asks for a
certificate from everyone or from nobody, and tells neither of a failed handshake nor which
version was spoken. The bytes then go to a private socket, where the name of our own end tells
one connection from another (`context.peer()`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from itertools import count
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sandbox_runtime.server.descriptors import connections
from sandbox_runtime.server.identity import Card, Stranger, Unauthenticated
from sandbox_runtime.server.splice import End, Leading

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.identity import Guests

HANDSHAKE: Final = 10.0
"""Seconds that one may take."""
MAX_CONNECTIONS: Final = 1024
"""Of everyone; fewer where this process has too few descriptors."""
MAX_OF_ADDRESS: Final = 128
_LOOK_AGAIN: Final = 1.0
"""Seconds between looks at who counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Where callers are led, all below a directory that only the broker can enter."""

    names: Path
    certified: Path
    bearers: Path | None
    """None: nobody comes in without a certificate."""


class _Caller(End):
    """The end towards the caller."""

    def __init__(self, porch: TlsPorch, address: str) -> None:
        super().__init__()
        self._porch, self.address = porch, address
        self.name: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._porch.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._porch.leave(self)


class TlsPorch:
    """The public port. Leads who holds a certificate to one private socket, others to another."""

    def __init__(
        self, context: ssl.SSLContext, rooms: Rooms, guests: Guests, attempts: Attempts
    ) -> None:
        self._context, self._rooms, self._guests, self._attempts = context, rooms, guests, attempts
        self._numbers = count(1)
        self._addresses: Counter[str] = Counter()
        self._met: dict[str, _Caller] = {}
        self._leading = Leading()
        self._own: set[asyncio.Task[None]] = set()
        self._meeting: set[asyncio.Task[None]] = set()
        self.cards: dict[str, Card] = {}
        """Of the connections that are open now, by the name of our own end."""

    def open(self, listener: socket.socket) -> None:
        """Take connections on `listener`, a listening socket that does not block."""
        self._listener = listener
        self._own = {
            asyncio.create_task(self._take(listener)),
            asyncio.create_task(self._keep_looking()),
        }

    async def close(self) -> None:
        """Hang up on everyone, and return when they are gone."""
        await self._cancelled(self._own)
        self._listener.close()
        await self._cancelled(self._meeting)
        await self._leading.close()
        async with asyncio.timeout(_LOOK_AGAIN):
            while self._addresses:  # noqa: ASYNC110 - asyncio closes them step by step
                await asyncio.sleep(0)

    def enter(self, caller: _Caller) -> None:
        """Lead somebody whose handshake went well."""
        transport = caller.transport
        assert transport is not None  # noqa: S101 - the connection was made
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        room = self._rooms.bearers if shown is None else self._rooms.certified
        if room is None:
            transport.abort()
            return
        try:
            name = None if shown is None else self._named(caller, card(shown))
        except Unauthenticated as stranger:
            self._attempts.count(stranger.stranger)
            transport.abort()
        else:
            self._leading.enter(caller, room, name)

    def leave(self, caller: _Caller) -> None:
        """Forget somebody who is gone."""
        self._addresses[caller.address] -= 1
        if not self._addresses[caller.address]:
            del self._addresses[caller.address]
        if caller.name is not None:
            del self.cards[caller.name], self._met[caller.name]
        self._leading.leave(caller)

    def hang_up(self) -> None:
        """Hang up on those whose certificate counts no more."""
        for name, caller in tuple(self._met.items()):
            try:
                self._guests.recognise(self.cards[name])
            except Unauthenticated:
                if caller.transport is not None:
                    caller.transport.abort()

    def _named(self, caller: _Caller, shown: Card) -> Path:
        caller.name = f"c{next(self._numbers)}"
        self.cards[caller.name], self._met[caller.name] = shown, caller
        return self._rooms.names / caller.name

    @staticmethod
    async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
        await asyncio.sleep(0)  # what was made a moment ago begins, and cleans up after itself
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, (address, *_) = await loop.sock_accept(listener)
            except OSError:  # out of descriptors, or the caller has gone again
                await asyncio.sleep(_LOOK_AGAIN)
                continue
            if self._admits(address):
                self._addresses[address] += 1
                meeting = asyncio.create_task(self._meet(connection, address))
                self._meeting.add(meeting)
                meeting.add_done_callback(self._meeting.discard)
            else:
                self._attempts.count(Stranger.TOO_MANY)
                connection.close()

    def _admits(self, address: str) -> bool:
        most = min(MAX_CONNECTIONS, connections())
        return self._addresses.total() < most and self._addresses[address] < MAX_OF_ADDRESS

    async def _meet(self, connection: socket.socket, address: str) -> None:
        caller = _Caller(self, address)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: caller,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=HANDSHAKE,
            )
        except ssl.SSLCertVerificationError:
            self._attempts.count(Stranger.WRONG_CERTIFICATE)
        except OSError:
            self._attempts.count(Stranger.NO_HANDSHAKE)
        finally:
            if caller.transport is None:
                self.leave(caller)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            await self._guests.refresh()
            self.hang_up()


def card(der: bytes) -> Card:
    """Return what a certificate says of whoever holds its key.

    Raises `Unauthenticated` where that cannot be read: OpenSSL lets more through than is sound.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        uris, until = _uris(certificate), certificate.not_valid_after_utc.astimezone(UTC)
    except _UNREADABLE as error:
        raise Unauthenticated(Stranger.WRONG_CERTIFICATE) from error
    return Card(
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        uris=uris,
        until=int(until.timestamp()) * 1_000_000,
    )


_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def _uris(certificate: x509.Certificate) -> frozenset[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(names.get_values_for_type(x509.UniformResourceIdentifier))


def context(*, certificate: Path, key: Path, authority: Path, everyone: bool) -> ssl.SSLContext:
    """Return the rules of every handshake. With `everyone`, nobody comes in uncertified.

    Raises `OSError` and `ssl.SSLError`.
    """
    rules = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    rules.minimum_version = ssl.TLSVersion.TLSv1_3
    rules.load_cert_chain(certificate, key)
    rules.load_verify_locations(cafile=authority)
    rules.verify_mode = ssl.CERT_REQUIRED if everyone else ssl.CERT_OPTIONAL
    rules.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    rules.set_alpn_protocols(["h2"])
    rules.num_tickets = 0  # a resumed session would show a certificate without being asked anew
    return rules
