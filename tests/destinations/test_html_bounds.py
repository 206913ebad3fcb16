"""However large or twisted a text is, what becomes of it is decided within a worker's time."""

from __future__ import annotations

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.html import parsing
from sandbox_runtime.strict import Json

MOST: Json = {"max_bytes": 128 << 10}

TOO_MUCH = [
    pytest.param("<div>" * 200, "nests too deep", id="depth"),
    pytest.param("<table>x<b>" * 200, "nests too deep", id="foster parents"),
    pytest.param("<p>" * 12_000, "too many elements", id="elements"),
    pytest.param(
        "<p>" + "".join(f"<b title={n}>" for n in range(80)) + "</p>" + "<p>x</p>" * 2000,
        "too many elements",
        id="elements that open themselves again",
    ),
    pytest.param(
        "<p " + " ".join(f"a{n}" for n in range(20_000)) + ">",
        "too many attributes",
        id="attributes",
    ),
    pytest.param(
        "<p x='>' " + " ".join(f"a{n}" for n in range(20_000)),
        "too many attributes",
        id="attributes of a tag that never ends",
    ),
    pytest.param("<" * 30_000, "more than 20000 signs", id="brackets"),
    pytest.param("&" * 30_000, "more than 20000 signs", id="ampersands"),
]


@pytest.mark.parametrize(("text", "problem"), TOO_MUCH)
def test_too_much_is_refused_while_it_is_read(text: str, problem: str) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("html", text, MOST)
    assert refused.value.code == "html.too_complex"
    assert problem in refused.value.problem


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("a" * 65_537, {}),
        ("ü" * 32_769, {}),
        ("a" * 11, {"max_bytes": 10}),
        ("&" * 4, {"max_bytes": 10}),
        ("<p title='" + '"' * 20_000 + "'>a", {}),
    ],
)
def test_a_text_is_measured_as_it_came_and_as_it_is_written(text: str, most: Json) -> None:
    with pytest.raises(Objection) as refused:
        registry.check("html", text, most)
    assert refused.value.code == "html.too_long"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("&#" + "1" * 60_000 + ";a", id="a number without end"),
        pytest.param("&#x" + "0" * 60_000 + "41;a", id="zeros without end"),
        pytest.param("&" + "a" * 60_000 + ";", id="a name without end"),
        pytest.param("<" + "a" * 60_000 + ">a", id="an element's name without end"),
        pytest.param("<p " + "a" * 60_000 + ">a", id="an attribute's name without end"),
        pytest.param("<p title='" + "a" * 60_000 + "'>a", id="a long value"),
        pytest.param(("<p " + "a= " * 60 + ">a") * 200, id="the same attribute"),
        pytest.param("<!--" + "-<" * 15_000 + "-->a", id="a comment"),
        pytest.param("</a>" * 15_000 + "a", id="ends without beginnings"),
        pytest.param(" \n" * 30_000 + "a", id="white space"),
        pytest.param("<div>" * 90 + "<p>a" * 50, id="as deep as may be"),
    ],
)
def test_what_is_long_and_not_too_much_is_cleaned(text: str) -> None:
    assert "a" in str(registry.check("html", text, MOST).value)


def test_bounds_are_counted_anew_for_each_text() -> None:
    text = "<p>a</p>" * (parsing.MAX_ELEMENTS - 10)
    for _ in range(2):
        assert registry.check("html", text, MOST).facts["elements"] == parsing.MAX_ELEMENTS - 10
