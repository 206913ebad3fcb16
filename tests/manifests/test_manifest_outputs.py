"""What a task's manifest says of its final answers is checked when it loads."""

from __future__ import annotations

import pytest

from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors
from tests.support.manifests import SOURCES, TASK


def loading(outputs: str) -> str:
    text = TASK.replace("  budgets:", f"  outputs:\n{outputs}  budgets:")
    try:
        load_texts({**SOURCES, "tasks/greeting.yaml": text})
    except ManifestErrors as errors:
        return str(errors)
    return ""


def test_an_output_goes_to_any_destination_there_is() -> None:
    assert loading("    q: {type: string, sql: {dialect: sqlite}}\n") == ""
    assert loading("    r: {type: object, schema: {required: [a]}, max_checks: 1}\n") == ""


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "    report: {type: object}\n",
            "24:5: output `report` names no destination, so only its type is checked; say where",
        ),
        ("    report: {schema: {}}\n", "24:5: missing key `type`"),
        (
            "    report: {type: text, schema: {}}\n",
            "24:20: expected `string`, `integer`, `number`, `boolean`, `array` or `object`",
        ),
        (
            "    report: {type: object, scheme: {}}\n",
            "24:28: unknown key `scheme`; did you mean `schema`?",
        ),
        (
            "    report: {type: object, schema: {const: $enemy}}\n",
            "24:44: no variable `enemy`",
        ),
        (
            "    report: {type: object, schema: {}, max_checks: 0}\n",
            "24:52: expected at least `1`, found the integer `0`",
        ),
        ("    The Report: {type: object, schema: {}}\n", "24:5: expected a name of lower-case"),
    ],
)
def test_what_is_wrong_with_one_is_told_at_its_place(output: str, told: str) -> None:
    assert told in loading(output)


def test_a_description_is_prose_and_refers_to_no_variable() -> None:
    assert loading("    r: {type: object, description: $100, schema: {}}\n") == ""
