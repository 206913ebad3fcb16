"""May this HTML go to a browser, and as what?

Law: the text that leaves is printed from the cleaned tree. The text that came in never
travels further.

    1. scan      size; characters that no HTML can hold go out
    2. parse     as a browser does, elements, depth and attributes counted on the way
    3. weed      what is not on a list goes, links and images but to granted hosts go
    4. bleach    looks again, with the same lists, and prints
    5. confirm   what was printed, cleaned again, is the same; tag by tag it holds only
                 what is allowed

What goes is told in `changes`, and is no reason to refuse: a page without its tracking image
is still that page. A text of which nothing is left to read is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.destinations.html.characters import writable
from sandbox_runtime.destinations.html.cleaning import cleaned, size_of
from sandbox_runtime.destinations.html.narrowing import narrow
from sandbox_runtime.destinations.html.page import taken_apart, whole
from sandbox_runtime.destinations.html.parsing import too_complex
from sandbox_runtime.destinations.html.settings import HtmlSettings

if TYPE_CHECKING:
    from sandbox_runtime.destinations.html.weeding import Weeding
    from sandbox_runtime.strict import Json, Strict

MAX_SIGNS: Final = 20_000
"""Signs `<` and `&` in one text: each costs, whether or not it begins something."""

_MARKUP = re.compile(r"<[^>]*>|\s")


class Html:
    """The destination `html`: a fragment of HTML for a browser."""

    kind: ClassVar[str] = "html"
    settings: ClassVar[type[Strict]] = HtmlSettings

    def narrow(self, tool: HtmlSettings, grant: HtmlSettings) -> HtmlSettings:
        """Return what tool and grant both allow, or raise `Widens`."""
        return narrow(tool, grant)

    def normalise(self, value: Json, settings: HtmlSettings) -> Json:
        """Return the cleaned text."""
        return self.check(value, settings).value

    def confine(self, normal: Json, settings: HtmlSettings) -> Accepted:
        """Return `normal` with what is true of it: HTML has nothing to put in."""
        return self.check(normal, settings)

    def check(self, value: Json, settings: HtmlSettings) -> Accepted:
        """Return the cleaned text, what it links to and loads, and what was taken out."""
        text = _scanned(value, settings)
        page = taken_apart(text) if settings.page else None
        source = page.body if page else text
        body, first, last = cleaned(source, settings)
        written = whole(replace(page, body=body)) if page else body
        size = size_of(written, settings)
        if _shows_nothing(body, last) and source.strip():
            raise Objection(
                "html.nothing_left",
                "nothing of the text may stay",
                hint=_described(settings),
            )
        return Accepted(
            value=written,
            facts={"bytes": size, **last.facts},
            changes=_changes(str(value), written, first),
        )

    def describe(self, settings: HtmlSettings) -> dict[str, Json]:
        """Return the elements, the hosts and the size."""
        return {"description": _described(settings)}


def _scanned(value: Json, settings: HtmlSettings) -> str:
    """Step 1."""
    if not isinstance(value, str):
        raise Objection("html.not_text", "HTML is a text")
    size_of(value, settings)
    if value.count("<") + value.count("&") > MAX_SIGNS:
        raise too_complex(f"the text has more than {MAX_SIGNS} signs `<` and `&`")
    return writable(value)


def _shows_nothing(written: str, weeding: Weeding) -> bool:
    return not weeding.counts["images"] and not _MARKUP.sub("", written)


def _changes(value: str, written: str, weeding: Weeding) -> tuple[str, ...]:
    removed = tuple(f"took out {what}: {n}" for what, n in sorted(weeding.removed.items()))
    if removed or value == written:
        return removed
    return ("written in its canonical form; nothing was taken out",)


def _described(settings: HtmlSettings) -> str:
    what = "A whole page, with a <title>, of" if settings.page else "HTML of"
    elements = f"{what} {', '.join(sorted(settings.allowed))}."
    links = _places("Links", settings.linkable.plain_schemes, settings.linkable.hosts)
    images = _places("Images", settings.loadable.plain_schemes, settings.loadable.hosts)
    data = " Pictures may stand in the text, in base64." if settings.loadable.data else ""
    return f"{elements} {links} {images}{data} At most {settings.cap} bytes."


def _places(what: str, schemes: tuple[str, ...], hosts: tuple[str, ...]) -> str:
    if not hosts:
        return f"No {what.lower()}."
    return f"{what} only over {' or '.join(schemes)}, to {', '.join(hosts)}."
