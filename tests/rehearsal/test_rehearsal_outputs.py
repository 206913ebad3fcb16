"""Cases of final answers are decided by the real policy, and show what none covers."""

from __future__ import annotations

import pytest

from sandbox_runtime.manifests.cases import load_cases
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.rehearsal.coverage import words
from sandbox_runtime.rehearsal.running import CaseEnd, run
from tests.support.manifests import SOURCES, TASK

OUTPUTS = """\
  outputs:
    report: {type: object, schema: {required: [to]}, model_text: {}}
  budgets:"""
TREE = {**SOURCES, "tasks/greeting.yaml": TASK.replace("  budgets:", OUTPUTS)}
HEAD = """\
apiVersion: sandbox-runtime/v1
kind: Test
task: greeting
variables: {friend: Ada}
cases:
"""


def played(*cases: str) -> list[CaseEnd]:
    catalogue = load_texts(TREE)
    text = HEAD + "".join(f"  - {{{case}}}\n" for case in cases)
    (loaded,) = load_cases({"greeting.test.yaml": text}, catalogue.tasks)
    return list(run(catalogue, loaded))


@pytest.mark.parametrize(
    ("case", "differences"),
    [
        (
            (
                "output: {name: report, value: {to: Ada}},"
                " expect: {verdict: permitted, canonical: {to: Ada}}"
            ),
            (),
        ),
        (
            (
                'output: {name: report, value: {to: "A\\u200bda"}},'
                " expect: {verdict: permitted, canonical: {to: Ada}}"
            ),
            (),
        ),
        (
            (
                "output: {name: report, value: {to: Ada}},"
                " expect: {verdict: permitted, canonical: {to: Bob}}"
            ),
            ('canonical: expected {"to":"Bob"}, was {"to":"Ada"}',),
        ),
        (
            (
                "output: {name: report, value: {}},"
                " expect: {verdict: refused, code: schema.required, reason: OUTPUT_NOT_ALLOWED}"
            ),
            (),
        ),
        (
            "output: {name: report, text: Hello}, expect: {verdict: refused, code: schema.type}",
            (),
        ),
        (
            "output: {name: other, value: 1}, expect: {verdict: permitted}",
            (
                (
                    "expected to be permitted, was refused by tasks/greeting.yaml:23:"
                    " OUTPUT_NOT_NAMED: the task gives no such output"
                ),
            ),
        ),
    ],
)
def test_a_case_of_a_final_answer_is_decided_as_a_broker_would(
    case: str, differences: tuple[str, ...]
) -> None:
    (end,) = played(f"name: one, {case}")
    assert end.differences == differences


def test_an_output_is_covered_once_accepted_and_its_destination_once_it_refused() -> None:
    ends = played(
        "name: a, output: {name: report, value: {to: Ada}}, expect: {verdict: permitted}",
        "name: b, output: {name: report, value: {}}, expect: {verdict: refused}",
    )
    found = words(load_texts(TREE), (), (one for end in ends for one in end.outputs))
    of_outputs = {word.what: word.covered for word in found if not word.grant}
    assert of_outputs == {
        "output report: permits": True,
        "output report: schema": True,
        "output report: model_text": False,
    }


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (
            "name: a, output: {name: report}, expect: {verdict: refused}",
            "an output has either a `value` or a `text`",
        ),
        (
            "name: a, output: {name: report, value: 1, text: x}, expect: {verdict: refused}",
            "an output has either a `value` or a `text`",
        ),
        (
            "name: a, output: {name: report, value: 1}, expect: {verdict: refused, canonical: 1}",
            "`canonical` means nothing for what is refused; remove it",
        ),
        (
            "name: a, output: {name: report, value: 1}, expect: {verdict: refused, grant: friends}",
            "`grant` means nothing for an output; remove it",
        ),
        (
            "name: a, call: {tool: greet}, expect: {verdict: permitted, canonical: 1}",
            "`canonical` means nothing for a call; remove it",
        ),
    ],
)
def test_a_case_that_cannot_be_meant_is_told(case: str, told: str) -> None:
    with pytest.raises(ManifestErrors, match=r"greeting\.test\.yaml:6:") as caught:
        played(case)
    assert told in str(caught.value)
