"""What a loaded catalogue knows: meanings, digests, places and its own texts."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from pydantic import ValidationError

from sandbox_runtime.manifests.catalogue import Place
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.model import Grant, Limits


def test_a_manifest_says_what_its_text_says(files: dict[str, str]) -> None:
    catalogue = load_texts(files)
    task = catalogue.tasks["monthly-report"].manifest
    assert list(catalogue.tools) == ["python_run", "sql_query"]
    assert task.spec.opened_by == ("agent:reporting",)
    assert task.spec.lifetime.default == timedelta(minutes=15)
    assert task.spec.budgets.result_bytes == 1 << 20
    assert [grant.max_calls for grant in task.spec.grants] == [5, 1]


def test_what_is_left_out_is_at_its_tightest(files: dict[str, str]) -> None:
    spec = load_texts(files).tools["python_run"].manifest.spec
    assert spec.sandbox == Limits()
    assert spec.sandbox.memory == 128 << 20
    assert spec.data == ()
    assert spec.result.artifacts.max_count == 0
    assert spec.result.labels.integrity == "untrusted"


def test_loading_a_catalogues_own_texts_gives_it_again(files: dict[str, str]) -> None:
    catalogue = load_texts(files)
    again = load_texts(catalogue.sources)
    assert again == catalogue
    assert again.digest == catalogue.digest


def test_a_digest_does_not_see_comments_order_or_layout(files: dict[str, str]) -> None:
    text = files["run.yaml"]
    laid_out = (
        "# A tool.\n"
        + text.replace("apiVersion: sandbox-runtime/v1\nkind: Tool\n", "")
        + "kind: 'Tool'\napiVersion: \"sandbox-runtime/v1\"\n"
    )
    one, other = load_texts({"a.yaml": text}), load_texts({"b.yaml": laid_out})
    assert one.digest == other.digest
    assert one.tools["python_run"].digest == other.tools["python_run"].digest


def test_a_digest_does_not_see_whether_a_default_is_written_out(files: dict[str, str]) -> None:
    text = files["run.yaml"]
    written = f"{text}  sandbox: {{memory: 131072Ki, wall_time: 10000ms}}\n"
    assert load_texts({"a": text}).digest == load_texts({"a": written}).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_calls: 5", "max_calls: 6"),
        ("equals: $tenant", "one_of: [$tenant]"),
        ("equals: $tenant", "equals: $tenant, at_least: 1"),
        ("[id, total, month]", "[id, month, total]"),
        ("{max: 1000}", "{max: 999}"),
        ("review: PR-123", "review: PR-124"),
    ],
)
def test_a_digest_sees_every_change_of_meaning(files: dict[str, str], old: str, new: str) -> None:
    changed = {**files, "report.yaml": files["report.yaml"].replace(old, new)}
    before, after = load_texts(files), load_texts(changed)
    assert before.tasks["monthly-report"].digest != after.tasks["monthly-report"].digest
    assert before.tools["sql_query"].digest == after.tools["sql_query"].digest
    assert before.digest != after.digest


def test_a_digest_tells_a_filter_for_null_from_no_filter(files: dict[str, str]) -> None:
    def digest(rows: str) -> str:
        text = files["report.yaml"].replace("{equals: $tenant}", rows)
        return load_texts({**files, "report.yaml": text}).digest

    assert digest("{one_of: [$tenant]}") != digest("{one_of: [$tenant], equals: null}")


def test_a_rule_is_found_at_its_line(files: dict[str, str]) -> None:
    task = load_texts(files).tasks["monthly-report"]
    path = ("spec", "grants", 0, "arguments", "query", "sql", "tables")
    assert task.place(path) == Place(file="report.yaml", line=20, column=13)
    assert str(task.place(path)) == "report.yaml:20"
    assert task.name == "monthly-report"


def test_a_rule_that_is_not_written_is_found_at_what_would_hold_it(files: dict[str, str]) -> None:
    catalogue = load_texts(files)
    task, tool = catalogue.tasks["monthly-report"], catalogue.tools["python_run"]
    assert str(task.place(("spec", "grants", 1, "max_calls"))) == "report.yaml:25"
    assert str(tool.place(("spec", "sandbox", "memory"))) == "run.yaml:4"
    assert str(tool.place(())) == "run.yaml:1"


def test_nothing_loaded_can_be_changed(files: dict[str, str]) -> None:
    catalogue = load_texts(files)
    grant: Grant = catalogue.tasks["monthly-report"].manifest.spec.grants[0]
    with pytest.raises(ValidationError):
        grant.max_calls = 100  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.digest = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        catalogue.tools["x"] = catalogue.tools["sql_query"]  # type: ignore[index]
