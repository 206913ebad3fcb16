"""What every command does alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.cli.output import FAULT, Failure, Output, document, printable, visible
from tests.support.commands import document as said_by
from tests.support.commands import run

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_bare_words_show_what_there_is() -> None:
    ended = run()
    assert ended.returncode == 2
    commands = ["serve", "doctor", "config", "call", "manifest", "tool", "task", "calls"]
    commands += ["file", "output", "identity", "log", "demo"]
    shown = ended.stderr.split("Commands:")[1].splitlines()
    assert [line.split()[0] for line in shown if line.strip()] == commands
    assert run("--help").returncode == 0
    assert "sandbox-broker" in run("--version").stdout


@pytest.mark.parametrize(
    "words", [("nosuch",), ("log", "nosuch"), ("log", "list", "--nosuch"), ("log", "show", "x")]
)
def test_a_mistake_of_usage_ends_with_2_and_the_way_to_help(words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.splitlines()[-1].endswith("--help`")
    code, said = said_by(*words)
    assert code == 2
    assert f"error: {said['error']}\n" in ended.stderr


@given(st.text())
def test_json_shows_every_character_and_means_the_same(text: str) -> None:
    shown = document({"text": text})
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == {"text": text}
    assert visible(shown) == shown


@given(st.text())
def test_what_is_printed_holds_no_escape_and_no_direction_control(text: str) -> None:
    assert not set(printable(text)) & set("\x1b\x9b\x07\x08\r\u202a\u202b\u202d\u202e\u2066")


def test_a_listing_that_fails_on_the_way_is_still_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def values() -> Iterator[dict[str, object]]:
        yield {"a": 1}
        yield {"a": "\u202e"}
        raise Failure("it broke", "mend it", FAULT, {"at": 3})

    output = Output(json=True)
    with pytest.raises(Failure) as caught:
        output.listing("values", values())
    with pytest.raises(SystemExit) as ended:
        output.fail(caught.value)
    said = capsys.readouterr()
    assert ended.value.code == FAULT
    assert json.loads(said.out) == {
        "values": [{"a": 1}, {"a": "\u202e"}],
        "error": "it broke",
        "mend": "mend it",
        "at": 3,
    }
    assert said.out.isascii()
    assert said.err == "error: it broke\nmend: mend it\n"


def test_markup_and_emoji_of_a_stranger_stay_what_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(json=False)
    output.table(("cell",), [("[bold red]no[/] :warning: \\",)])
    output.block("title [x]", "[/nothing] :bomb:")
    assert capsys.readouterr().out.splitlines() == [
        "cell",
        "[bold red]no[/] :warning: \\",
        "title [x]",
        "  [/nothing] :bomb:",
    ]
