"""Each look at the HTML holds by itself: were one left out, the next one would refuse or clean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from bleach.sanitizer import Cleaner

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.html.weeding import Weeding
from tests.destinations.html_judge import SETTINGS, trespasses

HOSTILE = [
    "<p>a<script>alert(1)</script></p>",
    "<p onclick='x'>a</p>",
    "<p>a<a href='javascript:x'>b</a></p>",
    "<p>a<a href='https://evil.example/'>b</a></p>",
    "<p>a<img src='https://evil.example/'></p>",
    "<p style='x' id='y'>a</p>",
    "<p>a<!-- b --><svg><script>x</script></svg></p>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_without_our_weeding_bleach_leaves_nothing_that_is_not_allowed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_them(_: Weeding, tokens: Iterable[Any]) -> Iterable[Any]:
        return tokens

    monkeypatch.setattr(Weeding, "weeded", all_of_them)
    accepted = registry.check("html", text, SETTINGS)
    assert trespasses(str(accepted.value)) == []


@pytest.mark.parametrize("text", [*HOSTILE, "a < b", "<p title=x>a</p>", "a &nbsp; b"])
def test_without_both_what_was_written_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_it_is(_: Cleaner, text: str) -> str:
        return text

    written = text.replace("'", '"')
    monkeypatch.setattr(Cleaner, "clean", as_it_is)
    with pytest.raises(Objection) as refused:
        registry.check("html", written, SETTINGS)
    assert refused.value.code == "html.unconfirmed"


def test_nor_is_an_element_written_that_these_settings_do_not_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cleaner, "clean", lambda _, text: text)
    assert registry.check("html", "<p>a</p>", {"elements": ["p"]}).value == "<p>a</p>"
    with pytest.raises(Objection) as refused:
        registry.check("html", "<p><b>a</b></p>", {"elements": ["p"]})
    assert refused.value.code == "html.unconfirmed"
