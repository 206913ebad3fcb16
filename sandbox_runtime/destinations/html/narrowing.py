"""What is left of HTML when a tool and a grant both have a say?

Law: never more than the tool. What a grant names must already lie within what the tool
lists, or the grant does not load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.destinations.html.hosts import rule_of
from sandbox_runtime.destinations.html.settings import HtmlSettings, Images, Links

if TYPE_CHECKING:
    from sandbox_runtime.destinations.html.settings import Scheme


def narrow(tool: HtmlSettings, grant: HtmlSettings) -> HtmlSettings:
    """Return what both allow. Keys that say nothing are left out of the result."""
    both: dict[str, Any] = {
        "elements": _elements(tool, grant),
        "links": _links(tool.links, grant.links),
        "images": _images(tool.images, grant.images),
        "page": _page(tool, grant),
        "max_bytes": _max_bytes(tool, grant),
    }
    return HtmlSettings(**{key: value for key, value in both.items() if value is not None})


def _elements(tool: HtmlSettings, grant: HtmlSettings) -> tuple[str, ...] | None:
    for position, name in enumerate(grant.elements or ()):
        if name not in tool.allowed:
            raise Widens(("elements", position), f"the tool does not allow <{name}>")
    return grant.elements or tool.elements


def _page(tool: HtmlSettings, grant: HtmlSettings) -> bool | None:
    if grant.page is not None and grant.page != bool(tool.page):
        takes = "whole pages" if tool.page else "parts of pages"
        raise Widens(("page",), f"the tool takes {takes}")
    return tool.page


def _max_bytes(tool: HtmlSettings, grant: HtmlSettings) -> int | None:
    if grant.max_bytes is not None and grant.max_bytes > tool.cap:
        raise Widens(("max_bytes",), f"the tool takes at most {tool.cap} bytes")
    return tool.max_bytes if grant.max_bytes is None else grant.max_bytes


def _links(tool: Links | None, grant: Links | None) -> Links | None:
    if tool is None or grant is None:
        return grant or tool
    return Links(hosts=_hosts("links", tool, grant), schemes=_schemes("links", tool, grant))


def _images(tool: Images | None, grant: Images | None) -> Images | None:
    if tool is None or grant is None:
        return grant or tool
    if grant.data and not tool.data:
        raise Widens(("images", "data"), "the tool takes no pictures in the text itself")
    return Images(
        hosts=_hosts("images", tool, grant),
        schemes=_schemes("images", tool, grant),
        data=grant.data,
    )


def _hosts(of: str, tool: Links | Images, grant: Links | Images) -> tuple[str, ...]:
    for position, entry in enumerate(grant.hosts):
        is_variable = entry.startswith("$")
        if is_variable or not any(rule.covers(rule_of(entry)) for rule in tool.rules):
            raise Widens((of, "hosts", position), f"the tool does not list {entry}")
    return grant.hosts


def _schemes(of: str, tool: Links | Images, grant: Links | Images) -> tuple[Scheme, ...]:
    for position, scheme in enumerate(grant.plain_schemes):
        if scheme not in tool.plain_schemes:
            raise Widens((of, "schemes", position), f"the tool does not allow {scheme}")
    return grant.plain_schemes
