from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.workspaces.paths import MAX_DEPTH, PathRefused, is_kept, steps


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "a/",
        "a//b",
        ".",
        "..",
        "../x",
        "a/../../x",
        "./a",
        "a\x00b",
        "a\nb",
        "a\x1b[2Jb",
        "a\u202eb",
        "a\u200bb",
        "a\u3164b.csv",
        "a\u034fb.csv",
        "\ud800",
        "x" * 256,
        "ü" * 128,
        "/".join("a" * (MAX_DEPTH + 1)),
        "/".join(["x" * 200] * 6),
    ],
    ids=ascii,
)
def test_a_path_that_is_not_plainly_below_the_root_is_refused(path: str) -> None:
    with pytest.raises(PathRefused) as caught:
        steps(path)
    assert caught.value.pointer == "/path"


@pytest.mark.parametrize("path", ["a", "a b/c.txt", "...", "-rf", "日本/表.csv", "a\\b"])
def test_a_plain_path_is_its_names(path: str) -> None:
    assert "/".join(steps(path)) == path


@given(st.text())
def test_every_text_is_a_path_of_names_or_is_refused(path: str) -> None:
    try:
        names = steps(path)
    except PathRefused:
        return
    assert not {"", ".", ".."} & set(names)


@pytest.mark.parametrize(
    ("glob", "path", "kept"),
    [
        ("*.html", "out.html", True),
        ("*.html", "deep/out.html", False),
        ("**/*.html", "deep/er/out.html", True),
        ("**/*.html", "out.html", True),
        ("charts/*.png", "charts/a.png", True),
        ("charts/*.png", "charts/b/a.png", False),
        ("a?.csv", "ab.csv", True),
        ("a?.csv", "a/.csv", False),
        ("[a].csv", "a.csv", False),
        ("a.csv", "a.csv.html", False),
        ("*.html", "out.html\n", False),
        ("a.csv", "aXcsv", False),
    ],
)
def test_a_glob_is_for_the_whole_path(glob: str, path: str, *, kept: bool) -> None:
    assert is_kept(path, [glob]) is kept
