"""Which issued identities count now?

Law: recorded before it counts. What is new in the book counts once the log says that it was
issued; what was revoked, or is gone from the book, counts no more from the moment that is seen.
What the log calls revoked never counts again, and what the book says otherwise than it was
recorded does not count, whatever the book says later.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

from sandbox_runtime import records
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.server.caller import Caller
from sandbox_runtime.server.identity import Stranger, Unauthenticated
from sandbox_runtime.server.issuing import book, tokens
from sandbox_runtime.server.issuing.book import IdentitiesUnusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sandbox_runtime.ledger import Ledger
    from sandbox_runtime.records import Record
    from sandbox_runtime.server.identity import Card
    from sandbox_runtime.server.issuing.book import Identity

_log = structlog.get_logger("sandbox_broker.identities")
_KIND: Final = b'"kind":"operator.identity_'
_NOBODY: Final = sha256().hexdigest()
Stamp = tuple[tuple[int, int, int] | None, ...]
"""By which a changed file is known; also one that was closed to others."""
_EVERY: Final = 1.0
_NEVER: Final[Stamp] = ()


def digest(identity: Identity) -> str:
    """Return the digest of what was issued; revoking does not change it."""
    issued = identity.model_dump(mode="json", exclude={"revoked_at"})
    return f"sha256:{sha256(canonical(issued)).hexdigest()}"


@dataclass(slots=True)
class Recorded:
    """What the log says was issued and revoked."""

    issued: dict[str, str] = field(default_factory=dict)
    """Digests, by id."""
    revoked: set[str] = field(default_factory=set)

    def heard(self, stored: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the log on, and remember what it says of identities."""
        for sequence, leaf in stored:
            if _KIND in leaf:
                self.hear(records.parse(leaf))
            yield sequence, leaf

    def hear(self, record: Record) -> None:
        """Remember one record."""
        match record:
            case records.IdentityIssued():
                self.issued.setdefault(record.identity, record.digest)
            case records.IdentityRevoked():
                self.revoked.add(record.identity)
            case _:
                return

    def news(self, named: Mapping[str, Identity], now: records.Micros) -> Iterator[Record]:
        """Yield what the book says and the log does not, yet."""
        for identity in named.values():
            if identity.id not in self.issued:
                yield _issued(identity, now)
            if identity.revoked_at is not None and identity.id not in self.revoked:
                yield records.IdentityRevoked(at=now, identity=identity.id, cause="revoked")
        for gone in self.issued.keys() - named.keys() - self.revoked:
            yield records.IdentityRevoked(at=now, identity=gone, cause="missing")

    def bears_out(self, identity: Identity) -> bool:
        """Whether the log says the same of it, and it was never revoked."""
        stands = identity.revoked_at is None and identity.id not in self.revoked
        return stands and self.issued.get(identity.id) == digest(identity)


class Honoured:
    """The book, as far as the log bears it out."""

    def __init__(self, directory: Path, ledger: Ledger, recorded: Recorded) -> None:
        self._directory, self._ledger, self._recorded = directory, ledger, recorded
        self._known: dict[str, Identity] = {}
        self._revoked: frozenset[str] = frozenset()
        self._by_digest: dict[str, Identity] = {}
        self._key = b""
        self._stamp = _NEVER
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """See what the command line changed meanwhile. Raises nothing."""
        if self._seen() == self._stamp:
            return
        async with self._lock:
            if (stamp := self._seen()) != self._stamp:
                await self._take(stamp)

    async def keep_fresh(self) -> None:
        """Look every second until cancelled: what changed is recorded though nobody asks."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.refresh()

    def by_token(self, shown: str) -> Caller:
        """Return whose token this is; raise `Unauthenticated`."""
        identity = self._known.get(claimed := tokens.identity(shown))
        expected = identity.digest if identity is not None else _NOBODY
        same = hmac.compare_digest(tokens.digest(self._key, shown), expected)
        if identity is None or identity.kind != "token" or not same:
            revoked = claimed in self._revoked
            raise Unauthenticated(Stranger.REVOKED if revoked else Stranger.WRONG_TOKEN)
        return self._caller(identity)

    def recognise(self, card: Card) -> Caller:
        """Return whose certificate this is; raise `Unauthenticated`."""
        identity = self._by_digest.get(card.fingerprint)
        if identity is None or identity.kind != "certificate":
            raise Unauthenticated(Stranger.UNKNOWN_CERTIFICATE)
        return self._caller(identity)

    def _caller(self, identity: Identity) -> Caller:
        if identity.stands(self._ledger.now()) != "valid":
            raise Unauthenticated(Stranger.EXPIRED)
        return Caller(
            subject=identity.subject,
            roles=frozenset(identity.roles),
            claims=MappingProxyType(dict(identity.claims)),
            identity=identity.id,
            certificate=identity.digest if identity.kind == "certificate" else None,
        )

    def _seen(self) -> Stamp:
        return tuple(map(_stamp, (book.path(self._directory), tokens.path(self._directory))))

    async def _take(self, stamp: Stamp) -> None:
        try:
            named, key = self._read()
        except (IdentitiesUnusable, OSError) as error:
            _log.error("identities_unusable", cause=str(error))
            self._stamp = stamp
            self._honour({})
            return
        self._honour({i: one for i, one in self._known.items() if named.get(i) == one})
        try:
            for record in tuple(self._recorded.news(named, self._ledger.now())):
                await self._ledger.note(record)
                self._recorded.hear(record)
        except EvidenceUnavailable:
            return  # what was revoked counts no more; what is new does not count yet
        self._key, self._stamp = key, stamp
        self._honour({i: one for i, one in named.items() if self._recorded.bears_out(one)})

    def _read(self) -> tuple[dict[str, Identity], bytes]:
        found = {one.id: one for one in book.read(self._directory).identities}
        tokened = any(one.kind == "token" for one in found.values())
        return found, tokens.key(self._directory) if tokened else b""

    def _honour(self, known: dict[str, Identity]) -> None:
        self._known = known
        self._by_digest = {one.digest: one for one in known.values()}
        self._revoked = frozenset(self._recorded.revoked)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size


def _issued(identity: Identity, now: records.Micros) -> records.IdentityIssued:
    return records.IdentityIssued(
        at=now,
        identity=identity.id,
        subject=identity.subject,
        roles=tuple(identity.roles),
        claims=dict(identity.claims),
        issued_as=identity.kind,
        expires_at=identity.expires_at,
        digest=digest(identity),
    )
