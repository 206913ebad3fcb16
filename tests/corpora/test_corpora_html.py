"""The HTML destination on texts that nobody on this project wrote. Two readers are the judges."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from tests.corpora.corpora import corpus
from tests.destinations.html_judge import SETTINGS, trespasses, visible

CONTEXTS = {
    "in a text": "<p>{}</p>",
    "in a title": '<p title="{}">a</p>',
    "in a link": "<p><a href='{}'>a</a></p>",
    "raw": "{}",
}


def decide(text: str) -> Accepted | Objection:
    """Return either answer; what is accepted is canonical, and nothing in it trespasses."""
    try:
        answer = registry.check("html", text, SETTINGS)
    except Objection as objection:
        return objection
    assert trespasses(str(answer.value)) == [], text
    assert registry.check("html", answer.value, SETTINGS).value == answer.value, text
    return answer


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_attack_leaves_anything_that_runs_or_loads(context: str) -> None:
    payloads: list[str] = corpus("html/patt_xss.json")
    decided = Counter(_name(decide(CONTEXTS[context].format(text))) for text in payloads)
    _print_table(f"patt_xss.json, {context}", decided)
    assert decided.total() == len(payloads) > 2000


def test_no_text_that_strains_parsers_leaves_anything_either() -> None:
    decided = Counter(_name(decide(_text(one))) for one in _strains())
    _print_table("html5lib_tree_construction_inputs.json", decided)
    assert decided.total() > 1500


def test_what_markdown_makes_keeps_all_its_text() -> None:
    decided: Counter[str] = Counter()
    for example in corpus("markdown/commonmark_spec_0.31.json"):
        answer = decide(example["html"])
        decided[_name(answer)] += 1
        if isinstance(answer, Accepted) and "<?" not in example["html"]:
            assert visible(example["html"]) in visible(str(answer.value))
        elif isinstance(answer, Objection) and answer.code == "html.nothing_left":
            assert visible(example["html"]) == ""
    _print_table("commonmark_spec_0.31.json", decided)
    assert decided["html.not_canonical"] == 0


def _strains() -> list[Any]:
    inputs: list[Any] = corpus("html/html5lib_tree_construction_inputs.json")
    return inputs


def _text(one: Any) -> str:  # noqa: ANN401 - whatever the file holds
    return one if isinstance(one, str) else str(one["data"])


def _name(answer: Accepted | Objection) -> str:
    return answer.code if isinstance(answer, Objection) else "accepted"


def _print_table(title: str, counted: Counter[str]) -> None:
    print(f"\n{title}")  # noqa: T201 - a table for people
    for what, number in sorted(counted.items()):
        print(f"  {number:6}  {what}")  # noqa: T201 - as above
