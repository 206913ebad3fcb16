"""What is a whole page made of?

Law: one shell, ours, around a cleaned body. Of the page that came, only its title and its
language are taken over, as texts. The policy in the shell lets a browser run nothing, load
nothing but the images that the body shows, and send nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from sandbox_runtime.destinations.html.characters import decoded_text, escaped

MAX_TITLE: Final = 200
UNTITLED: Final = "Untitled"

STYLE: Final = (
    "body{max-width:60em;margin:2em auto;padding:0 1em;font:16px/1.5 sans-serif}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2em .6em}"
    "img{max-width:100%}pre{overflow:auto}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_TITLE = re.compile(r"<title(?:\s[^<>]*)?>([^<]*)</title\s*>", re.IGNORECASE | re.ASCII)
_LANGUAGE = re.compile(
    r"<html(?:\s[^<>]*)?\slang=[\"']?([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,3})[\"'\s>]",
    re.IGNORECASE | re.ASCII,
)
_SHELL = re.compile(
    r"<!DOCTYPE html>\n<html(?: lang=\"(?P<language>[A-Za-z0-9-]+)\")?>\n<head>\n"
    r"(?:<meta [^<>]*>\n)+<title>(?P<title>[^<]*)</title>\n<style>[^<]*</style>\n</head>\n"
    r"<body>\n(?P<body>.*)\n</body>\n</html>\n",
    re.DOTALL,
)
_SOURCE = re.compile(r"<img [^<>]*?\bsrc=\"(https?://[a-z0-9.:_-]+/|data:)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The parts of a page: language (or none) and title as texts, the body as HTML."""

    language: str
    title: str
    body: str


def taken_apart(text: str) -> Page:
    """Return the parts of a page; of a text that is none, all of it is body."""
    if (shell := _SHELL.fullmatch(text)) is not None:
        return Page(
            language=shell["language"] or "",
            title=_plain(shell["title"]),
            body=shell["body"],
        )
    title, language = _TITLE.search(text), _LANGUAGE.search(text)
    return Page(
        language=language[1] if language else "",
        title=_plain(title[1]) if title else UNTITLED,
        body=text[: title.start()] + text[title.end() :] if title else text,
    )


def whole(page: Page) -> str:
    """Return the page around a cleaned body."""
    language = f' lang="{page.language}"' if page.language else ""
    return (
        f"<!DOCTYPE html>\n<html{language}>\n<head>\n"
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(page.body)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{page.body}\n</body>\n</html>\n"
    )


def _policy(body: str) -> str:
    sources = sorted({source.rstrip("/") for source in _SOURCE.findall(body)}) or ["'none'"]
    return (
        f"default-src 'none'; img-src {' '.join(sources)}; style-src 'sha256-{_DIGEST}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _plain(raw: str) -> str:
    """Return a title on one line, and of a length that is one."""
    return " ".join(decoded_text(raw).split())[:MAX_TITLE].rstrip() or UNTITLED
