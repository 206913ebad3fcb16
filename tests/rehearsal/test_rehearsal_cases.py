"""Cases are decided by the real policy, differ in words, and show what no case covers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from sandbox_runtime.manifests import tree
from sandbox_runtime.manifests.cases import load_cases
from sandbox_runtime.manifests.loader import load_texts, load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.rehearsal.coverage import words
from sandbox_runtime.rehearsal.running import CaseEnd, run
from tests.support.manifests import SOURCES, TASK, TOOL

SHIPPED = Path(__file__).parents[2] / "tool_manifests"
COMMAND = Path(sys.executable).with_name("sandbox-broker")
HEAD = """\
apiVersion: sandbox-runtime/v1
kind: Test
task: greeting
variables: {friend: Ada}
cases:
"""
ORDERED = TASK.replace(
    "max_calls: 1\n", "max_calls: 9\n      after: [friends]\n      rate: {calls: 1, per: 1m}\n"
).replace("calls: 3, wall_time: 10s", "calls: 5, wall_time: 20s")


def played(cases: str, task: str = TASK) -> list[CaseEnd]:
    catalogue = load_texts({**SOURCES, "tasks/greeting.yaml": task})
    (loaded,) = load_cases({"greeting.test.yaml": HEAD + cases}, catalogue.tasks)
    return list(run(catalogue, loaded))


def differences(cases: str, task: str = TASK) -> list[tuple[str, ...]]:
    return [end.differences for end in played(cases, task)]


def problems(text: str) -> str:
    with pytest.raises(ManifestErrors) as caught:
        load_cases({"t.test.yaml": text}, ["greeting"])
    return str(caught.value)


CALL = "  - {{name: one, call: {{tool: greet, arguments: {arguments}}}, expect: {expect}}}\n"


def test_the_shipped_cases_hold_and_leave_nothing_uncovered() -> None:
    catalogue = load_tree(SHIPPED)
    found = tree.collect_cases(SHIPPED)
    ends = [e for c in load_cases(found.texts, catalogue.tasks) for e in run(catalogue, c)]
    assert found.problems == ()
    assert [end for end in ends if end.differences] == []
    covered = words(catalogue, (call for end in ends for call in end.calls))
    assert [word for word in covered if not word.covered] == []
    assert {word.task for word in covered} == set(catalogue.tasks)


@pytest.mark.parametrize(
    ("old", "new", "case"),
    [
        ("rows: {origin:", "rows: {dest:", "a query of granted columns"),
        ("code: {length: {max: 8000}}", "code: {}", "code longer than anyone reads"),
        ("              airlines:", ("              planes: {columns: [tailnum]}\n"
         "              airlines:"), "a table that is not granted"),
        ("max_calls: 6", "max_calls: 7", "the seventh query"),
        ('regex: "[A-Z]{3}"', 'regex: ".*"', "an airport that is no code"),
        ("under: [notes], suffixes", "suffixes", "a note is written below `notes` alone"),
        ("path: {under: [notes], suffixes: [.md]}", "path: {under: [notes]}", "what may be"),
        ("filter: {length: {max: 1000}}", "filter: {}", "a long filter is refused"),
    ],
)  # fmt: skip
def test_a_manifest_that_was_weakened_fails_a_shipped_case(old: str, new: str, case: str) -> None:
    found = tree.collect(SHIPPED).texts
    (name,) = [name for name, text in found.items() if "kind: Task" in text and old in text]
    catalogue = load_texts({**found, name: found[name].replace(old, new)})
    files = load_cases(tree.collect_cases(SHIPPED).texts, catalogue.tasks)
    failed = [end.name for each in files for end in run(catalogue, each) if end.differences]
    assert any(name.startswith(case) for name in failed), failed


@pytest.mark.parametrize(
    ("arguments", "expect", "told"),
    [
        (
            "{name: Ada}",
            "{verdict: refused}",
            "expected to be refused, was permitted by tasks/greeting.yaml:9 (grant `friends`)",
        ),
        (
            "{name: Eve}",
            "{verdict: permitted}",
            (
                "expected to be permitted, was refused by tasks/greeting.yaml:14: "
                "constraint.exact: it is not the one value that the grant allows"
            ),
        ),
        (
            "{name: Ada}",
            "{verdict: permitted, grant: colleagues}",
            (
                "grant: expected `colleagues`, was `friends`: "
                "permitted by tasks/greeting.yaml:9 (grant `friends`)"
            ),
        ),
        (
            "{name: Ada}",
            "{verdict: permitted, arguments: {times: true}}",
            "arguments: expected `times` as true, was 1",
        ),
        (
            "{name: Ada}",
            "{verdict: permitted, arguments: {tim: null}}",
            "arguments: expected `tim` as null, was null",
        ),
        (
            "{name: Ada}",
            "{verdict: permitted, workspace: true}",
            "workspace: expected true, was false",
        ),
    ],
)
def test_a_case_that_does_not_hold_says_in_what(arguments: str, expect: str, told: str) -> None:
    assert differences(CALL.format(arguments=arguments, expect=expect)) == [(told,)]


def test_each_part_of_a_refusal_is_compared() -> None:
    expect = "{verdict: refused, reason: CALLS_SPENT, code: a.b, pointer: /x, grant: colleagues}"
    ((reason_and_more),) = differences(CALL.format(arguments="{name: Eve}", expect=expect))
    assert [one.split(":")[0] for one in reason_and_more] == ["grant", "reason", "code", "pointer"]


def test_a_case_that_holds_says_nothing() -> None:
    exact = "{verdict: permitted, grant: friends, arguments: {name: Ada, times: 1, tags: []}}"
    refused = "{verdict: refused, code: constraint.exact, pointer: /name, grant: friends}"
    text = CALL.format(arguments="{name: Ada}", expect=exact)
    other = CALL.replace("name: one,", "name: two,").format(arguments="{name: Eve}", expect=refused)
    assert differences(text + other) == [(), ()]


SEQUENCE = """\
  - name: one
    sequence:
      - {tool: greet, arguments: {name: Ada}%s}
      - {tool: greet, arguments: {name: Grace Hopper}%s}
    expect: {verdict: %s}
"""


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        ("", "", "permitted"),
        (", outcome: TOOL_ERROR", "", "refused, reason: ORDER_NOT_MET"),
        (", outcome: SANDBOX_UNAVAILABLE", "", "refused, reason: ORDER_NOT_MET"),
        ("", ", times: 2", "refused, reason: RATE_EXCEEDED, grant: colleagues"),
        ("", ", times: 2, wait: 59s", "refused, reason: RATE_EXCEEDED"),
        ("", ", times: 2, wait: 60s", "permitted"),
        (", times: 2", "", "permitted"),
        (", took: 20s", "", "refused, reason: BUDGET_SPENT"),
        (f", result: {{g: {'x' * 1016}}}", "", "refused, reason: BUDGET_SPENT"),
        ("", ", wait: 15m", "refused, reason: TASK_EXPIRED"),
    ],
)
def test_order_rates_budgets_and_time_evolve_along_a_sequence(
    first: str, last: str, verdict: str
) -> None:
    assert differences(SEQUENCE % (first, last, verdict), ORDERED) == [()]


def test_a_call_before_the_last_that_is_refused_fails_its_case() -> None:
    steps = SEQUENCE % ("", "", "permitted")
    text = steps.replace("{name: Ada}", "{name: Eve}")
    ((first, second),) = differences(text, ORDERED)
    assert first.startswith("call 1: expected to be permitted, was refused by")
    assert "call 2" in second
    expected = text.replace("{name: Eve}", "{name: Eve}, expect: {verdict: refused}")
    assert differences(expected.replace("verdict: permitted", "verdict: refused"), ORDERED) == [()]


def test_a_result_that_the_tool_could_not_give_fails_its_case() -> None:
    steps = SEQUENCE % (", result: [1]", "", "permitted")
    assert "the assumed result is no answer" in differences(steps, ORDERED)[0][0]


def test_an_opening_that_is_refused_is_a_verdict() -> None:
    text = CALL.format(arguments="{name: Ada}", expect="{verdict: refused, pointer: /friend}")
    bad = text.replace("call:", "variables: {friend: ada}, call:")
    foreign = text.replace("call:", "subject: agent:other, call:").replace(
        "pointer: /friend", "reason: OPENER_NOT_ALLOWED"
    )
    assert differences(bad) == [()]
    assert differences(foreign) == [()]


def test_a_grant_is_covered_once_it_permits_and_a_constraint_once_it_refuses() -> None:
    calls = [
        call
        for end in played(
            CALL.format(arguments="{name: Ada, times: 4}", expect="{verdict: refused}")
            + CALL.replace("name: one,", "name: two,").format(
                arguments="{name: Grace Hopper}", expect="{verdict: permitted}"
            )
        )
        for call in end.calls
    ]
    found = {(w.grant, w.what): w.covered for w in words(load_texts(SOURCES), calls)}
    assert found == {
        ("friends", "permits"): False,
        ("friends", "name: exact"): True,
        ("friends", "times: range"): True,
        ("colleagues", "permits"): True,
        ("colleagues", "name: length"): False,
        ("colleagues", "name: regex"): True,
        ("colleagues", "times: one_of"): False,
    }


WRONG = {
    "a task that there is none of": (
        HEAD.replace("task: greeting", "task: greetin")
        + CALL.format(arguments="{}", expect="{verdict: refused}"),
        "t.test.yaml:3:7: no task `greetin`; did you mean `greeting`?",
    ),
    "no task": (
        HEAD.replace("task: greeting\n", "")
        + CALL.format(arguments="{}", expect="{verdict: refused}"),
        "t.test.yaml:5:5: the case names no task; name it here, or once for all cases",
    ),
    "no call": (
        HEAD + "  - {name: one, expect: {verdict: refused}}\n",
        "t.test.yaml:6:5: a case has one of `call`, `sequence` and `output`",
    ),
    "a reason for a permission": (
        HEAD + CALL.format(arguments="{}", expect="{verdict: permitted, code: a.b}"),
        "t.test.yaml:6:82: `code` means nothing for what is permitted; remove it",
    ),
    "a reason that there is none of": (
        HEAD + CALL.format(arguments="{}", expect="{verdict: refused, reason: NOPE}"),
        "found the string `NOPE`",
    ),
    "a misspelt key": (
        HEAD + CALL.format(arguments="{}", expect="{verdit: refused}"),
        "t.test.yaml:6:62: unknown key `verdit`; did you mean `verdict`?",
    ),
    "a name twice": (
        HEAD + 2 * CALL.format(arguments="{}", expect="{verdict: refused}"),
        "t.test.yaml:7:12: case `one` stands here twice",
    ),
    "words that YAML readers take differently": (
        HEAD + CALL.format(arguments="{name: NO}", expect="{verdict: refused}"),
        "`NO` is false to some readers of YAML",
    ),
}


@pytest.mark.parametrize(("text", "problem"), WRONG.values(), ids=WRONG)
def test_a_case_that_cannot_be_meant_is_told_at_its_place(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_cases_are_no_manifests_and_manifests_no_cases(tmp_path: Path) -> None:
    directory = copytree(SHIPPED, tmp_path / "tree")
    (directory / "tasks" / "broken.test.yaml").write_text("kind: [")
    assert set(load_tree(directory).tasks) == set(load_tree(SHIPPED).tasks)
    with pytest.raises(ManifestErrors):
        load_cases(tree.collect_cases(directory).texts, [])


def test_cases_behind_links_and_other_endings_are_told(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "a.test.yml").write_text("")
    (tmp_path / "tasks" / "b.test.yaml").symlink_to("/etc/passwd")
    told = [str(problem) for problem in tree.collect_cases(tmp_path).problems]
    assert ["a.test.yml" in told[0], "b.test.yaml" in told[1]] == [True, True]
    assert tree.collect_cases(tmp_path).texts == {}


def command(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "manifest", "test", directory, *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_ends_with_what_the_cases_say(tmp_path: Path) -> None:
    directory = tmp_path / "tree"
    (directory / "greet").mkdir(parents=True)
    (directory / "tasks").mkdir()
    (directory / "greet" / "tool.yaml").write_text(TOOL)
    (directory / "tasks" / "greeting.yaml").write_text(TASK)
    none = command(directory)
    assert (none.returncode, "no cases" in none.stderr) == (1, True)
    holds = CALL.format(arguments="{name: Ada}", expect="{verdict: permitted}")
    file = directory / "tasks" / "greeting.test.yaml"
    file.write_text(HEAD + holds)
    assert command(directory).returncode == 0
    uncovered = command(directory, "--cover")
    assert (uncovered.returncode, "6 of 7" in uncovered.stderr) == (1, True)
    assert "tree/tasks/greeting.yaml:14" in uncovered.stdout
    file.write_text(HEAD + holds.replace("permitted", "refused"))
    failed = command(directory, "--json")
    (case,) = json.loads(failed.stdout)["cases"]
    assert failed.returncode == 1
    assert case["place"] == f"{directory}/tasks/greeting.test.yaml:6"
    assert case["differences"] == [
        f"expected to be refused, was permitted by {file.parent}/greeting.yaml:9 (grant `friends`)"
    ]
