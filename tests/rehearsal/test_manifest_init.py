"""A first manifest loads as it stands, and its next steps work as they are printed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.manifests.loader import load_texts, load_tree
from sandbox_runtime.manifests.model import Tool
from sandbox_runtime.manifests.scaffold import task_files, tool_files
from tests.support.manifests import TOOL

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = Path(sys.executable).with_name("sandbox-broker")


def run(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def begun(cwd: Path, *words: str) -> Sequence[str]:
    ended = run(cwd, "manifest", "init", *words, "--json")
    assert ended.returncode == 0, ended.stderr
    following = json.loads(ended.stdout)["next"]
    assert isinstance(following, list)
    return following


@pytest.mark.parametrize("name", ["hello", "on", "null", "y", "a1", "some-tool"])
def test_a_first_tool_and_task_load_whatever_yaml_makes_of_their_names(name: str) -> None:
    tool = tool_files(name)[f"{name}/tool.yaml"]
    granted = load_texts({"tool.yaml": tool}).tools[name].manifest
    task = task_files(name, granted, "uid:0")[f"tasks/{name}.yaml"]
    tree = load_texts({"tool.yaml": tool, "task.yaml": task})
    assert tree.tasks[name].manifest.spec.grants[0].tool == name


def test_a_task_names_every_argument_that_steers_and_no_other() -> None:
    tool = load_texts({"tool.yaml": TOOL}).tools["greet"].manifest
    assert isinstance(tool, Tool)
    tree = load_texts(
        {"tool.yaml": TOOL, "task.yaml": task_files("t", tool, "uid:0")["tasks/t.yaml"]}
    )
    assert set(tree.tasks["t"].manifest.spec.grants[0].arguments) == {"name", "times"}


def test_the_next_steps_of_a_tool_and_a_task_work_as_printed(tmp_path: Path) -> None:
    steps = [*begun(tmp_path, "tool", "first-steps"), *begun(tmp_path, "task", "daily")]
    assert [step.split()[1:3] for step in steps] == [
        ["tool", "build"],
        ["tool", "try"],
        ["manifest", "check"],
        ["manifest", "test"],
    ]
    ends = [run(tmp_path, *shlex.split(step)[1:]) for step in steps]
    assert [end.returncode for end in ends] == [0, 0, 0, 0], [end.stderr for end in ends]
    assert "Hello, Ada!" in ends[1].stdout


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    begun(tmp_path, "tool", "hello", "--manifests", "tree")
    tree = tmp_path / "tree"
    before = (tree / "hello" / "tool.yaml").read_text()
    assert run(tmp_path, "manifest", "init", "tool", "hello", "--manifests", "tree").returncode == 1
    (tree / "other").mkdir()
    (tree / "other" / "main.py").write_text("mine")
    taken = run(tmp_path, "manifest", "init", "tool", "other", "--manifests", "tree")
    assert (taken.returncode, "is already there" in taken.stderr) == (1, True)
    assert (tree / "other" / "main.py").read_text() == "mine"
    assert not (tree / "other" / "tool.yaml").exists()
    (tree / "tasks").mkdir()
    (tree / "tasks" / "daily.yaml").symlink_to(tmp_path / "elsewhere")
    linked = run(tmp_path, "manifest", "init", "task", "daily", "--manifests", "tree")
    assert linked.returncode == 1
    assert not (tmp_path / "elsewhere").exists()
    assert (tree / "hello" / "tool.yaml").read_text() == before


def test_what_cannot_be_begun_says_why(tmp_path: Path) -> None:
    none = run(tmp_path, "manifest", "init", "task", "daily")
    assert (none.returncode, "no tool" in none.stderr) == (1, True)
    named = run(tmp_path, "manifest", "init", "tool", "../up")
    assert (named.returncode, "is no name" in named.stderr) == (2, True)
    begun(tmp_path, "tool", "hello")
    near = run(tmp_path, "manifest", "init", "task", "daily", "--tool", "helo")
    assert (near.returncode, "did you mean `hello`?" in near.stderr) == (2, True)
    assert set(load_tree(tmp_path / "tool_manifests").tools) == {"hello"}
