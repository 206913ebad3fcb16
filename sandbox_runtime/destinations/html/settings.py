"""What may a manifest say about HTML?

Law: without a word, text with structure and nothing that loads or leads anywhere. Links
lead to the hosts that are named, images load from those, and only over https unless http is
named as well. Styles, classes, ids, scripts and forms cannot be granted.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from sandbox_runtime.destinations.html.elements import ELEMENTS
from sandbox_runtime.destinations.html.hosts import HostRule, rule_of
from sandbox_runtime.strict import Strict

DEFAULT_MAX_BYTES: Final = 64 << 10
MOST_BYTES: Final = 128 << 10
"""As much as is surely cleaned within the time that a worker has."""

SHELL_BYTES: Final = 4 << 10
"""What a page may have around its body: what may be a body can be a page."""

Scheme = Literal["https", "http"]


def _is_host(entry: str) -> str:
    if not entry.startswith("$"):
        rule_of(entry)
    return entry


HostEntry = Annotated[str, Field(min_length=1, max_length=260), AfterValidator(_is_host)]
"""`example.com`, `*.example.com` (every host below), `example.com:8443`. In a grant a
variable's `$name` may stand for one."""


class _Addresses(Strict):
    """Which addresses may stand in the text."""

    hosts: tuple[HostEntry, ...] = ()
    """The hosts, each exact or `*.` and a name. Other ports than the scheme's are named."""
    schemes: Annotated[tuple[Scheme, ...], Field(min_length=1)] | None = None
    """Default: https alone."""

    @cached_property
    def rules(self) -> tuple[HostRule, ...]:
        """The entries, read. A variable that nobody put in stands for no host."""
        return tuple(rule_of(entry) for entry in self.hosts if not entry.startswith("$"))

    @property
    def plain_schemes(self) -> tuple[Scheme, ...]:
        """The schemes, with the default filled in."""
        return self.schemes or ("https",)


class Links(_Addresses):
    """Where a reader's click may lead."""


class Images(_Addresses):
    """What a reader's browser may load by itself: an image is how data leaves unseen."""

    data: bool = False
    """Whether pictures (PNG, JPEG, GIF, WebP) may stand in the text itself, in base64."""


class HtmlSettings(Strict):
    """What a text of HTML may hold.

    A key that is left out says nothing: a tool leaves its links to the grant.
    """

    elements: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Which of the elements that can be allowed are. Default: all of them."""
    links: Links | None = None
    """Left out by tool and grant both: none; a link's text stays."""
    images: Images | None = None
    """Left out by tool and grant both: none; an image's alternative text stays."""
    page: bool | None = None
    """Whether the text is a whole page: its title, then what may stay of its body, in a shell of
    ours with a policy that lets a browser run nothing. Default: it is a part of one."""
    max_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES)] | None = None
    """The most bytes, in UTF-8, before and after cleaning; of a page, of its body. Default
    65536."""

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, elements: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in elements or ():
            if name not in ELEMENTS:
                msg = f"`{name}` is no element that can be allowed"
                raise ValueError(msg)
        return elements

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The elements, with the default filled in."""
        return frozenset(ELEMENTS if self.elements is None else self.elements)

    @property
    def cap(self) -> int:
        """The most bytes, with the default filled in, and room for a page's shell."""
        most = DEFAULT_MAX_BYTES if self.max_bytes is None else self.max_bytes
        return most + SHELL_BYTES if self.page else most

    @cached_property
    def linkable(self) -> Links:
        """The links, with the default filled in."""
        return self.links or Links()

    @cached_property
    def loadable(self) -> Images:
        """The images, with the default filled in."""
        return self.images or Images()
