"""What is a bearer token, and how is it known again?

Law: 256 bits of chance behind an id that anyone may know. Only a keyed digest is kept, and it is
compared in constant time.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from sandbox_runtime.server.issuing.book import IdentitiesUnusable, private, put

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN: Final = re.compile(r"sbt\.(i-[0-9a-f]{16})\.[A-Za-z0-9_-]{43}")
_KEY_BYTES: Final = 32


def make(identity: str) -> str:
    """Return a new token of this identity."""
    return f"sbt.{identity}.{secrets.token_urlsafe(32)}"


def identity(token: str) -> str:
    """Return of which identity a token says it is; nothing where it is none of ours."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found is not None else ""


def digest(key: bytes, token: str) -> str:
    """Return what is kept of a token."""
    return hmac.digest(key, token.encode("utf-8", errors="replace"), "sha256").hex()


def path(directory: Path) -> Path:
    """Return where the key of the digests lies."""
    return directory / "token-key"


def key(directory: Path) -> bytes:
    """Return the key of the digests. Raises `IdentitiesUnusable` and `FileNotFoundError`."""
    found = private(path(directory))
    if len(found) != _KEY_BYTES:
        raise IdentitiesUnusable(f"`{path(directory)}` is no key")
    return found


def key_made(directory: Path) -> bytes:
    """Return the key, made on the first need. The directory is held."""
    try:
        return key(directory)
    except FileNotFoundError:
        put(path(directory), secrets.token_bytes(_KEY_BYTES))
        return key(directory)
