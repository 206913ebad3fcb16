"""Who asks?

Law: the transport says who asks, and a request never does. Nothing is served, health and
reflection included, before the caller is known; a message of a stranger is not even parsed.

Two doors. Behind a Unix socket `peers` has read the caller's uid from the kernel and leads
each user to a listener of its own, so `Reserved` knows everyone who comes through. On
loopback `Bearer` compares a token.
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
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.caller import Caller

    Metadata = Iterable[tuple[str, str | bytes]]

TASK_TOKEN = "task-token"  # noqa: S105 - the name of a metadata key
ON_BEHALF_OF = "on-behalf-of"
_SCHEME = "Bearer "


@unique
class Stranger(StrEnum):
    """Why somebody was turned away."""

    UNKNOWN_UID = "unknown_uid"
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

    def caller(self, metadata: Metadata) -> Caller:
        """Return who asks; raise `Unauthenticated`."""
        ...


@dataclass(frozen=True, slots=True)
class Reserved:
    """A listener that only this caller can reach."""

    known: Caller

    def caller(self, metadata: Metadata) -> Caller:  # noqa: ARG002 - the listener says who it is
        """Return the one caller that comes through here."""
        return self.known


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A listener on which one caller shows its token."""

    known: Caller
    token: str = field(repr=False)

    def caller(self, metadata: Metadata) -> Caller:
        """Return the token's caller. Compares in constant time."""
        shown = [value for key, value in metadata if key == "authorization"]
        if not shown:
            raise Unauthenticated(Stranger.NO_TOKEN)
        expected = f"{_SCHEME}{self.token}".encode()
        if len(shown) != 1 or not hmac.compare_digest(_bytes(shown[0]), expected):
            raise Unauthenticated(Stranger.WRONG_TOKEN)
        return self.known


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
            self._door.caller(handler_call_details.invocation_metadata or ())
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


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", errors="replace")
