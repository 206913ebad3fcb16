"""Where does a URL lead, as a browser understands it?

Law: a URL is read by a grammar much narrower than a browser's, and printed anew from what
was read. What the grammar does not know leads nowhere; so no disguise has to be known.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sandbox_runtime.destinations.html.hosts import Host, host_of

if TYPE_CHECKING:
    from sandbox_runtime.destinations.html.settings import Images, Links

MAX_URL: Final = 2048

_ABSOLUTE = re.compile(
    r"(https?)://([^/?#]+)((?:/[^?#]*)?(?:\?[^#]*)?(?:#.*)?)", re.IGNORECASE | re.ASCII
)
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000]")
"""White space, controls and direction: browsers drop or change some of them. A backslash
is a slash to some readers."""
_KEPT = "!$&'()*+,-./:;=?@_~%#[]"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})")


class LeadsAstray(Exception):  # noqa: N818 - what is found of a URL
    """A URL may not stand. `problem` is a noun phrase: "an address that …"."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def linked(value: str, granted: Links | Images) -> tuple[str, Host]:
    """Return the canonical form of a URL and its host, if it leads where `granted` says."""
    scheme, host, rest = _read(value)
    if scheme not in granted.plain_schemes:
        raise LeadsAstray(f"other than {' and '.join(granted.plain_schemes)}")
    if not any(rule.holds(host) for rule in granted.rules):
        raise LeadsAstray("to a host that is not granted")
    return f"{scheme}://{host}{rest}", host


def picture(value: str) -> str:
    """Return a `data:` URL if it holds a picture of a type without scripts, in base64."""
    found = _PICTURE.fullmatch(value)
    if found is None:
        raise LeadsAstray("with data other than a picture in base64")
    try:
        base64.b64decode(found[1], validate=True)
    except binascii.Error as error:
        raise LeadsAstray("with data other than a picture in base64") from error
    return value


def _read(value: str) -> tuple[str, Host, str]:
    """Return scheme, host and the rest, which begins with `/`."""
    stripped = value.strip(" \t\n")
    found = _ABSOLUTE.fullmatch(stripped) if len(stripped) <= MAX_URL else None
    if found is None or _UNSAFE.search(stripped):
        raise LeadsAstray("without a plain and whole address")
    scheme = found[1].lower()
    host = host_of(found[2], scheme)
    if host is None:
        raise LeadsAstray("without a plain and whole address")
    rest = found[3] if found[3].startswith("/") else f"/{found[3]}"
    return scheme, host, _encoded(rest)


def _encoded(rest: str) -> str:
    """Write everything that is no plain URL character as `%XX`, once."""
    return quote(_STRAY_PERCENT.sub("%25", rest), safe=_KEPT, errors="replace")
