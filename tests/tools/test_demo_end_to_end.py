"""The main job, as `make run` does it: real records, a real broker, real containers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox_runtime.cli.demo.story import STEPS, Verdict

CHECKOUT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("sandbox-broker")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `sandbox-broker demo --json` says, at a place of its own."""
    place = tmp_path_factory.mktemp("demo")
    ended = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "demo", "--json", "--place", place],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 0, (ended.stdout[-2000:], ended.stderr[-2000:])
    return dict(json.loads(ended.stdout))


def test_every_step_ends_as_its_story_says(shown: dict[str, Any]) -> None:
    told = [(call["verdict"], call["because"], call["surprise"]) for call in shown["calls"]]
    assert told == [(step.verdict, step.because, None) for step in STEPS]
    assert shown["as_expected"] is True


def test_nothing_is_left_running_and_the_log_verifies(shown: dict[str, Any]) -> None:
    assert (shown["containers_left"], shown["broker_exit_code"]) == (0, 0)
    assert shown["log"]["damage"] is None
    assert shown["log"]["records"] > 3 * len(STEPS)


def test_every_decision_names_the_line_that_made_it(shown: dict[str, Any]) -> None:
    for call in shown["calls"]:
        file, _, line = call["rule"].rpartition(":")
        text = (CHECKOUT / file).read_text().splitlines()[int(line) - 1]
        assert text.strip(), call["rule"]


def test_what_ran_is_what_was_put_together_and_not_what_was_proposed(
    shown: dict[str, Any],
) -> None:
    ran = [call["ran"]["query"] for call in shown["calls"] if "query" in (call["ran"] or {})]
    assert len(ran) == 3
    for query in ran[:1] + ran[2:]:
        assert "\"origin\" COLLATE BINARY = 'JFK'" in query
    assert not any("tailnum" in query for query in ran)


def test_what_is_refused_never_reaches_a_container(shown: dict[str, Any]) -> None:
    for call in shown["calls"]:
        assert ("create" in call["stages_ms"]) == (call["verdict"] != Verdict.REFUSED)


def test_the_chart_is_there(shown: dict[str, Any]) -> None:
    assert Path(shown["chart"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_wrong_manifest_is_told_files_travel_and_restarts_lose_nothing(
    shown: dict[str, Any],
) -> None:
    scenes = {scene["name"]: scene for scene in shown["scenes"]}
    assert set(scenes) == {
        *("wrong manifest", "file brought", "page fetched"),
        *("agent restarts", "broker restarts"),
    }
    assert not any(scene["surprise"] for scene in scenes.values())
    assert "tasks/monthly-delay-report.yaml:" in scenes["wrong manifest"]["saw"]


def test_the_page_that_was_fetched_runs_and_loads_nothing(shown: dict[str, Any]) -> None:
    page = Path(shown["chart"]).with_name("report.html").read_text()
    assert "July was the worst month." in page
    assert not any(planted in page for planted in ("<script", "203.0.113.7", "javascript:"))
