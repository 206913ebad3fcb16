"""What does a reader who knows nothing of our lists find in a text of HTML?

html5lib reads it as a browser does, character references included; the standard library's
parser, which builds no tree, reads it again. Each element, attribute and address is judged by
what this module says, not by what the product says.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser as Events
from typing import Any, Final
from urllib.parse import urlsplit

from bleach.html5lib_shim import HTMLParser

from sandbox_runtime.strict import Json

_ELEMENTS = """
    a abbr address article aside b bdi bdo blockquote br caption cite code col colgroup dd del
    details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img
    ins kbd li main mark ol p pre q rp rt ruby s samp section small span strong sub summary
    sup table tbody td tfoot th thead time tr u ul var wbr
    """
_ATTRIBUTES = """
    abbr align alt colspan datetime dir height href lang open reversed rowspan scope span src
    start title type value width
    """
ELEMENTS: Final = frozenset(_ELEMENTS.split())
ATTRIBUTES: Final = frozenset(_ATTRIBUTES.split())
HOSTS: Final = frozenset({"good.example", "a.sub.example", "img.example"})
SETTINGS: Final[Json] = {
    "links": {"hosts": ["good.example", "*.sub.example"]},
    "images": {"hosts": ["img.example"]},
}


def trespasses(text: str) -> list[str]:
    """Return what either reader finds that may not be there."""
    tree = HTMLParser(namespaceHTMLElements=False).parseFragment(text, scripting=True)
    found = [found for node in list(tree.iter())[1:] for found in _of(node.tag, node.attrib)]
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return found + reader.found


def visible(text: str) -> str:
    """Return the text that a browser could show, without white space."""
    tree = HTMLParser(namespaceHTMLElements=False).parseFragment(text, scripting=True)
    return "".join("".join(_texts(tree)).split())


def _texts(node: Any) -> Iterator[str]:  # noqa: ANN401 - an element of a tree
    yield node.attrib.get("alt", "") if node.tag == "img" else ""
    if isinstance(node.tag, str) and node.tag not in ("script", "style"):
        yield node.text or ""
        for child in node:
            yield from _texts(child)
            yield child.tail or ""


class _Reader(Events):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += _of(tag, {name: value or "" for name, value in attrs})

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"declaration {decl}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"instruction {data}")


def _of(tag: object, attributes: dict[str, str]) -> list[str]:
    if tag not in ELEMENTS:
        return [f"element {tag}"]
    wrong = [f"attribute {name}" for name in attributes if name not in ATTRIBUTES]
    addresses = [value for name, value in attributes.items() if name in ("href", "src")]
    return wrong + [f"address {value}" for value in addresses if not _is_good(value)]


def _is_good(address: str) -> bool:
    parts = urlsplit(address)
    plain = address.isascii() and not any(sign in address for sign in "\\ \t\n\r@`")
    return plain and parts.scheme == "https" and parts.netloc in HOSTS
