"""The schema that editors get agrees with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema_rs import Draft202012Validator

from sandbox_runtime.cli.manifest_schema import write_schemas
from sandbox_runtime.cli.output import Failure
from sandbox_runtime.manifests.cases import Cases
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.model import Task, Tool
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.manifests.schema import KINDS, manifest_schema, schema_of
from sandbox_runtime.manifests.source import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.strict import Strict

SHIPPED = Path(__file__).parents[2] / "tool_manifests"


def valid(kind: str, text: str) -> bool:
    (document,) = read("f.yaml", text).documents
    return Draft202012Validator(manifest_schema(kind)).is_valid(document.data)


def test_manifests_that_load_match_the_schema_of_their_kind(files: dict[str, str]) -> None:
    assert valid("Tool", files["query.yaml"])
    assert valid("Tool", files["run.yaml"])
    assert valid("Task", files["report.yaml"])
    assert not valid("Tool", files["report.yaml"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_calls: 5", "max_cals: 5"),
        ("max_calls: 5", "max_calls: five"),
        ("max_calls: 5", "max_calls: 0"),
        ("default: 15m", "default: 15"),
        ("result_bytes: 1Mi", "result_bytes: 1000"),
        ("id: totals", "id: Totals"),
        ("      why: draw the chart\n", ""),
        ("max_rows: 100", "max_row: 100"),
        ('{regex: "(?s).*plot.*"}', "{regex: null}"),
        ("tenant: {type: integer}", "Tenant: {type: integer}"),
    ],
)
def test_a_manifest_that_its_schema_refuses_does_not_load(
    files: dict[str, str], old: str, new: str
) -> None:
    text = files["report.yaml"].replace(old, new)
    assert not valid("Task", text)
    with pytest.raises(ManifestErrors):
        load_texts({**files, "report.yaml": text})


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_of_a_schema_is_described_and_closed(kind: str) -> None:
    schema = manifest_schema(kind)
    models = {"": schema, **schema["$defs"]}
    for name, model in models.items():
        if model.get("type") == "object" and name != "SchemaSettings":
            assert model["description"], name
            assert model["additionalProperties"] is False, name


def test_a_schema_shows_defaults_as_a_manifest_writes_them() -> None:
    limits: dict[str, Any] = manifest_schema("Tool")["$defs"]["Limits"]["properties"]
    assert limits["memory"]["default"] == "128Mi"
    assert limits["wall_time"]["default"] == "10s"
    assert limits["pids"]["default"] == 32
    assert limits["memory"]["description"].startswith("Swap included")


NARROWED = """\
        tags:
          subset: [a, b]
          each: {any_of: [{exact: a}, {all_of: [{regex: b}, {not_one_of: [bb]}]}]}
        limit: {range"""


def narrowed(files: dict[str, str], old: str = "", new: str = "") -> str:
    text = files["report.yaml"].replace("        limit: {range", NARROWED)
    paced = text.replace(
        "why: draw", "after: [totals]\n      rate: {calls: 2, per: 1m}\n      why: draw"
    )
    assert old in paced
    return paced.replace(old, new)


def test_what_combines_orders_and_paces_matches_the_schema(files: dict[str, str]) -> None:
    assert valid("Task", narrowed(files))
    assert load_texts({**files, "report.yaml": narrowed(files)}).tasks


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("subset: [a, b]", "subset: []"),
        ("{exact: a}", "{exactt: a}"),
        ("{regex: b}", "{sql: {}}"),
        ("[bb]", "[[bb]]"),
        ("per: 1m", "per: 60"),
        ("calls: 2,", "calls: 0,"),
        ("after: [totals]", "after: totals"),
    ],
)
def test_what_combines_wrongly_matches_neither(files: dict[str, str], old: str, new: str) -> None:
    assert not valid("Task", narrowed(files, old, new))
    with pytest.raises(ManifestErrors):
        load_texts({**files, "report.yaml": narrowed(files, old, new)})


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*/*.test.yaml")), ids=lambda path: path.stem)
def test_the_shipped_cases_match_the_schema_of_cases(path: Path) -> None:
    (document,) = read(path.name, path.read_text()).documents
    validator = Draft202012Validator(schema_of(Cases))
    assert validator.is_valid(document.data)
    assert isinstance(document.data, dict)
    assert not validator.is_valid({**document.data, "case": []})


KNOWN = (Tool, Task, Cases)


def properties(model: type[Strict]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = schema_of(model)
    for name, one in {"": schema, **schema["$defs"]}.items():
        if one.get("type") == "object":
            for key, value in one.get("properties", {}).items():
                yield f"{name}.{key}", value


@pytest.mark.parametrize("model", KNOWN)
def test_every_key_is_told_of_in_a_sentence(model: type[Strict]) -> None:
    silent = [name for name, one in properties(model) if not one.get("description")]
    assert silent == []


@pytest.mark.parametrize("model", KNOWN)
def test_every_pattern_is_told_in_words(model: type[Strict]) -> None:
    own = [(name, one) for name, one in properties(model) if "pattern" in one]
    assert [name for name, one in own if "patternErrorMessage" not in one] == []


def test_each_word_of_a_choice_is_told_or_none_is() -> None:
    for model in KNOWN:
        for name, one in properties(model):
            if (told := one.get("enumDescriptions")) is not None:
                assert len(told) == len(one["enum"]), name
    roles = manifest_schema("Tool")["$defs"]["Role"]
    assert roles["enum"] == ["control", "content"]
    assert roles["enumDescriptions"][0].startswith("It decides what happens")


def test_schemas_are_written_over_links_and_not_through_them(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    tree = tmp_path / "tree"
    (tree / ".schema").mkdir(parents=True)
    (tree / ".schema" / "task.json").symlink_to(mine)
    written = write_schemas(tree)
    assert [path.name for path in written] == ["tool.json", "task.json", "test.json"]
    assert mine.read_text() == "mine"
    assert json.loads((tree / ".schema" / "task.json").read_text()) == manifest_schema("Task")
    assert [path.name for path in write_schemas(tree)] == [path.name for path in written]


def test_schemas_are_written_into_no_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".schema").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure, match="symbolic link"):
        write_schemas(tmp_path / "tree")
    assert not list((tmp_path / "elsewhere").iterdir())
