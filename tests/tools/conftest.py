"""What the tests of the tools need."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from tests.support.tool_runs import Run, run_tool


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs a tool's program on this machine."""
    return partial(run_tool, tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a small database with one row of each kind of value."""
    file = tmp_path / "small.db"
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE flights (carrier TEXT, delay REAL, month INTEGER, raw BLOB)")
        made.execute("INSERT INTO flights VALUES ('UA', 2.5, 1, x'00'), ('DL', NULL, 12, NULL)")
    made.close()
    return file
