"""Who was issued what, and how long does it still hold?

Law: as in `seeing`; nothing is made by looking.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from sandbox_runtime.cli.doctor import machine
from sandbox_runtime.cli.doctor.facts import Issued
from sandbox_runtime.server.issuing import authority, book, tokens
from sandbox_runtime.server.issuing.book import IdentitiesUnusable
from sandbox_runtime.server.issuing.giving import micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.server.issuing.book import Identity
    from sandbox_runtime.server.settings import Settings, Tls

_SOON = timedelta(days=7)


def seen(settings: Settings) -> Issued:
    """Look at the book, at the keys beside it, and at the certificate that the settings name."""
    directory = book.place(Path(settings.state_dir))
    place, now = machine.place(directory), datetime.now(UTC)
    try:
        identities = book.read(directory).identities
        _expect_private(directory)
        chosen = settings.listen.tls
        broker = tuple(_broker(chosen, now)) if chosen is not None else ()
    except (IdentitiesUnusable, OSError, ValueError) as error:
        return Issued(place=place, trouble=str(error))
    valid = [one for one in identities if one.stands(micros(now)) == "valid"]
    ending = tuple(_told(one) for one in valid if one.expires_at < micros(now + _SOON))
    return Issued(place=place, valid=len(valid), ending=(*ending, *broker))


def _expect_private(directory: Path) -> None:
    for file in (directory / "ca.key", authority.certificate_file(directory)):
        if file.exists():
            book.private(file)
    if (directory / "token-key").exists():
        tokens.key(directory)


def _broker(chosen: Tls, now: datetime) -> Iterator[str]:
    if chosen.certificate is None:
        return
    own = x509.load_pem_x509_certificate(Path(chosen.certificate).read_bytes())
    if own.not_valid_after_utc < now + _SOON:
        yield f"the broker's own certificate ({own.not_valid_after_utc:%Y-%m-%d})"


def _told(identity: Identity) -> str:
    return f"{identity.id} of {identity.subject}"
