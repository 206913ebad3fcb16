"""`task` and `log tail` on what a real broker wrote, and goes on writing."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import Broker, attached, typed
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.keys import Keys
from tests.support.commands import COMMAND, Place, document, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Document

WHO = ("--var", 'who="Ada"')


@pytest.fixture(scope="module")
def task(place: Place, call_document: Document) -> str:
    """Name of a closed task with one call."""
    code, end = call_document("small-task", "small", '{"text": "fail"}', *WHO)
    assert code == 1
    _, one = document("log", "show", str(end["record"]), "--state", place.state)
    return str(one["task"])


def test_tasks_are_listed_with_who_opened_them_and_how_they_stand(place: Place, task: str) -> None:
    ended = run("task", "list", "--state", place.state)
    assert (ended.returncode, ended.stderr) == (0, "")
    (row,) = [row for row in ended.stdout.splitlines() if task in row]
    assert row.split()[2:] == [task, "small-task", "agent:tests", "closed", "1", "0", "0"]
    for words, there in (
        (("--subject", "agent:tests", "--manifest", "small-task"), True),
        (("--standing", "closed"), True),
        (("--standing", "open"), False),
        (("--subject", "agent:other"), False),
        (("--until", "1h"), False),
    ):
        _, said = document("task", "list", "--state", place.state, *words)
        assert (task in {one["task"] for one in said["tasks"]}) is there, words
    _, said = document("task", "list", "--state", place.state, "--last", "1")
    assert len(said["tasks"]) == 1


def test_a_task_is_shown_as_what_happened_in_order_and_what_it_spent(
    place: Place, task: str
) -> None:
    ended = run("task", "show", task, "--state", place.state)
    assert (ended.returncode, ended.stderr) == (0, "")
    for words in (
        "opened by agent:tests as small-task",
        "closed by agent:tests",
        "brought by the opener",
    ):
        assert words in ended.stdout
    _, said = document("task", "show", task, "--state", place.state)
    opened, called, closed = said["timeline"]
    assert [event["sequence"] for event in (opened, called, closed)] == sorted(
        event["sequence"] for event in said["timeline"]
    )
    assert "small: permitted by `sent`, TOOL_ERROR after" in called["what"]
    budgets = {one["name"]: (one["used"], one["granted"]) for one in said["budgets"]}
    assert budgets["calls"] == ("1", "20")
    assert budgets["grant `sent`"] == ("1", "3")
    assert said["brought"]["variables"] == {"who": "Ada"}
    assert said["variables"] == {"who": "opener"}
    assert said["manifest_digest"].startswith("sha256:")


def test_what_was_said_to_a_task_is_shown_cleaned_and_under_a_title(place: Place) -> None:
    hostile = "the red one\x1b[2K\u202e\nbudgets\n"
    with (
        Broker.connect(place.address) as broker,
        broker.open_task("small-task", prompt=[typed("paint")], variables={"who": "Eve"}) as task,
    ):
        task.add_input(attached(hostile))
        shown = run("task", "show", task.id, "--state", place.state)
        _, said = document("task", "show", task.id, "--state", place.state)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert said["standing"] == "open"
    assert said["said_later"] == [{"source": "attached", "text": hostile}]
    lines = shown.stdout.splitlines()
    assert (lines.count("budgets"), lines.count("  budgets")) == (1, 1)
    assert lines[lines.index("prompt, attached") + 1].startswith("  the red one")
    assert not {"\x1b", "\u202e"} & set(shown.stdout)


def test_an_erased_task_keeps_its_timeline(task: str, copied: Path) -> None:
    Keys.open(layout.keys_directory(copied)).destroy(task)
    code, said = document("task", "show", task, "--state", copied)
    assert (code, said["brought"], len(said["timeline"])) == (0, None, 3)
    assert said["bodies_unreadable"].startswith("erased: ")
    assert "Ada" not in run("task", "show", task, "--state", copied).stdout


def test_a_task_that_is_not_there_is_said_to_be_missing(place: Place) -> None:
    code, said = document("task", "show", "t-1", "--state", place.state)
    assert (code, said["error"]) == (1, "the log holds no task `t-1`")


def test_a_tail_is_the_end_of_the_list(place: Place, task: str) -> None:
    ended = run("log", "tail", "--state", place.state, "--task", task, "--last", "3", "--json")
    _, said = document("log", "list", "--state", place.state, "--task", task)
    assert [json.loads(line) for line in ended.stdout.splitlines()] == said["records"][-3:]
    ended = run("log", "tail", "--state", place.state, "--task", task, "--last", "3")
    assert len(ended.stdout.splitlines()) == 3


def test_a_tail_goes_on_with_what_the_broker_writes(place: Place, call_document: Document) -> None:
    words = [
        str(COMMAND),
        "log",
        "tail",
        "--state",
        str(place.state),
        "--follow",
        "--json",
        "--last",
        "1",
    ]
    asked = [*words, "--kind", "call.outcome"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as tail:  # noqa: S603
        try:
            assert tail.stdout is not None
            before = json.loads(tail.stdout.readline())
            code, end = call_document("small-task", "small", '{"text": "hello"}', *WHO)
            assert code == 0
            after = json.loads(tail.stdout.readline())
            assert after["kind"] == before["kind"] == "call.outcome"
            assert after["sequence"] > before["sequence"]
            assert after["sequence"] == int(end["record"])
        finally:
            tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0
