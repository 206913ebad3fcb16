"""Of which type is a file?

Law: its bytes say, and its name must agree. A reader may go by either, and none shall be misled.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MediaType = Literal[
    "text/plain",
    "text/csv",
    "text/html",
    "application/json",
    "image/png",
    "image/jpeg",
    "application/pdf",
    "application/vnd.apache.parquet",
    "application/x-npy",
]
"""What a file that leaves can be."""

MEDIA_TYPES: Final[tuple[MediaType, ...]] = get_args(MediaType)

SUFFIXES: Mapping[str, MediaType] = MappingProxyType(
    {
        "txt": "text/plain",
        "log": "text/plain",
        "md": "text/plain",
        "csv": "text/csv",
        "html": "text/html",
        "htm": "text/html",
        "json": "application/json",
        "png": "image/png",
        "jpg": "image/jpeg",
        "jpeg": "image/jpeg",
        "pdf": "application/pdf",
        "parquet": "application/vnd.apache.parquet",
        "npy": "application/x-npy",
    }
)

TEXTS: Final[frozenset[str]] = frozenset(
    {"text/plain", "text/csv", "text/html", "application/json"}
)
"""Types without a signature: nothing in their first bytes tells them apart."""

TEXT, UNKNOWN = "text", "unknown bytes"

_SIGNATURES: Mapping[bytes, str] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"%PDF-": "application/pdf",
        b"PAR1": "application/vnd.apache.parquet",
        b"\x93NUMPY": "application/x-npy",
        # Named only, so that a refusal can say what was found.
        b"PK\x03\x04": "application/zip",
        b"\x1f\x8b": "application/gzip",
        b"GIF8": "image/gif",
        b"\x7fELF": "application/x-elf",
        b"SQLite format 3\x00": "application/vnd.sqlite3",
        b"\x80\x04": "application/x-python-pickle",
        b"\x80\x05": "application/x-python-pickle",
        b"#!": "text/x-script",
    }
)

_MARKUP: Final = re.compile(
    rb"[\t\n\x0c\r ]*+(?:\xef\xbb\xbf)?+[\t\n\x0c\r ]*+<"
    rb"(?:!doctype html|!--|html|head|script|iframe|body|title"
    rb"|style|h1|div|font|table|a|br|p|b|svg|\?xml|img|math|meta|link|object)"
    rb"(?:[\t\n\x0c\r />]|$)",
    re.IGNORECASE,
)
"""What a browser takes for a document of markup (WHATWG MIME Sniffing, section 7.1), and more."""


def named(path: str) -> MediaType | None:
    """Return the type that a file's name claims."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return SUFFIXES.get(suffix.lower()) if stem and dot else None


def implied(globs: Iterable[str]) -> tuple[MediaType, ...]:
    """Return the types of all that these patterns of names can be for, in their order."""
    found = (named(glob) for glob in globs)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def found(content: bytes) -> str:
    """Return the type that the bytes show: a media type, `TEXT` or `UNKNOWN`."""
    for signature, media_type in _SIGNATURES.items():
        if content.startswith(signature):
            return media_type
    if b"\x00" in content or not _is_utf8(content):
        return UNKNOWN
    return "text/html" if _MARKUP.match(content) else TEXT


def agree(claimed: MediaType, shown: str) -> bool:
    """Whether a name may claim a type of bytes that show this."""
    return claimed == shown or (shown == TEXT and claimed in TEXTS)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
