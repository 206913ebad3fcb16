"""Which characters of a text does a person see?

Law: what a model reads, a person could have read. A character that shows nothing, or that
changes how others show, goes out, unless it stands where a script or an emoji needs it.
What is left is not composed or folded (no NFC, no NFKC): that would change file names,
hashes and program text, and would hide nothing more.
"""

from __future__ import annotations

import re
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        # ECMA-48: CSI, then the strings OSC, DCS, SOS, PM, APC, then two-byte sequences.
        "escape": (
            r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
            r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
            r"|\x1b[ -/]+[0-~]|\x1b[0-OQ-WYZ\\`-~]"
        ),
        "line_end": r"\r\n?",
        "control": r"[\x00-\x08\x0b-\x1f\x7f-\x9f]",
        "bidi": r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]",
        "tag": r"[\U000e0000-\U000e007f]",
        "variation": r"[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]",
        "joiner": r"[\u200c\u200d]",
        # The rest of Default_Ignorable_Code_Point (Unicode 15.1, DerivedCoreProperties),
        # and the anchors of interlinear annotations.
        "invisible": (
            r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f"
            r"\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
            r"\U000e0080-\U000e00ff\U000e01f0-\U000e0fff]"
        ),
        "surrogate": r"[\ud800-\udfff]",
        "noncharacter": (
            r"[\ufdd0-\ufdef\ufffe\uffff"
            + "".join(f"{chr(end - 1)}{chr(end)}" for end in range(0x1FFFF, 0x110000, 0x10000))
            + "]"
        ),
    }
)

_SUSPECT = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _CLASSES.items()))

_PICTOGRAPH = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_EMOJI = re.compile(f"[{_PICTOGRAPH}]")
_PRESENTABLE = re.compile(f"[{_PICTOGRAPH}0-9#*]")
"""What may be shown as text or as an emoji: pictographs and the bases of keycaps."""
_JOINING_LETTER = re.compile(
    "[\u0620-\u06ff\u0710-\u074f\u0750-\u077f\u07ca-\u07f5\u0840-\u086a\u0870-\u08ff"
    "\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1807\u1820-\u18aa\ua840-\ua8ff]"
)
"""Letters and marks of scripts that are spelled with joiners (RFC 5892, appendix A)."""
_ZWJ, _EMOJI_STYLE = "\u200d", "\ufe0f"


def cleaned(text: str) -> tuple[str, Counter[str]]:
    """Return `text` without what cannot be seen, and how much of each class went out."""
    out: list[str] = []
    counts: Counter[str] = Counter()
    if text.isascii() and text.isprintable():
        return text, counts
    end = 0
    for match in _SUSPECT.finditer(text):
        _append(out, text[end : match.start()])
        end = match.end()
        kind = match.lastgroup or ""
        kept = _kept(kind, match.group(), _last(out), text[end : end + 1])
        _append(out, kept)
        if kept != match.group():
            counts[kind] += 1
    return "".join(out) + text[end:], counts


def _append(out: list[str], part: str) -> None:
    """No part is empty, so that `_last` looks at two at most."""
    if part:
        out.append(part)


def _last(out: list[str]) -> str:
    """Return up to two characters that stand before, of what is kept."""
    return "".join(out[-2:])[-2:]


def _kept(kind: str, found: str, before: str, after: str) -> str:
    if kind == "line_end":
        return "\n"
    if kind == "variation" and found in "\ufe0e\ufe0f" and _PRESENTABLE.match(before[-1:]):
        return found
    if kind == "joiner" and (_spells(before, after) or (found == _ZWJ and _binds(before, after))):
        return found
    return ""


def _spells(before: str, after: str) -> bool:
    """Whether a joiner stands between two letters of a script that uses joiners."""
    return bool(_JOINING_LETTER.match(before[-1:]) and _JOINING_LETTER.match(after))


def _binds(before: str, after: str) -> bool:
    """Whether a joiner makes one emoji of two (Unicode Technical Standard 51, ED-16)."""
    first = before[:1] if before[-1:] == _EMOJI_STYLE else before[-1:]
    return bool(_EMOJI.match(first) and _EMOJI.match(after))
