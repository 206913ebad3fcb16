"""Who asks?

Law: the transport says who asks, and a request never does. Nothing is served, health and
reflection included, before the caller is known; a message of a stranger is not even parsed.

Four doors. Behind a Unix socket `peers` has read the caller's uid from the kernel and leads
each user to a listener of its own, so `Reserved` knows everyone who comes through. On
loopback `Bearer` compares a token. Behind `tls`, `Certified` goes by the certificate of the
connection, and `Bearers` by a token that was issued.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any, Protocol

import grpc.aio

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.server import status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from sandbox_runtime.records import Micros
    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.caller import Caller

    Metadata = Iterable[tuple[str, str | bytes]]

AUTHORIZATION = "authorization"
TASK_TOKEN = "task-token"  # noqa: S105 - the name of a metadata key
ON_BEHALF_OF = "on-behalf-of"
_SCHEME = "Bearer "


@unique
class Stranger(StrEnum):
    """Why somebody was turned away."""

    UNKNOWN_UID = "unknown_uid"
    NO_HANDSHAKE = "no_handshake"
    """Whoever connected speaks no TLS, or none that we take, or has no certificate."""
    WRONG_CERTIFICATE = "wrong_certificate"
    """Of another authority, out of its time, or not to be understood."""
    UNKNOWN_CERTIFICATE = "unknown_certificate"
    """Of our authority, and nobody's that counts now."""
    TOO_MANY = "too_many_connections"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISPLACED_TOKEN = "misplaced_token"  # noqa: S105 - a name
    """A bearer token where the connection says already who asks."""
    NO_TOKEN = "no_token"  # noqa: S105 - a name
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a name
    WRONG_TASK_TOKEN = "wrong_task_token"  # noqa: S105 - a name
    NOT_THE_OPENER = "not_the_opener"
    ROLE_MISSING = "role_missing"
    NOT_THE_DELEGATE = "not_the_delegate"


class Unauthenticated(Refusal):
    """The caller is not known."""

    reason = Reason.UNAUTHENTICATED

    def __init__(self, why: Stranger) -> None:
        super().__init__("the caller is not known", hint="send `authorization: Bearer <token>`")
        self.stranger = why


class Door(Protocol):
    """Where callers come in."""

    async def knock(self, metadata: Metadata) -> None:
        """Raise `Unauthenticated` where a request shows already that nobody known sent it."""
        ...

    def caller(self, metadata: Metadata, peer: str) -> Caller:
        """Return who asks, from the connection that gRPC calls `peer`; raise `Unauthenticated`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a certificate says of whoever holds its key."""

    fingerprint: str
    """SHA-256."""
    uris: frozenset[str]
    until: Micros


class Guests(Protocol):
    """Who is known by certificate or token."""

    async def refresh(self) -> None:
        """See what changed meanwhile. Raises nothing."""
        ...

    def recognise(self, card: Card) -> Caller:
        """Return whose certificate this is; raise `Unauthenticated`."""
        ...

    def by_token(self, shown: str) -> Caller:
        """Return whose token this is; raise `Unauthenticated`."""
        ...


@dataclass(frozen=True, slots=True)
class Reserved:
    """A listener that only this caller can reach."""

    known: Caller

    async def knock(self, metadata: Metadata) -> None:
        """Turn away whoever says to be somebody else."""
        _expect_no_token(metadata)

    def caller(self, metadata: Metadata, peer: str) -> Caller:  # noqa: ARG002 - the listener says who it is
        """Return the one caller that comes through here."""
        return self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A listener on which one caller shows its token."""

    known: Caller
    token: str = field(repr=False)

    async def knock(self, metadata: Metadata) -> None:
        """Turn away whoever does not show it."""
        self.caller(metadata, "")

    def caller(self, metadata: Metadata, peer: str) -> Caller:  # noqa: ARG002 - the token says who it is
        """Return the token's caller. Compares in constant time."""
        if not hmac.compare_digest(bearer(metadata).encode(), self.token.encode()):
            raise Unauthenticated(Stranger.WRONG_TOKEN)
        return self.known


@dataclass(frozen=True, slots=True)
class Certified:
    """A listener for connections that showed a certificate."""

    guests: Guests
    cards: Mapping[str, Card]
    """Of the connections that are open now."""

    async def knock(self, metadata: Metadata) -> None:
        """Turn away whoever says to be somebody else beside."""
        _expect_no_token(metadata)
        await self.guests.refresh()

    def caller(self, metadata: Metadata, peer: str) -> Caller:  # noqa: ARG002 - the connection says who it is
        """Return who is known by the connection's certificate."""
        card = self.cards.get(peer.rpartition("/")[2])
        if card is None:  # its connection is gone by now
            raise Unauthenticated(Stranger.UNKNOWN_CERTIFICATE)
        return self.guests.recognise(card)


@dataclass(frozen=True, slots=True)
class Bearers:
    """A listener on which everyone shows a token of their own."""

    guests: Guests

    async def knock(self, metadata: Metadata) -> None:
        """Turn away whoever shows none that counts."""
        await self.guests.refresh()
        self.caller(metadata, "")

    def caller(self, metadata: Metadata, peer: str) -> Caller:  # noqa: ARG002 - the token says who it is
        """Return whose token is shown."""
        return self.guests.by_token(bearer(metadata))


def known(door: Door, attempts: Attempts, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
    """Return who asks; raise `Unauthenticated`, and count it."""
    try:
        return door.caller(context.invocation_metadata() or (), context.peer())
    except Unauthenticated as stranger:
        attempts.count(stranger.stranger)
        raise


def bearer(metadata: Metadata) -> str:
    """Return the one bearer token that is shown; raise `Unauthenticated`."""
    shown = [_text(value) for key, value in metadata if key == AUTHORIZATION]
    if not shown:
        raise Unauthenticated(Stranger.NO_TOKEN)
    if len(shown) != 1 or not shown[0].startswith(_SCHEME):
        raise Unauthenticated(Stranger.WRONG_TOKEN)
    return shown[0].removeprefix(_SCHEME)


def _expect_no_token(metadata: Metadata) -> None:
    if any(key == AUTHORIZATION for key, _ in metadata):
        raise Unauthenticated(Stranger.MISPLACED_TOKEN)


def task_token(metadata: Metadata) -> str:
    """Return the task's token; nothing where the caller sent none, or two."""
    shown = [value for key, value in metadata if key == TASK_TOKEN]
    return str(shown[0]) if len(shown) == 1 else ""


def on_behalf_of(metadata: Metadata) -> str | None:
    """Return for whom the caller says to ask; None where it asks for itself."""
    said = [str(value) for key, value in metadata if key == ON_BEHALF_OF]
    if len(said) > 1:
        raise Refusal("`on-behalf-of` stands there twice", reason=Reason.REQUEST_INVALID)
    return said[0] if said else None


class Authentication(grpc.aio.ServerInterceptor):
    """Stands before every method of one server."""

    def __init__(self, door: Door, attempts: Attempts) -> None:
        self._door, self._attempts = door, attempts

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler of whatever method it is
        """Return the method's handler, or one that turns away."""
        try:
            await self._door.knock(handler_call_details.invocation_metadata or ())
        except Unauthenticated as stranger:
            self._attempts.count(stranger.stranger)
            return _turn_away(stranger)
        return await continuation(handler_call_details)


def _turn_away(stranger: Unauthenticated) -> Any:  # noqa: ANN401 - grpc's handler has no public type
    said = status.refusal(stranger)

    async def refuse(
        _: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        await status.abort(context, said)

    # As a stream, whatever the method is: a unary handler would first read the message.
    return grpc.stream_stream_rpc_method_handler(refuse)


def _text(value: str | bytes) -> str:
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
    return text.encode("utf-8", errors="replace").decode()
