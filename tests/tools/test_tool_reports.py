"""A page and a table are what they were told to be, and leave the workspace as they stand there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.html import page as pages
from sandbox_runtime.strict import Json
from tests.support.tool_runs import Ended, Run

Tool = Callable[..., Ended]

GRANTED: Json = {
    "types": ["text/html", "text/csv"],
    "html": {
        "links": {"hosts": ["good.example"]},
        "images": {"hosts": ["img.example"], "data": True},
    },
}
BODY = (
    '<h1>Delays &amp; more</h1><p><a href="https://good.example/">a</a>'
    '<img src="https://img.example/a.png" alt="b"><img src="data:image/gif;base64,QUJD"></p>'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture
def publish(run: Run, root: Path) -> Tool:
    def call(body: str, title: str = "A page", name: str = "report") -> Ended:
        words = {"name": name, "title": title, "body": body, "language": "de"}
        return run("reports", words, str(root), program="publish.py")

    return call


@pytest.fixture
def table(run: Run, root: Path) -> Tool:
    def call(columns: list[Any], rows: list[Any], files: list[str], caption: str = "") -> Ended:
        words = {"name": "t", "columns": columns, "rows": rows, "files": files, "caption": caption}
        return run("reports", words, str(root), program="table.py")

    return call


def leaving(file: Path) -> str:
    """Return what a file is once it has left."""
    content = base64.b64encode(file.read_bytes()).decode()
    left = registry.check("file", {"path": file.name, "content": content}, GRANTED).value
    assert isinstance(left, dict)
    return base64.b64decode(str(left["content"])).decode()


def test_a_page_is_written_and_told_by_name_size_and_digest(publish: Tool, root: Path) -> None:
    result = publish(BODY).result
    written = (root / "report.html").read_bytes()
    assert result == {
        "path": "report.html",
        "bytes": len(written),
        "digest": f"sha256:{hashlib.sha256(written).hexdigest()}",
    }
    assert [each.name for each in root.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "title", ["A page", "Ü <b> & \"q\" 'a'", "</title><script>x</script>", "two\n lines {style}"]
)
def test_a_page_leaves_as_it_was_written(publish: Tool, root: Path, title: str) -> None:
    publish(BODY, title)
    written = (root / "report.html").read_text()
    assert leaving(root / "report.html") == written
    assert pages.taken_apart(written) == pages.Page(
        language="de", title=" ".join(title.split()), body=BODY
    )


def test_what_was_not_cleaned_runs_nothing_and_does_not_leave(publish: Tool, root: Path) -> None:
    """Were the check before it left out, the page's policy and the check on leaving remain."""
    image = '<img src="https://evil.example; script-src *; x/">'
    publish(f'<p>a</p>{image}<script src="https://evil.example/"></script></body></html>{{title}}')
    assert "default-src 'none'; img-src 'none'; style" in (root / "report.html").read_text()
    assert "evil.example" not in leaving(root / "report.html")


def test_a_link_in_the_page_s_place_is_replaced_and_not_followed(
    publish: Tool, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("report.html", ".new-document"):
        (root / name).symlink_to("../secret")
    assert publish("<p>a</p>").result["path"] == "report.html"
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (root / "report.html").is_symlink()


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(publish: Tool, root: Path) -> None:
    (root / "report.html").mkdir()
    assert publish("<p>a</p>").error["code"] == "not_writable"
    assert [each.name for each in root.iterdir()] == ["report.html"]


COLUMNS = [
    {"heading": "name"},
    {"heading": "n", "format": "integer"},
    {"heading": "mean", "format": "number", "decimals": 1},
    {"heading": "share", "format": "percent", "decimals": 0},
]
ROWS = [["<b>Ü</b> & co", 3, 2.55, 0.5], ["=1+1", -1200, None, 1], [True, None, 3, 0]]


def test_a_table_is_answered_as_plain_text(table: Tool) -> None:
    result = table(COLUMNS, ROWS, [], "Delays").result
    assert result == {"text": result["text"], "rows": 3, "files": []}
    assert result["text"].splitlines() == [
        "Delays",
        "",
        "name               n  mean  share",
        "-------------  -----  ----  -----",
        "<b>Ü</b> & co      3   2.5   50 %",
        "=1+1           -1200        100 %",
        "yes                    3.0    0 %",
    ]


def test_a_long_table_is_shown_by_its_beginning(table: Tool) -> None:
    shown = table([{"heading": "x" * 60}], [[n] for n in range(150)], []).result["text"]
    assert shown.endswith("99\n… and 50 more rows")
    assert shown.startswith("x" * 39 + "…\n")


def test_a_table_s_files_leave_without_markup_or_formulas(table: Tool, root: Path) -> None:
    files = table(COLUMNS, ROWS, ["html", "csv"], "<i>Delays</i>").result["files"]
    assert [each["path"] for each in files] == ["t.html", "t.csv"]
    fragment = (root / "t.html").read_text()
    assert registry.check("html", fragment, {}).value == fragment
    assert "<caption>&lt;i&gt;Delays&lt;/i&gt;</caption>" in fragment
    assert '<td align="right">-1200</td>' in fragment
    assert fragment in leaving(root / "t.html")
    assert leaving(root / "t.csv").splitlines()[1:] == [
        "<b>Ü</b> & co,3,2.55,0.5",
        "'=1+1,-1200,,1",
        "True,,3,0",
    ]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (["a", 1, 2], "wrong_row"),
        (["a", "1", 2, 3], "wrong_value"),
        (["a", 1.5, 2, 3], "wrong_value"),
        (["a", True, 2, 3], "wrong_value"),
    ],
)
def test_a_value_that_does_not_suit_its_column_is_an_error_with_its_place(
    table: Tool, root: Path, row: list[Any], error: str
) -> None:
    said = table(COLUMNS, [ROWS[0], row], ["html"]).error
    assert said["code"] == error
    assert said["message"].startswith("row 2")
    assert list(root.iterdir()) == []
