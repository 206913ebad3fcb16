"""SECURITY.md promises nothing that no test keeps."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def promises() -> list[str]:
    text = (ROOT / "SECURITY.md").read_text()
    rows = re.findall(r"^\| (.+\.) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) > 20
    return [kept for _, kept in rows]


def test_every_test_that_a_promise_names_exists() -> None:
    files = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    defined = {name for text in files.values() for name in re.findall(r"def (test_\w+)\(", text)}
    for kept in promises():
        for name in re.findall(r"`([^`]+)`", kept):
            assert name in defined or (ROOT / name) in files, f"SECURITY.md names `{name}`"


def test_every_promise_names_a_test() -> None:
    assert all("`" in kept for kept in promises())
