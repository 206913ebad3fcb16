"""A link or an image leads to a granted host, or is not there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.strict import Json

GRANTED: Json = {
    "links": {"hosts": ["good.example", "*.sub.example", "bücher.example", "1.2.3.4", "p.x:8443"]},
    "images": {"hosts": ["img.example"], "data": True},
}


def href(address: str, granted: Json = GRANTED) -> str | None:
    raw = address.replace("&", "&amp;").replace('"', "&quot;")
    value = str(registry.check("html", f'<a href="{raw}">x</a>', granted).value)
    found = re.fullmatch(r'<a href="([^"]*)">x</a>|x', value)
    assert found, value
    return found[1]


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("https://good.example", "https://good.example/"),
        (" \nHTTPS://Good.EXAMPLE:443/A?b#c\t", "https://good.example/A?b#c"),
        ("https://good.example?q=ü 1".replace(" ", "%20"), "https://good.example/?q=%C3%BC%201"),
        ("https://good.example/%zz'(1)[2]{3}", "https://good.example/%25zz'(1)[2]%7B3%7D"),
        ("https://a.b.sub.example/", "https://a.b.sub.example/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://\uff47\uff4f\uff4f\uff44\uff0eexample/", "https://good.example/"),
        ("https://good。example/", "https://good.example/"),
        ("https://1.2.3.4/", "https://1.2.3.4/"),
        ("https://p.x:8443/", "https://p.x:8443/"),
    ],
)
def test_a_granted_address_is_written_in_its_one_spelling(address: str, canonical: str) -> None:
    assert href(address) == canonical
    assert href(canonical) == canonical


ASTRAY = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//https://good.example/",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript&colon;alert(1)",
    "javascript://good.example/%0aalert(1)",
    "vbscript:x",
    "data:text/html,<script>x</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "data:image/png;base64,iVBORw0KGgo=",
    "blob:https://good.example/x",
    "view-source:https://good.example/",
    "feed:https://good.example/",
    "filesystem:https://good.example/x",
    "tel:1900",
    "mailto:a@good.example",
    "http://good.example/",
    "http\u017f://good.example/",
    "ftp://good.example/",
    "https:good.example",
    "https:/good.example",
    "https:///good.example",
    "https:\\\\good.example\\",
    "https://good.example\\@evil.example/",
    "https://evil.example\\.good.example/",
    "//good.example/",
    "/\\good.example/",
    "/path",
    "path",
    "?q",
    "#top",
    "",
    "https://",
    "https://good.example@evil.example/",
    "https://good.example:x@evil.example/",
    "https://user@good.example/",
    "https://good.example:444/",
    "https://good.example:0443x/",
    "https://p.x/",
    "https://good.example.evil.example/",
    "https://evilgood.example/",
    "https://sub.example/",
    "https://evilsub.example/",
    "https://.sub.example/",
    "https://good.example./",
    "https://good%2eexample/",
    "https://%67ood.example/",
    "https://good.exa\u00admple.evil/",
    "https://good.example\u3000/",
    "https://good.example\u2028/",
    "https://goo\u200dd.example/",
    "https://good.example\u202e/x",
    "https://g\u043e\u043ed.example/",
    "https://stra\u00dfe.sub.example/",
    "https://0x01020304/",
    "https://16909060/",
    "https://1.2.772/",
    "https://01.2.3.4/",
    "https://1.2.3.4.sub.example.5/",
    "https://[::1]/",
    "https://good.example/a\tb",
    "https://good.example/a\nb",
    "https://good.example/a b",
    "https://good.example/a\\..\\b",
    "https://good.example/\u202ea",
    "https://good.example/" + "a" * 2048,
    "https://" + "a." * 130 + "sub.example/",
    "https://" + "\u00fc" * 5000 + ".sub.example/",
    "ht\ttps://good.example/",
    "https://good.exam\nple/",
]


@pytest.mark.parametrize("address", ASTRAY)
def test_an_address_that_is_not_plainly_a_granted_one_leads_nowhere(address: str) -> None:
    assert href(address) is None


@pytest.mark.parametrize(
    "raw",
    [
        "jav&#97;script:x",
        "jav&#x61script:x",
        "&#0000106avascript:x",
        "&#106;&#97;&#118;&#97;&Tab;script:x",
        "java&NewLine;script&colon;x",
        "&#1;javascript:x",
        "javascript&amp;colon;x",
    ],
)
def test_character_references_hide_nothing(raw: str) -> None:
    assert registry.check("html", f'<a href="{raw}">x</a>', GRANTED).value == "x"


WORDS = "https http : / // \\ @ ? # . % good.example 1 sub.example evil.example javascript: xn-- ["
SCRAPS = st.sampled_from(
    [*WORDS.split(), "data:", "\u017f", "\u0130", "\u3002", "\t"],
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(SCRAPS | st.characters(), max_size=8).map("".join), st.booleans())
def test_whatever_an_address_is_it_leads_where_it_may_or_nowhere(
    scraps: str,
    begun: bool,  # noqa: FBT001
) -> None:
    canonical = href(f"https://{scraps}" if begun else scraps)
    if canonical is not None:
        host = canonical.removeprefix("https://").split("/")[0]
        assert host in {"good.example", "1.2.3.4"} or host.endswith(".sub.example")
        assert href(canonical.replace("&amp;", "&")) == canonical


def test_http_is_granted_by_name_only() -> None:
    both: Json = {"links": {"hosts": ["good.example"], "schemes": ["https", "http"]}}
    assert href("http://good.example:80/", both) == "http://good.example/"
    assert href("http://good.example:443/", both) is None


PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


@pytest.mark.parametrize(
    ("source", "stays"),
    [
        (PIXEL, True),
        (PIXEL.replace("gif", "svg+xml"), False),
        (PIXEL.replace(";base64", ""), False),
        (PIXEL + "!", False),
        (PIXEL[:-1], False),
        (PIXEL.replace("gif", "gif;x=1"), False),
        (PIXEL.replace("data", "DATA"), False),
        ("https://img.example/a", True),
        ("https://good.example/a", False),
    ],
)
def test_a_picture_stands_in_the_text_only_where_that_is_granted(source: str, stays: bool) -> None:  # noqa: FBT001
    text = f'<p><img src="{source}" alt="a">b</p>'
    left = text if stays else "<p>ab</p>"
    assert registry.check("html", text, GRANTED).value == left
    without: Json = {"images": {"hosts": ["img.example"]}}
    kept = stays and not source.startswith("data")
    assert registry.check("html", text, without).value == (text if kept else "<p>ab</p>")
