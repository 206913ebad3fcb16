"""What of a text of HTML stays, what goes, and what is told of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from tests.destinations.html_judge import SETTINGS, trespasses, visible


def check(text: object) -> Accepted:
    return registry.check("html", text, SETTINGS)  # type: ignore[arg-type]


STAYS = [
    "<p>plain</p>",
    "",
    "a &lt; b &amp;&amp; c &gt; d",
    '<p lang="de" dir="ltr" title="&lt;&quot;\'&amp;amp;">Übergröße \U0001f469\u200d\U0001f4bb</p>',
    '<a href="https://good.example/a/b?c=1&amp;copy=2#d">x</a>',
    '<img src="https://img.example/a.png" alt="a cat" width="10" height="1000">',
    '<table><tbody><tr><td colspan="2" rowspan="3" align="right">-5</td></tr></tbody></table>',
    '<table><thead><tr><th scope="col" abbr="n">number</th></tr></thead></table>',
    '<ol start="-3" reversed="" type="a"><li value="7">x</li></ol>',
    '<details open=""><summary>more</summary><pre>  two\n\nlines</pre></details>',
    '<p>H<sub>2</sub>O, <time datetime="2013-01-31T10:00:00Z">then</time><br>x</p>',
]

GOES = [
    pytest.param("<script>alert(1)</script>a", "a", "<script> and all in it", id="script"),
    pytest.param("<style>p{}</style>a", "a", "<style> and all in it", id="style"),
    pytest.param("<svg><a xlink:href=x>b</a></svg>a", "a", "<svg> and all in it", id="svg"),
    pytest.param("<template><p>b</p></template>a", "a", "<template> and all in it", id="template"),
    pytest.param("<noscript><p>b</noscript>a", "a", "<noscript> and all in it", id="noscript"),
    pytest.param("<iframe src=x>b</iframe>a", "a", "<iframe> and all in it", id="iframe"),
    pytest.param("<base href=//x>a", "a", "<base> and all in it", id="base"),
    pytest.param("<meta http-equiv=refresh content=0>a", "a", "<meta> and all in it", id="meta"),
    pytest.param("a<!-- b -->", "a", "comments", id="comment"),
    pytest.param("a<![CDATA[b]]>", "a", "comments", id="CDATA"),
    pytest.param("<form action=x>a</form>", "\na\n", "<form>, not what it holds", id="form"),
    pytest.param("<xmp><b></xmp>", "&lt;b&gt;", "<xmp>, not what it holds", id="xmp"),
    pytest.param("<x-y>a</x-y>", "a", "unknown elements, not what it holds", id="custom"),
    pytest.param("<b onclick=x>a</b>", "<b>a</b>", "attributes `onclick`", id="event"),
    pytest.param("<b style=x>a</b>", "<b>a</b>", "attributes `style`", id="style attribute"),
    pytest.param("<b id=location>a</b>", "<b>a</b>", "attributes `id`", id="clobbering by id"),
    pytest.param("<b name=forms>a</b>", "<b>a</b>", "attributes `name`", id="clobbering by name"),
    pytest.param("<b obey-me=x>a</b>", "<b>a</b>", "other attributes", id="a stranger's words"),
    pytest.param("<td colspan=9999>", "", None, id="a cell outside a table"),
    pytest.param(
        "<ol start=1e9><li>a</ol>", "<ol><li>a</li></ol>", "attributes `start`", id="no number"
    ),
    pytest.param(
        "<a href=https://evil.example>a</a>",
        "a",
        "links to a host that is not granted, not their text",
        id="link",
    ),
    pytest.param(
        "<img src=https://evil.example/?secret alt='a cat'>",
        "a cat",
        "images to a host that is not granted, not their alternative text",
        id="tracking image",
    ),
]


@pytest.mark.parametrize("text", STAYS)
def test_canonical_html_passes_as_it_is(text: str) -> None:
    accepted = check(text)
    assert (accepted.value, accepted.changes) == (text, ())


@pytest.mark.parametrize(("text", "left", "told"), GOES)
def test_what_goes_is_told_and_the_rest_stays(text: str, left: str, told: str | None) -> None:
    if not left:
        with pytest.raises(Objection) as refused:
            check(text)
        assert refused.value.code == "html.nothing_left"
        return
    accepted = check(text)
    assert accepted.value == left
    assert accepted.changes == (f"took out {told}: 1",)


def test_what_is_only_written_differently_is_told_as_that() -> None:
    accepted = check("<P>a<p>b &copy 1")
    assert accepted.value == "<p>a</p><p>b © 1</p>"
    assert accepted.changes == ("written in its canonical form; nothing was taken out",)


def test_facts_tell_what_stays() -> None:
    accepted = check(
        "<p><a href=https://good.example>a</a><a href=https://A.sub.example:443/x>b</a>"
        "<a href=https://evil.example>c</a><img src=https://img.example/a></p>"
    )
    assert accepted.facts == {
        "bytes": len(str(accepted.value)),
        "elements": 4,
        "links": 2,
        "link_hosts": ["a.sub.example", "good.example"],
        "images": 1,
        "image_hosts": ["img.example"],
    }


@pytest.mark.parametrize("text", ["<script>x</script>", "<svg/>", "<img src=x>", "<!-- x -->"])
def test_a_text_of_which_nothing_is_left_is_refused(text: str) -> None:
    with pytest.raises(Objection) as refused:
        check(text)
    assert refused.value.code == "html.nothing_left"
    assert "good.example" in str(refused.value.hint)


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ["<p>a</p>"]])
def test_only_a_text_is_html(value: object) -> None:
    with pytest.raises(Objection) as refused:
        check(value)
    assert refused.value.code == "html.not_text"


def test_without_a_word_nothing_is_linked_or_loaded() -> None:
    text = '<p><a href="https://good.example/">a</a><img src="https://img.example/" alt="b"></p>'
    assert registry.check("html", text, {}).value == "<p>ab</p>"


def test_elements_are_those_that_are_listed() -> None:
    accepted = registry.check("html", "<h1>a</h1><p>b <b>c</b></p>", {"elements": ["p"]})
    assert accepted.value == "a<p>b c</p>"


TAGS = r"""
    <p> </p> <b> </b> </a> <table> <tr> <td> </table> <pre> </pre> <ul> <li> </ul> <svg> </svg>
    <math> <mtext> <mglyph> <style> </style> <!-- --> <script> x </script> <noscript> </noscript>
    <title> </title> <textarea> </textarea> '> "> <select> <option> </select> & <form> </form>
    <button> </button> &lt; &#x3c &amp; <br> <h1> % <template> </template> <xmp> </xmp>
    <plaintext> </i> <object> </object> <foreignObject> <nobr> <font> <body> </html> <frameset>
    <col> <caption> <rt> <ruby> <dd> </br> <?x =
    """
PARTS = [
    *TAGS.split(),
    "<a href=https://good.example/>",
    "\n",
    "<img src=https://img.example/ alt='",
    "<i title='<p>'>",
    "<a href='javascript:x'>",
    "<img src=x onerror=y>",
    "\x00",
    "\u202e",
    "<annotation-xml encoding=text/html>",
]


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=14).map("".join))
def test_cleaning_twice_changes_nothing_and_leaves_nothing_that_is_not_allowed(text: str) -> None:
    try:
        once = check(text)
    except Objection as objection:
        assert objection.code.startswith("html.")  # noqa: PT017 - either end is right
        return
    assert trespasses(str(once.value)) == []
    again = check(once.value)
    assert (again.value, again.facts, again.changes) == (once.value, once.facts, ())


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cn", "Cs")), max_size=200))
def test_no_text_is_lost(text: str) -> None:
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    shown = registry.check("html", plain, SETTINGS).value
    assert visible(str(shown)) == visible(plain)
