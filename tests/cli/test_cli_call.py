"""`call` against a real broker, its real tool and its real log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.support.commands import document, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Document, Run

WHO = ("--var", 'who="Ada"')


def text(value: str) -> str:
    return json.dumps({"text": value})


def test_a_call_shows_its_result_and_ends_with_0(call: Run) -> None:
    ended = call("small-task", "small", text("hello"), *WHO)
    assert ended.returncode == 0
    assert re.match(r"OK \d+ ms, record \d+ of the log\n", ended.stdout)
    assert ended.stdout.endswith('result\n  "hello"\n')
    assert ended.stderr == ""


def test_a_call_s_document_says_all_of_it(call_document: Document) -> None:
    code, said = call_document("small-task", "small", text("many"), *WHO)
    assert code == 0
    assert said["outcome"] == "OK"
    assert said["result"] == {"count": 2**50, "none": None}
    assert (said["grant"], said["arguments"]) == ("sent", {"text": "many", "by": "Ada"})
    assert (said["tool_error"], said["integrity"]) == (None, "untrusted")
    assert said["record"] > 0


def test_a_tool_s_own_error_ends_with_1(call: Run, call_document: Document) -> None:
    ended = call("small-task", "small", text("fail"), *WHO)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[1:] == ["code   message", "asked  asked to fail"]
    code, said = call_document("small-task", "small", text("fail"), *WHO)
    assert (code, said["outcome"]) == (1, "TOOL_ERROR")
    assert said["tool_error"] == {"code": "asked", "message": "asked to fail"}


def test_checking_runs_nothing(call: Run, call_document: Document) -> None:
    ended = call("small-task", "small", text("hello"), *WHO, "--check")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        "would run under grant sent",
        "argument  as it would run",
        "by        Ada",
        "text      hello",
    ]
    code, said = call_document("small-task", "small", text("hello"), *WHO, "--check")
    assert (code, said["permitted"], said["arguments"]) == (0, True, {"text": "hello", "by": "Ada"})
    assert "record" not in said


def test_a_refusal_says_why_and_what_mends_it_and_ends_with_1(
    call: Run, call_document: Document
) -> None:
    ended = call("small-task", "small", text("x" * 501), *WHO)
    assert ended.returncode == 1
    assert ended.stdout == ""
    error, mend = ended.stderr.splitlines()
    assert error.startswith("error: ARGUMENT_NOT_ALLOWED at `/text`: ")
    assert mend.startswith("mend: ")
    code, said = call_document("small-task", "small", text("x" * 501), *WHO, "--check")
    assert (code, said["reason"], said["pointer"]) == (1, "ARGUMENT_NOT_ALLOWED", "/text")
    assert said["error"] == f"{said['reason']} at `/text`: {said['problem']} ({said['code']})"


def test_arguments_go_out_as_they_are_and_the_broker_judges_them(call_document: Document) -> None:
    for broken in ('{"text": ', '{"text": "a", "text": "b"}', "[]", '{"text": NaN}'):
        code, said = call_document("small-task", "small", broken, *WHO)
        assert (code, said["reason"]) == (1, "REQUEST_INVALID")
        assert "the arguments cannot be read" in said["error"]


def test_a_variable_that_is_no_json_is_mended_by_quotes() -> None:
    ended = run("call", "small-task", "small", "--var", "who=Ada")
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: the value of variable `who` is not JSON\n"
        "mend: strings need their quotes: `--var 'who=\"Ada\"'`\n"
    )
    ended = run("call", "small-task", "small", "--var", "who")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (2, "mend: write `--var NAME=JSON`")


def test_a_missing_variable_and_an_unknown_task_are_refused(call_document: Document) -> None:
    code, said = call_document("small-task", "small")
    assert (code, said["reason"], said["pointer"]) == (1, "VARIABLE_INVALID", "/who")
    code, said = call_document("no-such-task", "small")
    assert (code, said["reason"]) == (1, "MANIFEST_NOT_FOUND")
    assert said["mend"] == "this is for the platform-team to mend"


def test_where_no_broker_answers_the_end_is_3(tmp_path: Path) -> None:
    nobody = f"unix:{tmp_path}/b.sock"
    ended = run("call", "small-task", "small", "--broker", nobody)
    assert ended.returncode == 3
    assert ended.stderr == (
        f"error: no broker answers at `{nobody}`\n"
        "mend: start one with `sandbox-broker serve`, or name another with --broker\n"
    )
    code, said = document("call", "small-task", "small", "--broker", nobody)
    assert (code, said["error"]) == (3, f"no broker answers at `{nobody}`")


def test_what_is_no_address_of_a_broker_is_a_mistake_of_usage() -> None:
    ended = run("call", "small-task", "small", "--broker", "http://broker.example")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: `http://broker.example` is no place of a broker")


def test_artifacts_are_kept_where_the_user_says(call_document: Document, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    _, said = call_document("small-task", "small", text("file"), *WHO, "--save", kept)
    (file,) = said["artifacts"]
    assert file["file"] == str(kept / "note.csv")
    assert (kept / "note.csv").read_bytes() == b"kept"
    _, said = call_document("small-task", "small", text("file"), *WHO)
    assert said["artifacts"][0]["file"] is None


def test_an_artifact_is_not_written_through_a_link(call_document: Document, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("before")
    (tmp_path / "note.csv").symlink_to(victim)
    code, said = call_document("small-task", "small", text("file"), *WHO, "--save", tmp_path)
    assert code == 3
    assert said["error"].startswith(f"`{tmp_path}/note.csv`: ")
    assert victim.read_text() == "before"
