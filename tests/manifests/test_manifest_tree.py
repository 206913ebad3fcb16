"""Which files of a directory are manifests, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_runtime.manifests.loader import load_texts, load_tree
from sandbox_runtime.manifests.problems import ManifestErrors


@pytest.fixture
def tree(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "manifests"
    for name, file in (
        ("sql_query/tool.yaml", "query.yaml"),
        ("python_run/tool.yaml", "run.yaml"),
        ("tasks/report.yaml", "report.yaml"),
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(files[file])
    return root


def told(tree: Path) -> list[str]:
    with pytest.raises(ManifestErrors) as caught:
        load_tree(tree)
    return str(caught.value).splitlines()


def test_a_tree_loads_and_its_files_are_shown_below_its_name(tree: Path) -> None:
    catalogue = load_tree(tree)
    assert list(catalogue.sources) == [
        "manifests/python_run/tool.yaml",
        "manifests/sql_query/tool.yaml",
        "manifests/tasks/report.yaml",
    ]
    assert catalogue.tools["sql_query"].file == "manifests/sql_query/tool.yaml"
    assert load_texts(catalogue.sources) == catalogue


@pytest.mark.parametrize("typed", ["manifests", "./manifests", "../here/manifests", "."])
def test_files_are_shown_as_their_tree_was_typed(
    tree: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    here = tree.parent / "here"
    here.mkdir()
    tree.rename(here / "manifests")
    monkeypatch.chdir(here / "manifests" if typed == "." else here)
    (Path(typed) / "tasks" / "other.yaml").write_text("kind: Task\n")
    with pytest.raises(ManifestErrors) as caught:
        load_tree(Path(typed), shown=Path(typed))
    (file,) = {problem.file for problem in caught.value.problems}
    assert Path(file).samefile(Path(typed) / "tasks" / "other.yaml")
    assert file == str(Path(typed) / "tasks" / "other.yaml")


def test_a_folder_is_looked_for_however_the_tree_was_typed(tree: Path) -> None:
    tool = tree / "python_run" / "tool.yaml"
    tool.write_text(
        tool.read_text().replace("  arguments", "  program: {image: {build: none}}\n  arguments")
    )
    with pytest.raises(ManifestErrors, match="no folder") as caught:
        load_tree(tree, shown=tree)
    assert caught.value.problems[0].file == str(tool)


def test_other_files_are_no_manifests(tree: Path) -> None:
    (tree / "sql_query" / "query.test.yaml").write_text("not one")
    (tree / "README.md").write_text("not one")
    (tree / "tool.yaml").write_text("not one")
    assert len(load_tree(tree).sources) == 3


def test_one_bad_file_keeps_the_whole_tree_out(tree: Path) -> None:
    (tree / "tasks" / "other.yaml").write_text("kind: Task\n")
    assert told(tree) == [
        "manifests/tasks/other.yaml:1:1: missing key `apiVersion`",
        "manifests/tasks/other.yaml:1:1: missing key `metadata`",
        "manifests/tasks/other.yaml:1:1: missing key `spec`",
    ]


def test_a_symbolic_link_is_refused(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("kind: Task\n")
    (tree / "tasks" / "link.yaml").symlink_to(outside)
    problem = "a symbolic link; put the file itself here"
    assert told(tree) == [f"manifests/tasks/link.yaml:1:1: {problem}"]


def test_a_folder_that_is_a_symbolic_link_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "tool.yaml").write_text("kind: Tool\n")
    (tree / "linked").symlink_to(tmp_path / "elsewhere")
    problem = "a symbolic link; put the file itself here"
    assert told(tree) == [f"manifests/linked/tool.yaml:1:1: {problem}"]


def test_a_file_under_another_ending_is_told_and_not_ignored(tree: Path) -> None:
    (tree / "tasks" / "report.yaml").rename(tree / "tasks" / "report.yml")
    problem = "manifests end in `.yaml`; rename it"
    assert told(tree) == [f"manifests/tasks/report.yml:1:1: {problem}"]


def test_bytes_that_are_no_text_are_told_with_their_line(tree: Path) -> None:
    (tree / "tasks" / "report.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert told(tree) == ["manifests/tasks/report.yaml:1:1: not UTF-8 on line 2"]


def test_a_directory_in_a_files_place_is_told(tree: Path) -> None:
    (tree / "tasks" / "folder.yaml").mkdir()
    assert told(tree) == ["manifests/tasks/folder.yaml:1:1: not a regular file"]


def test_an_endless_file_is_not_read_to_its_end(tree: Path) -> None:
    with (tree / "tasks" / "big.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert told(tree) == ["manifests/tasks/big.yaml:1:1: longer than 1048576 bytes"]


def test_a_directory_without_manifests_is_told(tmp_path: Path) -> None:
    assert told(tmp_path) == [
        f"{tmp_path.name}:1:1: no manifests: none at `*/tool.yaml` or `tasks/*.yaml`"
    ]


def built_from(tree: Path, folder: str) -> None:
    path = tree / "python_run" / "tool.yaml"
    path.write_text(f"{path.read_text()}  program: {{image: {{build: {folder}}}}}\n")


def test_the_folder_of_an_image_has_to_be_there(tree: Path) -> None:
    built_from(tree, "image")
    problem = "no folder `manifests/python_run/image`"
    assert told(tree) == [f"manifests/python_run/tool.yaml:9:28: {problem}"]
    (tree / "python_run" / "image").mkdir()
    assert load_tree(tree).tools["python_run"].manifest.spec.program.image.build == "image"


def test_the_folder_of_an_image_leads_nowhere_else(tree: Path, tmp_path: Path) -> None:
    built_from(tree, "image")
    (tree / "python_run" / "image").symlink_to(tmp_path)
    problem = "`manifests/python_run/image` leads through a symbolic link"
    assert told(tree) == [f"manifests/python_run/tool.yaml:9:28: {problem}"]
