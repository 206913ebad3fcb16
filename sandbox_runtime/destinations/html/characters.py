"""Which characters does a text stand for, references decoded?

Law: what is decoded here is what a browser decodes (WHATWG HTML, 13.2.5.72), and what comes
out is only what can be written down: no control characters, no halves of characters.
"""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import Final

_LINE_END = re.compile(r"\r\n?")
_UNWRITABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(end - 1)}{chr(end)}" for end in range(0xFFFF, 0x110000, 0x10000))
    + "]"
)
_NUMERIC = re.compile(r"&#(?:[0-9]+|[xX][0-9a-fA-F]+);?")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]*)(;|(?![A-Za-z0-9=]))")
_LONGEST_NUMBER: Final = 16
"""No character's number takes more, with some zeros before it."""


def writable(text: str) -> str:
    """Return `text` without what no HTML can hold, its lines ended by LF."""
    return _UNWRITABLE.sub("", _LINE_END.sub("\n", text))


def decoded_text(raw: str) -> str:
    """Return what character references in a text mean."""
    return writable(html.unescape(_NUMERIC.sub(_short, raw))) if "&" in raw else writable(raw)


def decoded_attribute(raw: str) -> str:
    """Return what they mean in an attribute: there `&copy=1` is no reference."""
    if "&" not in raw:
        return writable(raw)
    # One pass: what a reference leaves behind is never read as another's beginning.
    return writable(_REFERENCE.sub(_meaning, raw))


_REFERENCE = re.compile(f"{_NUMERIC.pattern}|{_NAMED.pattern}")


def _short(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) <= _LONGEST_NUMBER else "\ufffd"


def _meaning(found: re.Match[str]) -> str:
    if found[1] is None:
        return html.unescape(_short(found))
    return html5.get(f"{found[1]}{found[2]}", found[0])


def escaped(text: str) -> str:
    """Write `text` such that it stands for itself between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quotable(value: str) -> str:
    """Write `value` such that it stands for itself between double quotes."""
    return escaped(value).replace('"', "&quot;")
