"""What a tool's manifest may say of its results."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox_runtime.manifests.loader import load_texts

Told = Callable[..., str]

RESULT = "  result: {schema: {type: array}, model_text: {}}\n"


def labelled(labels: str) -> str:
    return RESULT.replace("{}}", f"{{}}, labels: {labels}}}")


WRONG = {
    "a level that is none": (
        "{confidentiality: secret}",
        "expected `public`, `internal`, `confidential` or `restricted`, found the string `secret`",
    ),
    "a misspelt level": ("{confidentiality: intern}", "did you mean `internal`?"),
    "a misspelt label": ("{confidentialty: public}", "did you mean `confidentiality`?"),
    "trust in part": ("{integrity: partly}", "expected `trusted` or `untrusted`, found the string"),
    "a source that is a sentence": (
        "{source: the sales database}",
        "expected a name of lower-case",
    ),
    "a source that is nothing": ("{source: null}", "`null` means nothing here"),
}


@pytest.mark.parametrize(("labels", "expected"), WRONG.values(), ids=WRONG)
def test_a_label_that_cannot_be_meant_is_told_at_its_place(
    told: Told, labels: str, expected: str
) -> None:
    said = told("query.yaml", RESULT, labelled(labels))
    assert said.startswith("query.yaml:18:")
    assert expected in said
    assert said.count("\n") == 0


def test_a_label_that_is_left_out_is_at_its_tightest(files: dict[str, str]) -> None:
    text = files["query.yaml"].replace(RESULT, labelled("{source: ledger}"))
    labels = load_texts({"query.yaml": text}).tools["sql_query"].manifest.spec.result.labels
    assert (labels.integrity, labels.confidentiality) == ("untrusted", "restricted")
    assert labels.source == "ledger"
