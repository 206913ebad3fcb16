"""The files' tools stay below their folder, whatever lies in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.tool_runs import Ended, Run

Tool = Callable[..., Ended]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace, beside a file that is none of its."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "workspace"
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "out").symlink_to("..")
    os.mkfifo(root / "pipe.txt")
    return root


@pytest.fixture
def read(run: Run, root: Path) -> Tool:
    def call(path: str, first_line: int = 1, lines: int = 500) -> Ended:
        words = {"path": path, "first_line": first_line, "lines": lines}
        return run("files", words, str(root), program="read.py")

    return call


@pytest.fixture
def write(run: Run, root: Path) -> Tool:
    def call(path: str, text: str, mode: str = "create") -> Ended:
        words = {"path": path, "text": text, "mode": mode}
        return run("files", words, str(root), program="write.py")

    return call


@pytest.fixture
def listing(run: Run, root: Path) -> Tool:
    def call(path: str = ".", most: int = 200, *, deep: bool = False) -> Ended:
        words = {"path": path, "most": most, "deep": deep}
        return run("files", words, str(root), program="listing.py")

    return call


def test_a_file_is_read_whole_or_by_lines(read: Tool) -> None:
    whole = {"text": "one\ntwo\nthree\n", "first_line": 1, "lines": 3, "more": False}
    assert read("in/a.txt").result == whole
    part = {"text": "two\n", "first_line": 2, "lines": 1, "more": True}
    assert read("in/a.txt", 2, 1).result == part
    assert read("in/a.txt", 9).result["text"] == ""


ELSEWHERE = [
    pytest.param("link.txt", "not_a_file", id="a link"),
    pytest.param("out/secret.txt", "not_a_folder", id="a folder that is a link"),
    pytest.param("pipe.txt", "not_a_file", id="a pipe"),
    pytest.param("in", "not_a_file", id="a folder"),
    pytest.param(".", "not_a_file", id="the root"),
    pytest.param("../secret.txt", "not_relative", id="upwards, had nobody checked"),
    pytest.param("/etc/passwd", "not_relative", id="absolute, had nobody checked"),
]


@pytest.mark.parametrize(("path", "code"), ELSEWHERE)
def test_nothing_but_a_file_below_is_read(read: Tool, path: str, code: str) -> None:
    assert read(path).error["code"] == code


@pytest.mark.parametrize(("path", "code"), ELSEWHERE)
def test_nothing_but_a_file_below_is_appended_to(
    write: Tool, root: Path, path: str, code: str
) -> None:
    assert write(path, "x", "append").error["code"] == code
    assert (root.parent / "secret.txt").read_text() == "secret"


def test_what_is_not_there_is_missing(read: Tool) -> None:
    assert read("in/b.txt").error["code"] == "missing"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"\xff\xfe", "not_text", id="no UTF-8"),
        pytest.param(b"a\x00b", "not_text", id="a zero"),
        pytest.param(b"x" * 70_000, "line_too_long", id="a long line"),
        pytest.param(b"x" * 999 + b"\n" + (b"y" * 999 + b"\n") * 99, "too_long", id="many lines"),
    ],
)
def test_what_is_no_text_for_an_answer_is_an_error(
    read: Tool, root: Path, content: bytes, code: str
) -> None:
    (root / "b.txt").write_bytes(content)
    assert read("b.txt").error["code"] == code


def test_a_new_file_is_written_whole_and_its_folders_made(write: Tool, root: Path) -> None:
    said = write("notes/today/a.md", "# ü\n").result
    content = (root / "notes/today/a.md").read_bytes()
    assert said == {
        "path": "notes/today/a.md",
        "bytes": len(content),
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
    }
    assert [each.name for each in (root / "notes/today").iterdir()] == ["a.md"]


def test_a_file_is_replaced_or_added_to_only_where_that_is_said(write: Tool, root: Path) -> None:
    assert write("in/a.txt", "new").error["code"] == "exists"
    assert write("in/a.txt", "four\n", "append").result["bytes"] == 19
    assert write("in/a.txt", "new", "replace").result["bytes"] == 3
    assert (root / "in/a.txt").read_text() == "new"


@pytest.mark.parametrize("path", [".new-file", "in/.new-file", ".new-file/a.md"])
@pytest.mark.parametrize("mode", ["create", "replace", "append"])
def test_the_name_of_what_is_being_written_is_nobody_s(
    write: Tool, root: Path, path: str, mode: str
) -> None:
    """It would be removed at the end; as a folder it would be in every later file's way."""
    assert write(path, "x", mode).error["code"] == "name_taken"
    assert not list(root.rglob(".new-file"))


def test_replacing_a_link_replaces_the_link_and_not_what_it_leads_to(
    write: Tool, root: Path
) -> None:
    write("link.txt", "mine", "replace")
    assert not (root / "link.txt").is_symlink()
    assert (root.parent / "secret.txt").read_text() == "secret"


def test_nothing_is_written_through_a_folder_that_is_a_link(write: Tool, root: Path) -> None:
    assert write("out/b.txt", "x").error["code"] == "not_a_folder"
    assert not (root.parent / "b.txt").exists()


def test_a_listing_says_what_each_thing_is(listing: Tool) -> None:
    said = listing(deep=True).result
    assert said == {
        "entries": [
            {"path": "in", "kind": "folder"},
            {"path": "in/a.txt", "kind": "file", "bytes": 14},
            {"path": "link.txt", "kind": "link"},
            {"path": "out", "kind": "link"},
            {"path": "pipe.txt", "kind": "other"},
        ],
        "more": False,
    }


def test_a_long_listing_is_cut_and_says_so(listing: Tool) -> None:
    said = listing(most=2).result
    assert ([entry["path"] for entry in said["entries"]], said["more"]) == (
        ["in", "link.txt"],
        True,
    )


@pytest.mark.parametrize("path", ["out", "link.txt", "in/a.txt"])
def test_nothing_but_a_folder_below_is_listed(listing: Tool, path: str) -> None:
    assert listing(path).error["code"] == "not_a_folder"


def test_a_name_that_is_no_text_is_listed_all_the_same(listing: Tool, root: Path) -> None:
    Path(os.fsdecode(bytes(root / "in") + b"/\xff.txt")).touch()
    paths: list[Any] = [entry["path"] for entry in listing("in").result["entries"]]
    assert paths == ["in/a.txt", "in/?.txt"]
