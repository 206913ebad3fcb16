"""With which key and by whose authority does the broker speak TLS?

Law: what the settings name is used as it stands; what they leave out comes from the broker's own
authority. A key that others can read is no key.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox_runtime.server import tls
from sandbox_runtime.server.issuing import authority, book
from sandbox_runtime.server.issuing.authority import Authority
from sandbox_runtime.server.issuing.mapped import Mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.records import Micros
    from sandbox_runtime.server.identity import Guests
    from sandbox_runtime.server.settings import Tls

OWN: Final = timedelta(days=397)
"""How long the broker's own certificate is good; each start makes another."""


class TlsRefused(Exception):  # noqa: N818 - told to the operator as it is
    """TLS cannot be spoken with what the settings name."""


def rules(chosen: Tls, state: Path, private: Path) -> ssl.SSLContext:
    """Return the rules of every handshake. Raises `TlsRefused` and `IdentitiesUnusable`."""
    certificate, key = _own(chosen, state, private)
    clients = chosen.clients
    trusted = Path(clients.ca) if clients is not None else _authority(state)
    try:
        return tls.context(
            certificate=certificate, key=key, authority=trusted, everyone=not chosen.tokens
        )
    except OSError as error:  # an `SSLError` is one, too
        named = f"`{certificate}`, `{key}` and `{trusted}`"
        raise TlsRefused(f"{named} are no certificate, its key and an authority") from error


def guests(chosen: Tls, issued: Guests, now: Callable[[], Micros]) -> Guests:
    """Return who is known: by what was issued, or by the operator's own certificates."""
    if chosen.clients is None:
        return issued
    by_uri = {one.uri: one.caller() for one in chosen.clients.identities}
    return Mapped(issued=issued, by_uri=by_uri, now=now)


def bound(address: str, port: int) -> socket.socket:
    """Return a socket that listens there and does not block. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _authority(state: Path) -> Path:
    directory = book.place(state)
    Authority.of(directory)
    return authority.certificate_file(directory)


def _own(chosen: Tls, state: Path, private: Path) -> tuple[Path, Path]:
    if chosen.certificate is not None and chosen.key is not None:
        _expect_private(Path(chosen.key))
        return Path(chosen.certificate), Path(chosen.key)
    names = chosen.names or (chosen.address,)
    signer = Authority.of(book.place(state))
    pair = signer.broker(names, datetime.now(UTC) + OWN)
    certificate, key = private / "broker.pem", private / "broker.key"
    book.put(certificate, pair.certificate)
    book.put(key, pair.key)
    return certificate, key


def _expect_private(key: Path) -> None:
    status = key.stat()
    if status.st_uid not in {0, os.geteuid()} or stat.S_IMODE(status.st_mode) & 0o077:
        raise TlsRefused(f"others may read `{key}`: chmod 600 it, and renew what it certifies")
