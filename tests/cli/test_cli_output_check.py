"""`output check`: a destination's word on each line, without a broker."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.cli.output_check import _LONGEST
from tests.support.commands import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = "required: [a]\nadditionalProperties: false\nproperties: {a: {type: string}}\n"


def check(
    tmp_path: Path, lines: str, *words: str, kind: str = "schema", settings: str | None = SETTINGS
) -> subprocess.CompletedProcess[str]:
    named: tuple[str, ...] = ()
    if settings is not None:
        (tmp_path / "s.yaml").write_text(settings)
        named = ("--settings", "s.yaml")
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "output", "check", kind, *named, *words],
        cwd=tmp_path,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def verdicts(ended: subprocess.CompletedProcess[str]) -> list[tuple[int, str, str | None]]:
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    return [(one["line"], one["verdict"], one.get("code")) for one in told]


def test_each_line_gets_its_verdict_and_a_refused_one_ends_with_1(tmp_path: Path) -> None:
    lines = '{"value": {"a": "x"}}\n{"value": {"a": 1}}\n{"value": {}}\n'
    ended = check(tmp_path, lines, "--json")
    assert ended.returncode == 1
    assert verdicts(ended) == [
        (1, "accepted", None),
        (2, "refused", "schema.type"),
        (3, "refused", "schema.required"),
    ]
    assert check(tmp_path, '{"value": {"a": "x"}}').returncode == 0


def test_what_goes_out_is_told_in_its_one_form(tmp_path: Path) -> None:
    text = json.dumps({"value": "Hello,\u200b Ada"})
    ended = check(tmp_path, text, "--json", kind="model_text", settings=None)
    assert ended.returncode == 0
    told = json.loads(ended.stdout)
    assert told["value"] == "Hello, Ada"
    assert told["changes"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("null", "json.not_a_value"),
        ('{"value": {"a": "x"}, "more": 1}', "json.not_a_value"),
        ('{"value": {"a": "x", "a": "y"}}', "json.duplicate_key"),
        ('{"value": ' + "[" * 70 + "]" * 70 + "}", "json.too_deep"),
        ('{"value": {"a": "' + "x" * _LONGEST + '"}}', "json.too_large"),
        ('{"value": NaN}', "json.number"),
        ("\x1b[2J", "json.syntax"),
        ("", "json.syntax"),
    ],
)
def test_a_line_that_holds_no_value_is_refused_and_the_next_is_read(
    tmp_path: Path, line: str, code: str
) -> None:
    ended = check(tmp_path, f'{line}\n{{"value": {{"a": "x"}}}}\n', "--json")
    assert verdicts(ended) == [(1, "refused", code), (2, "accepted", None)]


def test_settings_that_are_wrong_are_told_at_their_place(tmp_path: Path) -> None:
    ended = check(tmp_path, "", kind="sql", settings="dialect: sqlite\nmax_row: 5\n")
    assert ended.returncode == 1
    assert "s.yaml:2:1: unknown key `max_row`; did you mean `max_rows`?" in ended.stderr
    ended = check(tmp_path, "", settings="type: [\n")
    assert ended.returncode == 1
    assert "s.yaml:" in ended.stderr


def test_nothing_of_a_line_reaches_the_terminal_raw(tmp_path: Path) -> None:
    ended = check(tmp_path, '{"value": {"a": "x", "\x1b[2J\u202e": 1}}\n')
    assert ended.returncode == 1
    assert ended.stdout.replace("\n", "").isprintable()


def test_a_destination_that_there_is_none_of_is_a_mistake_of_usage(tmp_path: Path) -> None:
    ended = check(tmp_path, "", kind="nowhere", settings=None)
    assert ended.returncode == 2
    assert "schema" in ended.stderr
