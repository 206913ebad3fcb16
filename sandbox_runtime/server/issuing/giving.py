"""How does somebody become known, and known no more?

Law: the secret is made here, handed out once and kept nowhere. Revoking is for good.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.server.issuing import book, tokens
from sandbox_runtime.server.issuing.authority import Authority, Pair
from sandbox_runtime.server.issuing.book import Book, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox_runtime.manifests.constraint import Scalar
    from sandbox_runtime.records import Micros
    from sandbox_runtime.server.caller import Role

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who is to be known, as what and for how long."""

    subject: str
    roles: Sequence[Role]
    claims: Mapping[str, Scalar] = field(default_factory=dict)
    lifetime: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A new identity, with the secret that proves it."""

    identity: Identity
    authority: bytes
    """Certificate of the broker's own authority, as PEM."""
    token: str | None = field(default=None, repr=False)
    pair: Pair | None = None


def give_token(directory: Path, wanted: Wanted, *, now: datetime) -> Given:
    """Issue a bearer token. Raises `IdentitiesUnusable`."""
    own, name = Authority.of(directory), _new_id()
    token = tokens.make(name)
    with book.held(directory):
        key = tokens.key_made(directory)
    identity = _identity(name, wanted, "token", tokens.digest(key, token), now)
    _enter(directory, identity)
    return Given(identity=identity, authority=own.pem, token=token)


def give_certificate(directory: Path, wanted: Wanted, *, now: datetime) -> Given:
    """Issue a certificate and its key. Raises `IdentitiesUnusable`."""
    own = Authority.of(directory)
    pair = own.caller(wanted.subject, now + wanted.lifetime)
    identity = _identity(_new_id(), wanted, "certificate", pair.fingerprint, now)
    _enter(directory, identity)
    return Given(identity=identity, authority=own.pem, pair=pair)


def revoke(directory: Path, name: str, *, now: datetime) -> Identity:
    """Have an identity count no more; return it. Raises `Refusal` where there is none."""
    found: list[Identity] = []

    def without(before: Book) -> Book:
        after = tuple(_revoked(one, now) if one.id == name else one for one in before.identities)
        found.extend(one for one in after if one.id == name)
        return Book(identities=after)

    book.change(directory, without)
    if not found:
        hint = "`sandbox-broker identity list` names those that there are"
        raise Refusal(f"no identity `{name}` was issued", reason=Reason.REQUEST_INVALID, hint=hint)
    return found[0]


def micros(at: datetime) -> Micros:
    """Return a time as the log counts it."""
    return (at - _EPOCH) // _MICROSECOND


def _new_id() -> str:
    return f"i-{secrets.token_hex(8)}"


def _identity(
    name: str, wanted: Wanted, kind: Literal["token", "certificate"], digest: str, now: datetime
) -> Identity:
    return Identity(
        id=name,
        subject=wanted.subject,
        roles=tuple(dict.fromkeys(wanted.roles)),
        claims=dict(wanted.claims),
        kind=kind,
        digest=digest,
        issued_at=micros(now),
        expires_at=micros(now + wanted.lifetime),
    )


def _enter(directory: Path, identity: Identity) -> None:
    book.change(directory, lambda before: Book(identities=(*before.identities, identity)))


def _revoked(identity: Identity, now: datetime) -> Identity:
    if identity.revoked_at is not None:
        return identity
    return identity.model_copy(update={"revoked_at": micros(now)})
