"""Is a text a date, an address, a host name, and in which one form?

Law: ASCII alone, the whole text, and one spelling for each meaning: what comes in another
form is brought to it where that cannot change what is meant, and refused otherwise. So two
readers cannot take one value for two things.

Sources: RFC 3339 (date, date-time), RFC 9562 (uuid), RFC 1123 section 2.1 (hostname),
RFC 5321 sections 4.1.2 and 4.5.3.1 without quoted names and address literals (email),
RFC 3986 for `http` and `https` without user information (uri); the URL standard's "ends in a
number" (hosts that some readers take for an IPv4 address).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Literal

Format = Literal["date", "date-time", "email", "hostname", "uri", "uuid"]

_LONGEST_HOST, _LONGEST_MAILBOX, _LONGEST_EMAIL, _LONGEST_URI = 253, 64, 254, 2000
_HIGHEST_PORT = 65535

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"(?P<second>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?P<fraction>\.[0-9]{1,6})?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_URI = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?)"
    r"(?P<rest>(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?(?:\#[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
_AUTHORITY = re.compile(r"(?i:https?)://[^/?#]*")
_ESCAPE = re.compile(r"%(?P<code>[0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_STEP = re.compile(r"/|%2F|%5C")
"""What parts a path's steps, to some reader of it."""
_DELETE = "\x7f"
_PORTS: Mapping[str, int] = MappingProxyType({"http": 80, "https": 443})


class NotOfFormat(ValueError):  # noqa: N818 - a finding about a text, not a fault
    """A text is not of a format; the message says what was expected."""


def canonical(format_: Format, text: str) -> str:
    """Return the one form of a text of this format, or raise `NotOfFormat`."""
    if not text.isascii():
        raise NotOfFormat(f"{_EXPECTED[format_]}, in ASCII")
    try:
        return _FORMS[format_](text)
    except ValueError as error:
        raise NotOfFormat(_EXPECTED[format_]) from error


def _date(text: str) -> str:
    _expect(_DATE.fullmatch(text))
    date.fromisoformat(text)
    return text


def _date_time(text: str) -> str:
    found = _DATE_TIME.fullmatch(text)
    if found is None or found["offset"] == "-00:00":  # which is an offset that nobody knows
        raise ValueError
    datetime.fromisoformat(text)
    fraction = (found["fraction"] or "").rstrip("0").rstrip(".")
    offset = "Z" if found["offset"] == "+00:00" else found["offset"]
    return f"{found['second']}{fraction}{offset}"


def _uuid(text: str) -> str:
    _expect(_UUID.fullmatch(lower := text.lower()))
    return lower


def _hostname(text: str) -> str:
    lower = text.lower()
    labels = lower.split(".")
    _expect(len(lower) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, labels)))
    _expect(_NUMBER.fullmatch(labels[-1]) is None)
    return lower


def _email(text: str) -> str:
    mailbox, at, host = text.rpartition("@")
    _expect(at and len(mailbox) <= _LONGEST_MAILBOX and len(text) <= _LONGEST_EMAIL)
    _expect(all(map(_ATOM.fullmatch, mailbox.split("."))) and "." in host)
    return f"{mailbox}@{_hostname(host)}"


def _uri(text: str) -> str:
    found = _URI.fullmatch(_AUTHORITY.sub(lambda authority: authority[0].lower(), text, count=1))
    if found is None or len(text) > _LONGEST_URI:
        raise ValueError
    path, rest = _escaped(found["path"]) or "/", _escaped(found["rest"])
    _expect(not {".", ".."} & set(_STEP.split(path)))
    return f"{found['scheme']}://{_host(found['host'])}{_port(found)}{path}{rest}"


def _host(text: str) -> str:
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1])}]"
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return _hostname(text)


def _port(found: re.Match[str]) -> str:
    if found["port"] is None or int(found["port"]) == _PORTS[found["scheme"]]:
        return ""
    _expect(int(found["port"]) <= _HIGHEST_PORT)
    return f":{int(found['port'])}"


def _escaped(text: str) -> str:
    """Return a text in which nothing is escaped that need not be (RFC 3986, 6.2.2).

    Escapes of nothing are refused, and of control characters: decoded, they split lines.
    """
    return _ESCAPE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    _expect(found["code"])
    character = chr(int(found["code"], 16))
    _expect(character >= " " and character != _DELETE)
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()


def _expect(holds: object) -> None:
    if not holds:
        raise ValueError


_FORMS: Mapping[Format, Callable[[str], str]] = MappingProxyType(
    {
        "date": _date,
        "date-time": _date_time,
        "email": _email,
        "hostname": _hostname,
        "uri": _uri,
        "uuid": _uuid,
    }
)
_EXPECTED: Mapping[Format, str] = MappingProxyType(
    {
        "date": "a date like `2026-11-21`",
        "date-time": "a time with its offset like `2026-11-21T05:30:00Z`",
        "email": "an address like `ada@example.com`",
        "hostname": "a host name like `reports.example.com`",
        "uri": "an `https` or `http` address like `https://example.com/a`, without a user",
        "uuid": "a UUID like `0192f0c1-7b3e-7c11-9d5e-2f6a1c3b4d5e`",
    }
)
