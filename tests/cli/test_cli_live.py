"""Tasks and calls that live at a real broker while several commands deal with them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.cli.output import document as as_document
from tests.support.commands import Place, document, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WHO = ("--var", 'who="Ada"')
WAIT = json.dumps({"text": "wait"})


@pytest.fixture
def opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A task opened from the command line, its token where the next commands look for it."""
    monkeypatch.setenv("SANDBOX_BROKER", place.address)
    code, said = document("task", "open", "small-task", *WHO, "--lifetime", "5m")
    assert code == 0
    monkeypatch.setenv("SANDBOX_BROKER_TASK_TOKEN", said["token"])
    yield said
    run("task", "close", said["task"])


def test_a_task_outlives_the_command_that_opened_it(opened: dict[str, Any]) -> None:
    for left in ("hello", "again"):
        code, said = document("call", opened["task"], "small", json.dumps({"text": left}))
        assert (code, said["result"]) == (0, left)


def test_a_detached_call_is_watched_and_cancelled_by_others(opened: dict[str, Any]) -> None:
    task = opened["task"]
    code, said = document("call", task, "small", WAIT, "--detach", "--call-id", "slow")
    assert (code, said["state"], said["call_id"]) == (0, "RUNNING", "slow")
    code, said = document("calls", "cancel", task, "slow")
    assert (code, said["outcome"]) == (0, "CANCELLED")
    ended = run("calls", "watch", task, "slow", "--json")
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 1
    assert (events[-1]["event"], events[-1]["outcome"]) == ("ended", "CANCELLED")


def test_what_a_watched_call_says_is_shown_as_it_comes(opened: dict[str, Any]) -> None:
    run("call", opened["task"], "small", WAIT, "--detach", "--call-id", "slow")
    ended = run("calls", "watch", opened["task"], "slow")
    assert "progress\n  0.5\n" in ended.stdout
    assert "stdout\n  was sent wait\n" in ended.stdout
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.index("was sent wait") < ended.stdout.index("OK")


def test_its_opener_lets_a_task_live_longer(opened: dict[str, Any]) -> None:
    code, said = document("task", "extend", opened["task"], "10m")
    longer = datetime.fromisoformat(said["expires_at"]) - datetime.fromisoformat(
        opened["expires_at"]
    )
    assert (code, longer.total_seconds()) == (0, 300)


def test_a_closed_task_takes_nothing_more_and_is_closed_twice(opened: dict[str, Any]) -> None:
    for _ in range(2):
        code, said = document("task", "close", opened["task"])
        assert (code, said["cancelled_calls"]) == (0, 0)
    code, said = document("call", opened["task"], "small", json.dumps({"text": "late"}))
    assert (code, said["reason"]) == (1, "TASK_CLOSED")


def test_another_token_opens_nothing(
    opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_BROKER_TASK_TOKEN", "stolen")
    words = [("call", opened["task"], "small", WAIT), ("task", "extend", opened["task"], "10m")]
    words += [("calls", "watch", opened["task"], "c"), ("calls", "cancel", opened["task"], "c")]
    for command in words:
        code, said = document(*command)
        assert (code, said["reason"]) == (1, "TASK_NOT_FOUND"), as_document(said)


def test_detaching_needs_a_task_that_stays() -> None:
    ended = run("call", "small-task", "small", WAIT, *WHO, "--detach")
    assert ended.returncode == 2
    assert "mend: open one first: `sandbox-broker task open`" in ended.stderr


def test_an_open_task_without_its_token_is_told_what_is_missing() -> None:
    ended = run("call", "t-0123456789abcdef", "small", WAIT)
    assert ended.returncode == 2
    assert "SANDBOX_BROKER_TASK_TOKEN" in ended.stderr


def test_a_lifetime_that_is_none_is_a_mistake_of_usage() -> None:
    ended = run("task", "open", "small-task", "--lifetime", "soon")
    assert ended.returncode == 2
    assert "soon" in ended.stderr
