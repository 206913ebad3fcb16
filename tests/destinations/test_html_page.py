"""A whole page is our shell around what may stay of its body."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection, Widens
from sandbox_runtime.strict import Json
from tests.destinations.test_html_cleaning import PARTS

PAGE: Json = {
    "page": True,
    "links": {"hosts": ["good.example"]},
    "images": {"hosts": ["img.example", "*.img.example"], "schemes": ["https", "http"]},
}


def check(text: str) -> tuple[str, tuple[str, ...]]:
    accepted = registry.check("html", text, PAGE)
    return str(accepted.value), accepted.changes


def test_a_foreign_page_keeps_title_language_and_what_may_stay_of_its_body() -> None:
    page, changes = check(
        "<!doctype html><html lang='de-AT' onload=x><head><meta charset=latin1>"
        "<TITLE>A &lt;b&gt; &amp; c\n d</TITLE><base href=//evil.example>"
        "<script src=//evil.example></script></head><body onload=y><p>text</body></html>"
    )
    assert '<html lang="de-AT">' in page
    assert "<title>A &lt;b&gt; &amp; c d</title>" in page
    assert page.endswith("<body>\n<p>text</p>\n</body>\n</html>\n")
    assert "evil" not in page
    assert changes == (
        "took out <base> and all in it: 1",
        "took out <meta> and all in it: 1",
        "took out <script> and all in it: 1",
    )


def test_a_page_of_ours_passes_as_it_is() -> None:
    page, _ = check('<p>a<a href="https://good.example/">b</a><img src=https://img.example/c></p>')
    assert check(page) == (page, ())
    assert "<title>Untitled</title>" in page


@pytest.mark.parametrize(
    ("body", "sources"),
    [
        ("a", "'none'"),
        ("<img src=https://img.example/a><img src=https://img.example/b>", "https://img.example"),
        (
            (
                "<img src=http://x.img.example/a alt='<img src=\"https://evil.example/'>"
                "<img src=https://img.example>"
            ),
            "http://x.img.example https://img.example",
        ),
    ],
)
def test_the_policy_lets_load_the_images_of_the_body_and_nothing_else(
    body: str, sources: str
) -> None:
    page, _ = check(body)
    policies = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    style = re.findall(r"<style>(.*)</style>", page)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policies == [
        (
            f"default-src 'none'; img-src {sources}; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<title>a</title><title><script>b</script></title><p>c",
        "<title>&lt;/title>&lt;script>x</title><p>c",
        "<html lang='x\"><script>'><p>c",
        (
            "<!DOCTYPE html>\n<html>\n<head>\n<meta x>\n<title>a</title>\n<style>b</style>\n"
            "</head>\n"
            "<body>\n<script>x</script>c\n</body>\n</html>\n"
        ),
        "</title><p>c<title>",
        "<plaintext><p>c",
    ],
)
def test_no_part_of_the_page_breaks_out_of_its_place(text: str) -> None:
    page, _ = check(text)
    assert "<script" not in page
    assert [page.count(f"<{name}") for name in ("title", "style", "html", "head>")] == [1] * 4
    assert check(page) == (page, ())


def test_what_may_be_a_part_can_be_the_body_of_a_page() -> None:
    part = f"<p>{'a' * (65_536 - 7)}</p>"
    assert registry.check("html", part, {}).value == part
    page = registry.check("html", part, {"page": True}).value
    assert registry.check("html", page, {"page": True}).value == page


def test_a_page_without_anything_to_read_is_refused() -> None:
    with pytest.raises(Objection) as refused:
        check("<title>a</title><script>b</script>")
    assert refused.value.code == "html.nothing_left"


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PARTS, "<html lang=en>", "<title>", "</title>", "</body>", "\n"]),
        max_size=10,
    ).map("".join)
)
def test_a_page_taken_apart_and_written_again_is_the_same(text: str) -> None:
    try:
        page, _ = check(text)
    except Objection as objection:
        assert objection.code.startswith("html.")  # noqa: PT017 - either end is right
        return
    assert check(page) == (page, ())


def test_a_grant_cannot_make_a_page_of_a_part() -> None:
    assert registry.narrow("html", {"page": True}, {"page": True}) == {"page": True}
    for tool, grant in (({}, {"page": True}), ({"page": True}, {"page": False})):
        with pytest.raises(Widens):
            registry.narrow("html", dict[str, Json](tool), dict[str, Json](grant))
