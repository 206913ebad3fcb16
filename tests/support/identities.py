"""Identities that a test issues, and requests over TLS as it chooses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.issuing import book
from sandbox_runtime.server.issuing.giving import Given, Wanted, give_certificate, give_token
from sandbox_runtime.server.settings import Dev, Listen, Tls
from tests.support.serving import SUBJECT
from tests.support.wire_calls import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from sandbox_runtime.manifests.constraint import Scalar
    from tests.support.wire_calls import Metadata

BOTH = (Role.OPENER, Role.AGENT)


def listen(directory: Path, **tls: object) -> Listen:
    """Return where a broker listens that has a port with TLS."""
    chosen = Tls.model_validate({"address": "127.0.0.1", "port": 0, **tls})
    dev = Dev(port=0, subject=SUBJECT)
    return Listen(socket=str(directory / "run/b.sock"), dev=dev, tls=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody who holds what was issued."""

    given: Given
    files: Path

    @property
    def id(self) -> str:
        """Of the identity."""
        return self.given.identity.id

    @property
    def token(self) -> str:
        """The bearer token."""
        assert self.given.token is not None
        return self.given.token

    @property
    def bearer(self) -> Metadata:
        """The bearer token, as it is sent."""
        return (("authorization", f"Bearer {self.token}"),)

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.files / "ca.pem"

    def client(self, address: str, **also: str) -> AsyncBroker:
        """Return a client that shows it."""
        if self.given.token is not None:
            return AsyncBroker.connect(address, ca=self.ca, token=self.token, **also)
        return AsyncBroker.connect(
            address,
            ca=self.ca,
            certificate=self.files / "certificate.pem",
            key=self.files / "key.pem",
            **also,
        )

    def channel(self, address: str, *, certified: bool = True) -> grpc.aio.Channel:
        """Return a channel; with the certificate, if it is one."""
        pair = self.given.pair if certified else None
        own = (pair.key, pair.certificate) if pair is not None else None
        return channel(address, self.given.authority, own)


def channel(address: str, ca: bytes, own: tuple[bytes, bytes] | None = None) -> grpc.aio.Channel:
    """Return a channel with TLS; `own` is a key and its certificate."""
    key, certificate = own or (None, None)
    # A pool of its own: channels that look alike share connections.
    options = (("grpc.use_local_subchannel_pool", 1),)
    return grpc.aio.secure_channel(
        address, grpc.ssl_channel_credentials(ca, key, certificate), options
    )


async def ask(
    through: grpc.aio.Channel, method: str, request: Message, metadata: Metadata = ()
) -> grpc.aio.AioRpcError | bytes:
    """Send one unary request; return its answer's bytes, or the error."""
    name = method if method.startswith("/") else SERVICE + method
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = through.unary_unary(name)
    try:
        return bytes(await call(request.SerializeToString(), metadata=metadata, timeout=5))
    except grpc.aio.AioRpcError as error:
        return error


def issue(
    state: Path,
    kind: str = "certificate",
    *,
    subject: str = SUBJECT,
    roles: tuple[Role, ...] = BOTH,
    claims: Mapping[str, Scalar] | None = None,
    lifetime: timedelta = timedelta(hours=1),
    now: datetime | None = None,
) -> Holder:
    """Issue an identity of the broker with this state, as the command line does."""
    state.mkdir(mode=0o700, exist_ok=True)
    directory = book.place(state)
    give = give_token if kind == "token" else give_certificate
    wanted = Wanted(subject=subject, roles=roles, claims=claims or {}, lifetime=lifetime)
    given = give(directory, wanted, now=now or datetime.now(UTC))
    files = directory.parent.parent / f"of-{given.identity.id}"
    files.mkdir()
    (files / "ca.pem").write_bytes(given.authority)
    if given.pair is not None:
        (files / "certificate.pem").write_bytes(given.pair.certificate)
        (files / "key.pem").write_bytes(given.pair.key)
    return Holder(given=given, files=files)
