"""What is left of a text of HTML, written in its one canonical form?

Law: bleach looks at every element and attribute after we did, with the same lists, and writes
them down. What it writes is cleaned again until that changes nothing, and is then read by a
grammar that knows no tree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bleach.sanitizer import Cleaner

from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.html.elements import ELEMENTS
from sandbox_runtime.destinations.html.parsing import BoundedParser
from sandbox_runtime.destinations.html.weeding import Weeding

if TYPE_CHECKING:
    from sandbox_runtime.destinations.html.settings import HtmlSettings

# html5lib imports parts of itself when a cleaner is made; in a worker it is too late then.
Cleaner()

MAX_ROUNDS: Final = 5
"""Taking an element out can change what a browser makes of its neighbours, once or twice."""

_REFERENCE = r"&(?:amp|lt|gt|quot);"
_VALUE = rf"(?:[^\"<>&]|{_REFERENCE})*+"
_NAMES = "|".join(sorted(ELEMENTS, key=len, reverse=True))
_TAG = rf"</(?:{_NAMES})>|<(?P<name>{_NAMES})(?P<attributes>(?: [a-z]+=\"{_VALUE}\")*+)>"
_PART = re.compile(rf"{_TAG}|[^<>&]++|{_REFERENCE}")
_ATTRIBUTE = re.compile(rf" ([a-z]+)=\"({_VALUE})\"")


def cleaned(text: str, settings: HtmlSettings) -> tuple[str, Weeding, Weeding]:
    """Return the canonical text, what the first look at `text` took out, and the last look."""
    written, first = _once(text, settings)
    for _ in range(MAX_ROUNDS):
        size_of(written, settings)
        again, last = _once(written, settings)
        if again == written:
            _confirm(written, last, settings)
            return written, first, last
        written = again
    raise Objection(
        "html.not_canonical",
        "the text changes each time it is read",
        hint="close every element in the order in which they were opened",
    )


def size_of(text: str, settings: HtmlSettings) -> int:
    """Return the bytes of a text; object if they are too many."""
    size = len(text) if len(text) > settings.cap else len(text.encode("utf-8", "surrogatepass"))
    if size > settings.cap:
        raise Objection(
            "html.too_long",
            f"the text is longer than {settings.cap} bytes, as it came or as it is written",
            hint="send less at once",
        )
    return size


def _once(text: str, settings: HtmlSettings) -> tuple[str, Weeding]:
    weeding = Weeding(settings)
    return str(_cleaner(settings, weeding).clean(text)), weeding


def _cleaner(settings: HtmlSettings, weeding: Weeding) -> Any:  # noqa: ANN401 - bleach has no types
    cleaner = Cleaner(
        tags=settings.allowed,
        attributes=weeding.allows,
        protocols={*settings.linkable.plain_schemes, *settings.loadable.plain_schemes, "data"},
        strip=True,
        strip_comments=True,
    )
    cleaner.parser = BoundedParser()
    walk = cleaner.walker
    cleaner.walker = lambda tree: weeding.weeded(walk(tree))
    # One way to write each attribute: always a value, always between the same quotes.
    cleaner.serializer.use_best_quote_char = False
    cleaner.serializer.minimize_boolean_attributes = False
    return cleaner


def _confirm(written: str, weeding: Weeding, settings: HtmlSettings) -> None:
    """Object unless the text, tag by tag, holds only what is allowed."""
    end = 0
    for part in _PART.finditer(written):
        if part.start() != end or not _is_allowed(part, weeding, settings):
            break
        end = part.end()
    if end != len(written):
        raise Objection("html.unconfirmed", "what was cleaned reads differently afterwards")


def _is_allowed(part: re.Match[str], weeding: Weeding, settings: HtmlSettings) -> bool:
    name = part["name"]
    if name is None:
        return True
    attributes = _ATTRIBUTE.findall(part["attributes"])
    return name in settings.allowed and all(weeding.allows(name, *each) for each in attributes)
