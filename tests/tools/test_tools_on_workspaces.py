"""The tools that work on files, as they are built and run: real images, containers, filesystems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.tool_runs import TOOLS


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A workspace's files, some of them planted by a tool that means harm."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "flights.csv").write_text("carrier,delay\nUA,2\n-f,7\nDL,\n")
    (tmp_path / "in" / "a.json").write_text('{"items": [{"name": "x", "n": 1}, {"n": 2}]}\n')
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / ".ripgreprc").write_text("--files\n")
    (tmp_path / ".ignore").write_text("*\n")
    return tmp_path


def attempt(tool: str, where: Path, **arguments: object) -> dict[str, Any]:
    words = ["try", tool, json.dumps(arguments), "--json", "--files", str(where)]
    said = run("tool", *words, "--manifests", str(TOOLS))
    assert said.returncode in {0, 1}, said.stderr
    result: dict[str, Any] = json.loads(said.stdout)["result"]
    return result


def value(tool: str, where: Path, **arguments: object) -> Any:  # noqa: ANN401 - any JSON
    said = attempt(tool, where, **arguments)
    assert said["outcome"] == "OK", said
    return json.loads(said["result"])


def refused(tool: str, files: Path, **arguments: object) -> str:
    said = run(
        *("tool", "try", tool, json.dumps(arguments), "--files", str(files)),
        *("--manifests", str(TOOLS)),
    )
    assert said.returncode == 1
    return said.stderr


def test_files_are_read_written_and_listed(files: Path) -> None:
    assert value("read_file", files, path="in/flights.csv", lines=1) == {
        "text": "carrier,delay\n",
        "first_line": 1,
        "lines": 1,
        "more": True,
    }
    assert value("write_file", files, path="notes/a.md", text="# ü")["bytes"] == 4
    listed = value("list_files", files, path="in")["entries"]
    assert [entry["path"] for entry in listed] == ["in/a.json", "in/flights.csv"]


@pytest.mark.parametrize("path", ["link.csv", "folder/passwd"])
def test_what_was_planted_is_not_followed(files: Path, path: str) -> None:
    assert attempt("read_file", files, path=path)["outcome"] == "TOOL_ERROR"
    assert attempt("write_file", files, path=path, text="x", mode="append")["error"]


def test_lines_are_found_whatever_lies_in_the_workspace_to_steer_the_search(files: Path) -> None:
    found = value("text_search", files, pattern="^UA", path=".")
    assert found == "/workspace/in/flights.csv:2:UA,2\n"


def test_no_match_is_an_empty_text(files: Path) -> None:
    assert value("text_search", files, pattern="nowhere", path="in") == ""


@pytest.mark.parametrize("pattern", ["-f", "--files", "--pre=/bin/sh", "-f/etc/passwd"])
def test_a_pattern_that_looks_like_a_flag_is_a_pattern(files: Path, pattern: str) -> None:
    found = value("text_search", files, pattern=pattern, path="in", literal=True)
    assert found == ("/workspace/in/flights.csv:3:-f,7\n" if pattern == "-f" else "")


def test_a_glob_that_looks_like_a_flag_is_a_glob(files: Path) -> None:
    assert value("text_search", files, pattern="UA", path="in", only=["--pre=/bin/sh"]) == ""


def test_a_search_follows_no_link_within_the_workspace(files: Path) -> None:
    assert "root:" not in value("text_search", files, pattern="root", path=".")


def test_a_pattern_made_to_take_forever_does_not(files: Path) -> None:
    (files / "as.txt").write_text("a" * 100_000 + "!\n")
    assert value("text_search", files, pattern="((a*)*)*(a|aa)+$", path="as.txt") == ""


def test_a_pattern_that_would_fill_the_memory_is_an_error(files: Path) -> None:
    said = attempt("text_search", files, pattern="((a{1000}){1000}){1000}", path="in")
    assert said["error"]["code"] == "search_failed"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../etc", "leads upwards"),
        ("/etc/passwd", "is absolute"),
        ("in\x00/../../etc", "zero character"),
        ("in//flights.csv", "one spelling"),
    ],
)
def test_a_path_that_leads_elsewhere_reaches_no_program(files: Path, path: str, told: str) -> None:
    assert told in refused("text_search", files, pattern="x", path=path)


def test_json_is_queried_in_files_and_in_a_document(files: Path) -> None:
    names = value("json_query", files, filter="[.items[].name]", files=["in/a.json"])
    assert names == [["x", None]]
    assert value("json_query", files, filter=".[0]", document="[1] [2]", slurp=True) == [[1]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param('import $x "a" as $x; $x', "filter_invalid", id="import"),
        pytest.param("input_filename | halt_error", "filter_failed", id="halt"),
        pytest.param('"x" | error', "filter_failed", id="an error of the filter"),
        pytest.param("system(1)", "filter_invalid", id="no such function"),
    ],
)
def test_a_filter_reaches_no_file_of_its_own_choosing(files: Path, query: str, code: str) -> None:
    said = attempt("json_query", files, filter=query, document="{}")
    assert said["outcome"] == "TOOL_ERROR", said
    assert said["error"]["code"] == code
    assert "root:" not in said["error"]["message"]


@pytest.mark.parametrize(
    "query",
    [
        'import "in/a" as $x {search: "/workspace"}; $x',
        'import"in/a" as $x {search: "/workspace"}; $x',
        ' import\n@text "in/a" as $x {search: "/workspace"}; $x',
        'import # "\n"in/a" as $x {search: "/workspace"}; $x',
        '# x\nmodule {};import "in/a" as $x {search: "/workspace"}; $x',
        'include "/tool/main"; .',
    ],
)
def test_a_filter_brings_in_no_module(files: Path, query: str) -> None:
    """`in/a.json` would be one, and no grant that narrows `files` speaks of it."""
    refused("json_query", files, filter=query, document="1")


def test_a_field_may_be_called_import(files: Path) -> None:
    assert value("json_query", files, filter=".import", document='{"import": 1}') == [1]


def test_the_environment_of_a_filter_holds_nothing_to_tell(files: Path) -> None:
    (seen,) = value("json_query", files, filter="$ENV", document="{}")
    assert set(seen) == {
        *("HOME", "HOSTNAME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    }


def test_what_a_filter_writes_for_a_shell_is_a_text(files: Path) -> None:
    assert value("json_query", files, filter='@sh "rm \\(.)"', document='"$(id)"') == ["rm '$(id)'"]


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        pytest.param("[range(1e9)]", {"OUT_OF_MEMORY", "TIMEOUT"}, id="memory"),
        pytest.param("def f: f; f", {"TIMEOUT"}, id="no end"),
        pytest.param("range(1e9)", {"OUTPUT_LIMIT"}, id="a flood"),
        pytest.param("input_line_number | debug | halt", {"OK"}, id="an early end"),
    ],
)
def test_a_filter_is_held_to_its_limits(files: Path, query: str, outcome: set[str]) -> None:
    assert attempt("json_query", files, filter=query, document="1")["outcome"] in outcome


@pytest.mark.parametrize("query", ["--rawfile x /etc/passwd", "-n", "-L/etc"])
def test_a_filter_that_could_be_a_flag_reaches_no_program(files: Path, query: str) -> None:
    assert "begins with `-`" in refused("json_query", files, filter=query, document="1")
