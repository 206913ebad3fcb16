"""What of a tree may stay, and what is told of the rest?

Law: what stays is named in a table, with attributes whose whole value is understood. What
has to go takes with it only what no reader would have read: a link leaves its text, an image
its alternative text, an element that is not allowed what it holds.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from sandbox_runtime.destinations.html.characters import (
    decoded_attribute,
    decoded_text,
    escaped,
    quotable,
)
from sandbox_runtime.destinations.html.elements import (
    ADDRESSES,
    DROPPED,
    ELEMENTS,
    EVERYWHERE,
    told_attribute,
    told_element,
)
from sandbox_runtime.destinations.html.urls import LeadsAstray, linked, picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox_runtime.destinations.html.settings import HtmlSettings
    from sandbox_runtime.strict import Json

Token = dict[str, Any]
"""html5lib's: `type`, and by type `name`, `namespace`, `data`."""

_BLOCKS = frozenset({"center", "dialog", "fieldset", "form", "legend", "menu", "nav", "search"})
"""Elements that begin a line of their own, and leave a line end where they are unwrapped."""


class Fate(Enum):
    """What becomes of an element."""

    KEPT = auto()
    UNWRAPPED = auto()


class Weeding:
    """One walk over one tree: what it let through, and what it took out."""

    def __init__(self, settings: HtmlSettings) -> None:
        self._settings = settings
        self.removed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter(elements=0, links=0, images=0)
        self.hosts: dict[str, set[str]] = {"links": set(), "images": set()}

    @property
    def facts(self) -> dict[str, Json]:
        """What is true of what stays."""
        hosts: dict[str, Json] = {
            f"{of[:-1]}_hosts": [*sorted(names)] for of, names in self.hosts.items()
        }
        return {**self.counts, **hosts}

    def weeded(self, tokens: Iterable[Token]) -> Iterator[Token]:
        """Yield the tokens that stay, each as it may stay, for bleach to look at again."""
        return _without_first_lines(self._weeded(tokens))

    def allows(self, name: str, attribute: str, raw: str) -> bool:
        """Whether an attribute, as it stands in the text that leaves, may stand there."""
        value = decoded_attribute(raw)
        if name not in self._settings.allowed:
            return False
        if ADDRESSES.get(name) != attribute:
            return _says_something(name, attribute, value)
        try:
            return self.judged(name, value) == value
        except LeadsAstray:
            return False

    def _weeded(self, tokens: Iterable[Token]) -> Iterator[Token]:
        fates: list[Fate] = []
        below = 0  # open elements within one that goes with all it holds
        for token in tokens:
            kind = token["type"]
            if below:
                below += {"StartTag": 1, "EndTag": -1}.get(kind, 0)
            elif kind in ("StartTag", "EmptyTag"):
                if self._goes(token):
                    below = kind == "StartTag"
                else:
                    yield from self._begun(token, fates)
            elif kind == "EndTag":
                yield from _ended(token, fates.pop())
            else:
                yield from self._text(token)

    def _goes(self, token: Token) -> bool:
        goes = token["name"] in DROPPED
        if goes:
            self.removed[f"{told_element(token['name'])} and all in it"] += 1
        return goes

    def _begun(self, token: Token, fates: list[Fate]) -> Iterator[Token]:
        kept = self._attributes(token)
        stays = self._stays(token["name"], kept)
        if token["type"] == "StartTag":
            fates.append(Fate.KEPT if stays else Fate.UNWRAPPED)
        if stays:
            self._count(token["name"], kept)
            data = {(None, name): quotable(value) for name, value in kept.items()}
            yield {**token, "data": data}
        elif token["name"] == "img" and (alternative := kept.get("alt", "")):
            yield _characters(alternative)
        elif token["name"] in _BLOCKS:
            yield _characters("\n")

    def _stays(self, name: str, kept: dict[str, str]) -> bool:
        if name not in self._settings.allowed:
            self.removed[f"{told_element(name)}, not what it holds"] += 1
            return False
        return name not in ADDRESSES or ADDRESSES[name] in kept

    def _attributes(self, token: Token) -> dict[str, str]:
        name, kept = token["name"], dict[str, str]()
        if name not in self._settings.allowed:
            return kept
        for (namespace, attribute), raw in token["data"].items():
            value = decoded_attribute(raw)
            if namespace is None and ADDRESSES.get(name) == attribute:
                self._address(name, value, kept)
            elif namespace is None and _says_something(name, attribute, value):
                kept[attribute] = value
            else:
                self.removed[told_attribute(attribute)] += 1
        return kept

    def _address(self, name: str, value: str, kept: dict[str, str]) -> None:
        of = "links" if name == "a" else "images"
        try:
            kept[ADDRESSES[name]] = self.judged(name, value)
        except LeadsAstray as astray:
            left = "their text" if name == "a" else "their alternative text"
            self.removed[f"{of} {astray.problem}, not {left}"] += 1

    def judged(self, name: str, value: str) -> str:
        """Return a URL as an element may have it, or raise `LeadsAstray`."""
        if name == "img" and self._settings.loadable.data and value.startswith("data:"):
            return picture(value)
        granted = self._settings.linkable if name == "a" else self._settings.loadable
        url, host = linked(value, granted)
        self.hosts["links" if name == "a" else "images"].add(str(host))
        return url

    def _count(self, name: str, kept: dict[str, str]) -> None:
        self.counts["elements"] += 1
        if ADDRESSES.get(name) in kept:
            self.counts["links" if name == "a" else "images"] += 1

    def _text(self, token: Token) -> Iterator[Token]:
        match token["type"]:
            case "Characters" | "SpaceCharacters":
                yield _characters(decoded_text(token["data"]))
            case "Comment":
                self.removed["comments"] += 1
            case _:
                return


def _ended(token: Token, fate: Fate) -> Iterator[Token]:
    if fate is Fate.KEPT:
        yield token
    elif token["name"] in _BLOCKS:
        yield _characters("\n")


def _says_something(name: str, attribute: str, value: str) -> bool:
    pattern = ELEMENTS[name].get(attribute) or EVERYWHERE.get(attribute)
    return pattern is not None and pattern.fullmatch(value) is not None


def _characters(text: str) -> Token:
    return {"type": "Characters", "data": escaped(text)}


def _without_first_lines(tokens: Iterable[Token]) -> Iterator[Token]:
    """Leave out line ends at the start of <pre>: a browser skips one, html5lib not in a table."""
    is_first = False
    for token in tokens:
        if token["type"] != "Characters":
            is_first = token["type"] == "StartTag" and token["name"] == "pre"
            yield token
        elif text := token["data"].lstrip("\n") if is_first else token["data"]:
            is_first = False
            yield {**token, "data": text}
