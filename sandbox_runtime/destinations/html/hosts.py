"""Which host does a name mean, and which hosts does an entry of a manifest stand for?

Law: hosts are compared as they stand in a certificate: lower case, ASCII, without a dot at
the end. A name that two readers could take for two hosts means none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# By name: a codec is imported at its first use, and in a worker it is too late then.
from encodings import idna, punycode  # noqa: F401
from functools import lru_cache
from typing import Final

MAX_HOST: Final = 253
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
"""Browsers read a name whose last label is a number as an address (WHATWG URL, 3.5)."""
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1?[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_AMBIGUOUS = re.compile(r"[\u00df\u1e9e\u03c2\u200c\u200d]")
"""IDNA 2003 and 2008 make different hosts of these (Unicode Technical Standard 46, 7)."""
_DOTS = re.compile(r"[.\u3002\uff0e\uff61]")
_AUTHORITY = re.compile(r"([^:]*)(?::([0-9]{1,5}))?")
_ENTRY = re.compile(r"(\*\.)?([^:*]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Host:
    """A host in its canonical spelling, and the port; None stands for the scheme's own."""

    name: str
    port: int | None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostRule:
    """What one entry stands for: a host, or with `below` every host below a name."""

    name: str
    below: bool
    port: int | None

    def holds(self, host: Host) -> bool:
        """Whether the entry stands for this host and port."""
        is_named = host.name.endswith(f".{self.name}") if self.below else host.name == self.name
        return is_named and host.port == self.port

    def covers(self, other: HostRule) -> bool:
        """Whether every host that `other` stands for is one of this rule's."""
        if not other.below:
            return self.holds(Host(other.name, other.port))
        inside = f".{other.name}".endswith(f".{self.name}")
        return self.below and inside and other.port == self.port


def host_of(authority: str, scheme: str) -> Host | None:
    """Return the host that a URL's authority names; None where it does not plainly name one.

    User names, `%`, IPv6 and addresses in any but the usual spelling name none.
    """
    parts = _AUTHORITY.fullmatch(authority)
    name = parts and canonical_name(parts[1])
    if not parts or not name:
        return None
    port = int(parts[2]) if parts[2] else None
    if port is not None and not 0 < port < 1 << 16:
        return None
    return Host(name, None if port == DEFAULT_PORTS[scheme] else port)


@lru_cache(maxsize=1024)
def rule_of(entry: str) -> HostRule:
    """Return what an entry (`example.com`, `*.example.com`, `example.com:8443`) stands for.

    A `ValueError` if it stands for nothing.
    """
    parts = _ENTRY.fullmatch(entry)
    name = parts and canonical_name(parts[2])
    if not parts or not name or (parts[1] and _NUMBER.fullmatch(name)):
        msg = f"`{entry}` is no host; write `example.com`, `*.example.com` or `example.com:8443`"
        raise ValueError(msg)
    return HostRule(name, bool(parts[1]), int(parts[3]) if parts[3] else None)


def canonical_name(name: str) -> str | None:
    """Return the one spelling of a host's name, or None."""
    if not name or len(name) > MAX_HOST or _AMBIGUOUS.search(name):
        return None
    try:
        labels = [idna.ToASCII(label).decode() for label in _DOTS.split(name)]
    except UnicodeError:
        return None
    ascii_name = ".".join(labels).lower()
    if len(ascii_name) > MAX_HOST or not _NAME.fullmatch(ascii_name):
        return None
    is_number = _NUMBER.fullmatch(ascii_name) is not None
    return None if is_number and not _ADDRESS.fullmatch(ascii_name) else ascii_name
