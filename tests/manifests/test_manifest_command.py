"""A program's words are made of canonical values, and no value becomes a flag."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.manifests.argv import WORD_MAX, Invocation, NoWord, invocation
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.model import Program
from sandbox_runtime.manifests.problems import ManifestErrors

TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: find_text}
spec:
  description: Find a text.
  program:
    transport: command
    argv:
      - /usr/bin/find-text
      - {argument: strict, flag: --strict}
      - {argument: most, flag: -n}
      - {argument: text, flag: --text}
      - {argument: show, choose: {lines: [], names: [--names, --sorted]}}
      - --
      - {argument: files, prefix: /workspace/}
    stdin: {argument: document}
    exits: {ok: [0, 1], errors: [{exit: 2, code: failed, message: it failed}]}
  arguments:
    strict: {type: boolean, default: false}
    most: {type: integer, default: 5}
    text: {type: string}
    show: {type: string, enum: [lines, names], default: lines}
    files: {type: array, items: {type: string}, default: [], path: {}}
    document: {type: object, default: {}}
  result: {schema: {type: string}, model_text: {}}
"""

VALUES: dict[str, Any] = {
    "strict": False,
    "most": 5,
    "text": "a",
    "show": "lines",
    "files": [],
    "document": {},
}


def program() -> Program:
    return load_texts({"t/tool.yaml": TOOL}).tools["find_text"].manifest.spec.program


def made(**values: Any) -> Invocation:  # noqa: ANN401 - any JSON
    return invocation(program(), {**VALUES, **values})


def told(old: str, new: str) -> str:
    assert old in TOOL
    with pytest.raises(ManifestErrors) as errors:
        load_texts({"t/tool.yaml": TOOL.replace(old, new)})
    (problem,) = errors.value.problems
    return str(problem).removeprefix("t/tool.yaml:")


def test_words_are_made_one_by_one() -> None:
    assert made() == Invocation(
        words=("/usr/bin/find-text", "-n5", "--text=a", "--"), stdin=b"{}", file=None
    )
    assert made(strict=True, most=-1, show="names", files=["a", "b/c"], document={"b": 1}) == (
        Invocation(
            words=(
                "/usr/bin/find-text",
                "--strict",
                "-n-1",
                "--text=a",
                "--names",
                "--sorted",
                "--",
                "/workspace/a",
                "/workspace/b/c",
            ),
            stdin=b'{"b":1}',
        )
    )


@pytest.mark.parametrize(
    ("values", "code"),
    [
        pytest.param({"text": "a\x00--strict"}, "command.zero", id="a zero"),
        pytest.param({"text": "a\nb"}, "command.line_end", id="a second line"),
        pytest.param({"text": "\ud800"}, "command.no_text", id="half a character"),
        pytest.param({"text": "x" * WORD_MAX}, "command.too_long", id="a word too long to exec"),
        pytest.param({"files": ["../etc/passwd"]}, "path.upwards", id="out of the workspace"),
        pytest.param({"files": ["/etc/passwd"]}, "path.absolute", id="an absolute path"),
        pytest.param({"files": ["a//b"]}, "path.spelling", id="a path that nobody checked"),
        pytest.param({"files": ["a" * 200] * 6000}, "command.too_long", id="too many words"),
    ],
)
def test_a_value_that_is_no_word_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(NoWord) as no:
        made(**values)
    assert no.value.code == code


def bare(words: str) -> Program:
    text = TOOL.replace("      - {argument: text, flag: --text}\n", words)
    return load_texts({"t/tool.yaml": text}).tools["find_text"].manifest.spec.program


def test_a_value_that_begins_with_a_dash_is_refused_where_it_could_be_a_flag() -> None:
    guarded = bare("      - {argument: text, dash: refused}\n")
    for text in ("-f/etc/passwd", "--file=/etc/passwd", "-"):
        with pytest.raises(NoWord) as no:
            invocation(guarded, {**VALUES, "text": text})
        assert no.value.code == "command.dash"
    assert "a-b" in invocation(guarded, {**VALUES, "text": "a-b"}).words


def test_behind_two_dashes_a_value_may_begin_with_one() -> None:
    ended = bare("      - --\n      - {argument: text}\n")
    words = invocation(ended, {**VALUES, "text": "-f/etc/passwd"}).words
    assert words.index("--") < words.index("-f/etc/passwd")


@given(st.text(max_size=60))
def test_whatever_is_written_no_word_becomes_a_flag_of_its_own(text: str) -> None:
    try:
        words = made(text=text).words
    except NoWord:
        return
    assert words == ("/usr/bin/find-text", "-n5", f"--text={text}", "--")


TOLD = {
    "no such argument": (
        ("{argument: text, flag: --text}", "{argument: txet, flag: --text}"),
        "12:20: the tool has no argument `txet`; did you mean `text`?",
    ),
    "an argument that nobody hears": (
        ("    document: {type: object, default: {}}", "    documents: {type: object}"),
        "16:23: the tool has no argument `document`; did you mean `documents`?",
    ),
    "a value that could be a flag": (
        ("{argument: text, flag: --text}", "{argument: text}"),
        (
            "12:9: a value of `text` that begins with `-` would be a flag here; put `--` before it,"
            " or `dash: refused` where the program knows no `--`"
        ),
    ),
    "a switch without a flag": (
        ("{argument: strict, flag: --strict}", "{argument: strict}"),
        "10:9: `strict` is a boolean, and no `flag` says what it switches; add `flag: --…`",
    ),
    "a choice left open": (
        ("names: [--names, --sorted]", "lines2: []"),
        "13:34: nothing is said of `names`; say `[]` where no word stands for a value",
    ),
    "a path that nobody checks": (
        ("default: [], path: {}", "default: []"),
        (
            "15:35: a `prefix` that ends with `/` takes a path, and `files` is none;"
            " add `path: {}` to it"
        ),
    ),
    "a prefix that is a flag": (
        ("prefix: /workspace/", "prefix: --file="),
        "15:35: a `prefix` is no flag; use `flag`",
    ),
    "a flag with a value in it": (
        ("flag: --text}", "flag: --text=x}"),
        "12:32: expected a flag like `-n` or `--max-count`, found the string `--text=x`",
    ),
    "a program found by its name": (
        ("- /usr/bin/find-text", "- find-text"),
        "9:9: the first word is the program's absolute path; like `/usr/bin/jq`",
    ),
    "no words": (
        ("    stdin: {argument: document}", "    stdin: {}"),
        "16:12: `stdin` is either an `argument` or a `file`",
    ),
    "an exit code twice": (
        ("ok: [0, 1]", "ok: [0, 2]"),
        "17:41: exit code `2` has a meaning already",
    ),
    "a command of the other transport": (
        ("transport: command", "transport: command\n    command: [/usr/bin/true]"),
        "8:5: `command` belongs to `transport: stdio`; remove it",
    ),
}


@pytest.mark.parametrize(("change", "said"), TOLD.values(), ids=TOLD)
def test_a_mistake_is_told_at_its_place(change: tuple[str, str], said: str) -> None:
    with pytest.raises(ManifestErrors) as errors:
        load_texts({"t/tool.yaml": TOOL.replace(*change)})
    assert said in [str(each).removeprefix("t/tool.yaml:") for each in errors.value.problems]


def test_every_argument_is_heard() -> None:
    assert told("    stdin: {argument: document}\n", "") == (
        "23:5: the program is never told `document`; use it in `argv` or `stdin`, or remove it"
    )


def test_words_belong_to_a_command_alone() -> None:
    with pytest.raises(ManifestErrors) as errors:
        load_texts({"t/tool.yaml": TOOL.replace("transport: command", "transport: stdio")})
    keys = [each.message for each in errors.value.problems]
    assert keys == [
        f"`{key}` belongs to `transport: command`" for key in ("argv", "stdin", "exits")
    ]
