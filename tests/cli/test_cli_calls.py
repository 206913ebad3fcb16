"""`calls` on what a real broker wrote."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.keys import Keys
from tests.support.commands import Place, document, run
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Document

WHO = ("--var", 'who="Ada"')
HOSTILE = "\x1b[31mred\x1b]0;title\x07\u202eback\r\nresult\n"


def seen(text: str) -> bool:
    """Whether a terminal would show all of a text, and do nothing else."""
    return not any(unicodedata.category(char) in ("Cc", "Cf") and char != "\n" for char in text)


@pytest.fixture(scope="module")
def ran(place: Place, call_document: Document) -> tuple[str, str]:
    """Task and name of a call that ran, whose arguments are hostile to a terminal."""
    code, end = call_document("small-task", "small", json.dumps({"text": HOSTILE}), *WHO)
    assert code == 0
    return _named(place, end["record"])


@pytest.fixture(scope="module")
def refused(place: Place, call_document: Document) -> tuple[str, str]:
    """Task and name of a call that was refused."""
    code, end = call_document("small-task", "small", '{"text": "x", "by": "Bob"}', *WHO)
    assert (code, end["reason"]) == (1, "ARGUMENT_NOT_ALLOWED")
    listed = document("calls", "list", "--state", place.state, "--verdict", "refused")[1]["calls"]
    return listed[-1]["task"], listed[-1]["call"]


def _named(place: Place, record: object) -> tuple[str, str]:
    _, one = document("log", "show", str(record), "--state", place.state)
    return one["task"], one["call"]


def _is_closed(place: Place, call: tuple[str, str]) -> bool:
    return bool(document("calls", "show", *call, "--state", place.state)[1]["engine"])


def test_calls_are_listed_with_verdict_and_outcome(
    place: Place, ran: tuple[str, str], refused: tuple[str, str]
) -> None:
    ended = run("calls", "list", "--state", place.state)
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *rows = ended.stdout.splitlines()
    assert head.split()[:6] == ["decided", "(UTC)", "task", "call", "tool", "verdict"]
    (row,) = [row for row in rows if ran[1] in row]
    assert row.split()[2:7] == [*ran, "small", "permitted", "OK"]
    (row,) = [row for row in rows if refused[1] in row]
    assert row.split()[2:] == [*refused, "small", "refused", "ARGUMENT_NOT_ALLOWED"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--verdict", "permitted"), "ran"),
        (("--verdict", "refused"), "refused"),
        (("--reason", "ARGUMENT_NOT_ALLOWED"), "refused"),
        (("--outcome", "OK"), "ran"),
        (("--outcome", "TIMEOUT"), ""),
        (("--tool", "small", "--subject", "agent:tests", "--since", "1h"), "ran refused"),
        (("--tool", "large"), ""),
        (("--until", "2020-01-01"), ""),
    ],
    ids=str,
)
def test_a_list_of_calls_is_narrowed(
    place: Place,
    ran: tuple[str, str],
    refused: tuple[str, str],
    words: tuple[str, ...],
    found: str,
) -> None:
    code, said = document("calls", "list", "--state", place.state, *words)
    assert code == 0
    listed = {one["call"] for one in said["calls"]}
    names = {"ran": ran[1], "refused": refused[1]}
    assert listed & set(names.values()) == {names[name] for name in found.split()}


async def test_a_call_is_shown_from_what_was_proposed_to_what_came_back(
    place: Place, ran: tuple[str, str]
) -> None:
    await eventually(lambda: _is_closed(place, ran))
    ended = run("calls", "show", *ran, "--state", place.state)
    assert (ended.returncode, ended.stderr) == (0, "")
    titles = [line for line in ended.stdout.splitlines() if line and not line.startswith(" ")]
    for title in ("proposed", "what ran", "changed", "container", "stages", "the tool's log"):
        assert titles.count(title) == 1, title
    facts = dict(line.split(maxsplit=1) for line in titles if len(line.split()) > 1)
    assert facts["verdict"] == "permitted"
    assert facts["rule"] == "manifests/tasks/small.yaml:9"
    assert facts["outcome"].startswith("OK after")
    assert facts["labels"] == "untrusted, restricted, from small"
    for name in ("image", "plan digest", "walls digest", "memory peak", "processes, peak"):
        assert any(line.startswith(name) for line in titles), name
    assert {"match", "decide", "create", "readback", "run"} <= {line.split()[0] for line in titles}


def test_what_was_recorded_of_a_call_cannot_pass_for_our_own_words(
    place: Place, ran: tuple[str, str]
) -> None:
    for words in ((), ("--json",)):
        ended = run("calls", "show", *ran, "--state", place.state, *words)
        assert seen(ended.stdout), ascii(ended.stdout)
    ended = run("calls", "show", *ran, "--state", place.state)
    assert ended.stdout.splitlines().count("result") == 1  # the tool's log says it, too: set in
    _, said = document("calls", "show", *ran, "--state", place.state)
    assert json.loads(said["decision"]["text"]) == {"text": HOSTILE}


def test_nor_can_the_name_of_a_tool_that_nobody_has(place: Place, call_document: Document) -> None:
    code, end = call_document("small-task", "x\x1b[2J\nverdict  permitted", "{}", *WHO)
    assert (code, end["reason"]) == (1, "TOOL_NOT_GRANTED")
    _, listed = document("calls", "list", "--state", place.state, "--reason", "TOOL_NOT_GRANTED")
    last = listed["calls"][-1]
    shown = run("calls", "show", last["task"], last["call"], "--state", place.state)
    assert seen(shown.stdout), ascii(shown.stdout)
    verdicts = [line for line in shown.stdout.splitlines() if line.startswith("verdict")]
    assert [line.split()[1] for line in verdicts] == ["refused"]


def test_a_refused_call_shows_where_and_why(place: Place, refused: tuple[str, str]) -> None:
    ended = run("calls", "show", *refused, "--state", place.state)
    lines = ended.stdout.splitlines()
    assert any(line.split() == ["at", "/by"] for line in lines)
    assert "refused because" in lines
    assert "container" not in lines
    _, said = document("calls", "show", *refused, "--state", place.state)
    assert (said["permitted"], said["intent"], said["result"]) == (False, None, None)
    assert said["decision"]["refused"]["pointer"] == "/by"


def test_an_erased_call_shows_its_leaves_and_says_that_the_rest_is_gone(
    ran: tuple[str, str], copied: Path
) -> None:
    Keys.open(layout.keys_directory(copied)).destroy(ran[0])
    ended = run("calls", "show", *ran, "--state", copied)
    assert ended.returncode == 0
    assert "erased: the task's key was destroyed" in ended.stdout
    assert "red" not in ended.stdout.replace("destroyed", "")
    assert "walls digest" in ended.stdout


def test_without_the_keys_the_leaves_are_shown_and_it_is_said_why(
    ran: tuple[str, str], copied: Path
) -> None:
    (copied / "keys").chmod(0o755)
    code, said = document("calls", "show", *ran, "--state", copied)
    assert (code, said["decision"], said["outcome"]) == (0, None, "OK")
    assert "is open to others" in said["bodies_unreadable"]


def test_a_call_that_is_not_there_is_said_to_be_missing(place: Place) -> None:
    code, said = document("calls", "show", "t-1", "c-1", "--state", place.state)
    assert (code, said["error"]) == (1, "the log holds no call `c-1` of task `t-1`")


def test_a_time_that_is_none_is_told_apart_from_an_empty_answer(place: Place) -> None:
    code, said = document("calls", "list", "--state", place.state, "--since", "yesterday")
    assert (code, "`2026-03-01T09:30`" in said["error"]) == (2, True)
