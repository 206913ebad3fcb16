"""Who is known by a certificate of the operator's own authority?

Law: the settings name each by one URI of its certificate (subject alternative name, RFC 5280,
4.2.1.6), letter by letter. Whom they do not name, or name twice, is nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox_runtime.server.identity import Stranger, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox_runtime.records import Micros
    from sandbox_runtime.server.caller import Caller
    from sandbox_runtime.server.identity import Card, Guests


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """Certificates by their URIs, tokens as issued."""

    issued: Guests
    by_uri: Mapping[str, Caller]
    now: Callable[[], Micros]

    async def refresh(self) -> None:
        """See what changed among the tokens."""
        await self.issued.refresh()

    def recognise(self, card: Card) -> Caller:
        """Return whom the settings name; raise `Unauthenticated`."""
        named = [self.by_uri[uri] for uri in card.uris if uri in self.by_uri]
        if len(named) != 1:
            raise Unauthenticated(Stranger.UNKNOWN_CERTIFICATE)
        if self.now() >= card.until:
            raise Unauthenticated(Stranger.EXPIRED)
        return replace(named[0], certificate=card.fingerprint)

    def by_token(self, shown: str) -> Caller:
        """Return whose token this is; raise `Unauthenticated`."""
        return self.issued.by_token(shown)
