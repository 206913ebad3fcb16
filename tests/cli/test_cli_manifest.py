"""`manifest` on trees that load and trees that do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema_rs
from ruamel.yaml import YAML

from tests.support.commands import SMALL, document, run
from tests.support.serving import write_tree

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    **SMALL,
    "tasks/small.yaml": SMALL["tasks/small.yaml"].replace("tool: small", "tool: smaller"),
}


def test_a_tree_that_loads_is_listed(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", SMALL)
    ended = run("manifest", "check", tree)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split()[:4] for line in ended.stdout.splitlines()]
    assert rows == [
        ["kind", "name", "version", "file"],
        ["tool", "small", "1.0.0", f"{tree}/small/tool.yaml"],
        ["task", "small-task", "1.0.0", f"{tree}/tasks/small.yaml"],
    ]
    code, said = document("manifest", "check", tree)
    assert (code, list(said["tools"]), list(said["tasks"])) == (0, ["small"], ["small-task"])


def test_a_mistake_is_shown_with_its_place_and_its_mend(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", WRONG)
    ended = run("manifest", "check", tree)
    assert (ended.returncode, ended.stdout) == (1, "")
    first, problem, mend = ended.stderr.splitlines()
    assert first == "error: 1 problem:"
    assert problem.startswith(f"{tree}/tasks/small.yaml:10:13: ")
    assert problem.endswith("did you mean `small`?")
    assert mend == "mend: change these lines, then run it again"
    code, said = document("manifest", "check", tree)
    (told,) = said["problems"]
    assert (code, told["file"], told["line"]) == (1, f"{tree}/tasks/small.yaml", 10)
    assert told["mend"] == "did you mean `small`?"


def test_a_hostile_manifest_says_nothing_raw(tmp_path: Path) -> None:
    sources = {"a/tool.yaml": 'apiVersion: "x\\u001b[31m\\u202e"\nkind: Tool\n'}
    ended = run("manifest", "check", write_tree(tmp_path / "tree", sources))
    assert ended.returncode == 1
    assert "\x1b" not in ended.stderr
    assert "\u202e" not in ended.stderr


def test_a_tree_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    code, said = document("manifest", "check", tmp_path / "none")
    assert code == 2
    assert said["error"].endswith("does not exist")
    assert said["mend"] == "`sandbox-broker manifest check --help`"


def test_the_schema_takes_our_manifests_and_no_others() -> None:
    for kind, file in (("tool", "small/tool.yaml"), ("task", "tasks/small.yaml")):
        ended = run("manifest", "schema", kind)
        assert ended.returncode == 0
        schema = jsonschema_rs.validator_for(json.loads(ended.stdout))
        manifest = YAML(typ="safe", pure=True).load(SMALL[file])
        assert schema.is_valid(manifest)
        assert not schema.is_valid({**manifest, "also": 1})
    assert run("manifest", "schema", "tool", "--json").stdout.startswith("{")
