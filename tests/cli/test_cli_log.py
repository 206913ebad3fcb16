"""`log` on what a real broker wrote, while it runs, and on damaged copies of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import COMMAND, Place, document, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Document

WHO = ("--var", 'who="Ada"')
HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eback\u2066\u200b\r\x08"


def seen(text: str) -> bool:
    """Whether a terminal would show all of a text, and do nothing else."""
    return not any(unicodedata.category(char) in ("Cc", "Cf") and char != "\n" for char in text)


@pytest.fixture(scope="module")
def task(place: Place, call_document: Document) -> str:
    """Name of a task with one call, whose arguments are hostile to a terminal."""
    raw = json.dumps({"text": HOSTILE}, ensure_ascii=False)
    code, end = call_document("small-task", "small", raw, *WHO)
    assert code == 0
    _, one = document("log", "show", str(end["record"]), "--state", place.state)
    return str(one["task"])


def decision(place: Place, task: str) -> str:
    asked = ("--state", place.state, "--task", task, "--kind", "call.decided")
    return str(document("log", "list", *asked)[1]["records"][0]["sequence"])


def test_records_are_listed_beside_the_running_broker(place: Place, task: str) -> None:
    ended = run("log", "list", "--state", place.state, "--task", task)
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *lines = ended.stdout.splitlines()
    assert head.split() == ["seq", "time", "(UTC)", "kind", "task", "call", "what"]
    kinds = ["task.opened", "call.decided", "call.intent", "call.outcome"]
    assert [line.split()[3] for line in lines][:4] == kinds
    assert f"{lines[1]}".endswith("permitted by manifests/tasks/small.yaml:9")
    assert all(task in line for line in lines)


def test_a_list_is_narrowed_by_task_call_kind_and_number(place: Place, task: str) -> None:
    state = ("--state", place.state)
    _, everything = document("log", "list", *state)
    _, last = document("log", "list", *state, "--last", "2")
    assert last["records"] == everything["records"][-2:]
    _, one = document("log", "list", *state, "--task", task, "--kind", "call.intent")
    (intent,) = one["records"]
    _, same = document("log", "list", *state, "--call", intent["call"])
    assert {record["task"] for record in same["records"]} == {task}
    _, newest = document("log", "list", *state, "--call", intent["call"], "--last", "1")
    assert newest["records"] == same["records"][-1:]
    _, none = document("log", "list", *state, "--kind", "no.such")
    assert none == {"records": []}


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["for-people", "for-programs"])
def test_what_was_recorded_never_reaches_a_terminal_raw(
    place: Place, task: str, words: tuple[str, ...]
) -> None:
    number = decision(place, task)
    ended = run("log", "show", number, "--state", place.state, *words)
    assert ended.returncode == 0
    assert "red" in ended.stdout
    assert seen(ended.stdout), ascii(ended.stdout)
    if words:
        body = json.loads(ended.stdout)["opened_body"]
        assert json.loads(body["text"]) == {"text": HOSTILE}


def test_nor_does_what_a_tool_wrote_to_its_log(place: Place, task: str) -> None:
    asked = ("--state", place.state, "--task", task, "--kind", "call.closed")
    _, found = document("log", "list", *asked)
    for closed in found["records"]:
        ended = run("log", "show", str(closed["sequence"]), "--state", place.state)
        assert "was sent" in ended.stdout
        assert seen(ended.stdout), ascii(ended.stdout)


def test_a_record_that_is_not_there_is_said_to_be_missing(place: Place) -> None:
    ended = run("log", "show", "999999", "--state", place.state)
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: the log holds no record 999999\n"
        "mend: `sandbox-broker log list --last 1` shows the newest\n"
    )


def test_a_whole_log_verifies_beside_the_running_broker(place: Place, task: str) -> None:
    ended = run("log", "verify", "--state", place.state)
    assert ended.returncode == 0
    assert re.match(r"verified: \d+ records, \d+ bodies ", ended.stdout)
    code, said = document("log", "verify", "--state", place.state)
    assert (code, said["verified"]) == (0, True)
    _, listed = document("log", "list", "--state", place.state, "--task", task)
    assert said["records"] > len(listed["records"])


def test_without_the_keys_the_log_verifies_only_when_told_to_leave_its_bodies_closed(
    task: str, copied: Path
) -> None:
    assert task
    shutil.rmtree(copied / "keys")
    refused = run("log", "verify", "--state", copied)
    assert refused.returncode == 3
    assert "--sealed" in refused.stderr
    ended = run("log", "verify", "--sealed", "--state", copied)
    assert ended.returncode == 0
    assert "no body opened" in ended.stdout
    (segment,) = (copied / "log/log").iterdir()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    assert run("log", "verify", "--sealed", "--state", copied).returncode == 1


def test_a_changed_byte_is_found_and_its_place_named(task: str, copied: Path) -> None:
    assert task
    (segment,) = (copied / "log/log").iterdir()
    content = bytearray(segment.read_bytes())
    at = len(content) // 2
    content[at] ^= 1
    segment.write_bytes(content)
    ended = run("log", "verify", "--state", copied)
    assert ended.returncode == 1
    place = re.match(rf"error: log/{segment.name} at byte (\d+), record \d+: ", ended.stderr)
    assert place is not None, ended.stderr
    assert 0 < int(place[1]) <= at
    assert ended.stderr.endswith(
        "mend: keep the log as it is, and compare it with a copy from before\n"
    )
    code, said = document("log", "verify", "--state", copied)
    assert (code, said["verified"]) == (1, False)
    assert said["problem"]["offset"] == int(place[1])


def test_a_damaged_log_is_listed_up_to_the_damage(task: str, copied: Path) -> None:
    assert task
    (segment,) = (copied / "log/log").iterdir()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    _, found = document("log", "verify", "--state", copied)
    whole = found["problem"]["sequence"]
    code, said = document("log", "list", "--state", copied)
    assert code == 3
    assert [record["sequence"] for record in said["records"]] == list(range(whole))
    assert f"sequence {whole}" in said["error"]
    ended = run("log", "list", "--state", copied)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (3, whole + 1)


def test_where_there_is_no_log_the_place_is_asked_for(tmp_path: Path) -> None:
    for words in (("list",), ("verify",), ("show", "1")):
        ended = run("log", *words, "--state", tmp_path)
        assert ended.returncode == 2
        assert ended.stderr == (
            f"error: there is no log under `{tmp_path}`\n"
            "mend: name the broker's state directory with --state\n"
        )
        code, said = document("log", *words, "--state", tmp_path)
        assert (code, said["error"]) == (2, f"there is no log under `{tmp_path}`")


def test_keys_that_others_can_read_are_refused_and_leaves_are_shown_without(
    place: Place, task: str, copied: Path
) -> None:
    (copied / "keys").chmod(0o755)
    ended = run("log", "verify", "--state", copied)
    assert ended.returncode == 3
    assert f"`{copied}/keys` is open to others" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("mend: ")
    code, said = document("log", "show", decision(place, task), "--state", copied)
    assert (code, said["task"]) == (0, task)
    assert "is open to others" in said["opened_body"]["sealed"]


def test_a_reader_that_hangs_up_ends_the_list_without_a_word(place: Place) -> None:
    command = f"{COMMAND} log list --state {place.state} | head -1"
    ended = subprocess.run(  # noqa: S602 - a shell's own pipe is what is tested
        command, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split()[0] == "seq"
    assert ended.stderr == ""
