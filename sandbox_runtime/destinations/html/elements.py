"""Which elements and attributes can be allowed at all, and what may an attribute say?

Law: an element is here if no browser runs, loads, submits or restyles anything for it, apart
from what a URL that we judge leads to. An attribute has a pattern for the whole of its value.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Patterns = MappingProxyType[str, re.Pattern[str]]


def _patterns(**named: str) -> Patterns:
    return MappingProxyType({name: re.compile(text) for name, text in named.items()})


_NUMBER, _SPAN, _TEXT = r"-?[0-9]{1,9}", r"[1-9][0-9]{0,2}", r"(?s:.*)"
_SIDE = r"left|right|center"
_CELL = _patterns(colspan=_SPAN, rowspan=_SPAN, align=_SIDE)
_TIME = r"[-+:.TZPWYMDHS0-9 ]{1,64}"
_NOTHING = _patterns()

EVERYWHERE: Final = _patterns(
    dir=r"ltr|rtl|auto", lang=r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}", title=_TEXT
)
"""Attributes of every element."""

_PLAIN = """
    a abbr address article aside b bdi bdo blockquote br caption cite code dd dfn div dl dt em
    figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i kbd main mark p pre q rp rt
    ruby s samp section small span strong sub summary sup table tbody tfoot thead tr u ul var
    wbr
    """

ELEMENTS: Mapping[str, Patterns] = MappingProxyType(
    {
        **dict.fromkeys(_PLAIN.split(), _NOTHING),
        "col": _patterns(span=_SPAN, align=_SIDE),
        "colgroup": _patterns(span=_SPAN),
        "del": _patterns(datetime=_TIME),
        "details": _patterns(open=""),
        "img": _patterns(alt=_TEXT, width=_SPAN + "?[0-9]?", height=_SPAN + "?[0-9]?"),
        "ins": _patterns(datetime=_TIME),
        "li": _patterns(value=_NUMBER),
        "ol": _patterns(start=_NUMBER, reversed="", type="[1aAiI]"),
        "td": _CELL,
        "th": MappingProxyType(
            {**_CELL, **_patterns(scope="row|col|rowgroup|colgroup", abbr=_TEXT)}
        ),
        "time": _patterns(datetime=_TIME),
    }
)
"""Element to the attributes that it may have beyond those that every element may have."""

ADDRESSES: Mapping[str, str] = MappingProxyType({"a": "href", "img": "src"})
"""Element to the one attribute of it that holds a URL. Without it the element is unwrapped."""

_UNSEEN = """
    applet audio base basefont bgsound canvas command datalist embed frame frameset head iframe
    isindex link math meta noembed noframes noscript object param picture portal script source
    style svg template title track video
    """
DROPPED: Final = frozenset(_UNSEEN.split())
"""Elements that go with all they hold, for it is no text to a reader. All others that are not
allowed are unwrapped: what they hold stays."""

_FURTHER = """
    area big body button center data dialog dir fieldset font form html image input keygen label
    legend listing map marquee menu menuitem meter nav nobr optgroup option output plaintext
    progress search select slot strike textarea tt xmp
    """
NAMED: Final = frozenset({*ELEMENTS, *DROPPED, *_FURTHER.split()})
"""Elements whose names may be told; any other name is a stranger's own words."""

_FURTHER_ATTRIBUTES = """
    action autofocus background bgcolor border class color contenteditable data download face
    form formaction href id is name nonce ping poster rel role size src srcdoc srcset style
    tabindex target type usemap valign value xmlns
    """
_ATTRIBUTES = frozenset(
    {*_FURTHER_ATTRIBUTES.split(), *EVERYWHERE, *(name for of in ELEMENTS.values() for name in of)}
)
_EVENT = re.compile(
    r"on(?:abort|blur|click|error|focus|input|key(?:down|up|press)|load|mouse(?:over|out|move)"
    r"|pointer\w{2,5}|submit|toggle|wheel|animation\w{3,9}|transition\w{3,6}|begin|change)"
)


def told_attribute(name: str) -> str:
    """Return how an attribute is called when one tells of it."""
    is_known = name in _ATTRIBUTES or _EVENT.fullmatch(name)
    return f"attributes `{name}`" if is_known else "other attributes"


def told_element(name: str) -> str:
    """Return how an element is called when one tells of it."""
    return f"<{name}>" if name in NAMED else "unknown elements"
