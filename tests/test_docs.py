"""Whatever a page under docs/ tells its reader to type works as written.

A page's `console` blocks are run in order, against one broker that serves the shipped manifests and
that an agent has used: what a page needs beside that, it makes with its own commands. Its `python`
blocks are run after them, each with the names of those before it. A `yaml` block whose first line
is a file's name is written where it stands; other blocks are shown only.
"""

from __future__ import annotations

import os
import subprocess
from shutil import copytree
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import Broker, CallRefused
from tests.support.pages import TASK, File, blocks, steps
from tests.support.shipped import COMMAND, ROOT, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = sorted((ROOT / "docs").rglob("*.md"))
SOCKET = "unix:/run/sandbox-broker/broker.sock"
EVERYTHING = {"roles": ["opener", "agent", "approver", "auditor", "operator"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A working directory with the shipped manifests, and a task that an agent has used."""
    copytree(ROOT / "tool_manifests", tmp_path / "tool_manifests")
    peers = [{"uid": os.geteuid(), "subject": "uid:0", **EVERYTHING}]
    with serving(tmp_path, peers=peers) as address:
        yield tmp_path, used(address)


def used(address: str) -> str:
    """Open a task, have one call refused and one run; leave the task open."""
    with Broker.connect(address) as broker:
        task = broker.open_task("monthly-delay-report", variables={"origin": "JFK"})
        with pytest.raises(CallRefused):
            task.call("sql_query", {"query": "DELETE FROM flights"}, call_id="delete")
        task.call("sql_query", {"query": "SELECT month FROM flights"}, call_id="months")
    return task.id


def environment(here: Path) -> dict[str, str]:
    """Return where the command finds what a page leaves at its defaults."""
    return {
        **os.environ,
        "SANDBOX_BROKER": f"unix:{here / 'broker.sock'}",
        "SANDBOX_BROKER_CONFIG": str(here / "broker.yaml"),
        "SANDBOX_BROKER_STATE": str(here / "state"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_to_type_works_as_written(page: Path, place: tuple[Path, str]) -> None:
    here, task = place
    taken, address = steps(page), f"unix:{here / 'broker.sock'}"
    assert taken, "a page without a command shows its reader nothing"
    for command in taken:
        if isinstance(command, File):
            (here / command.name).write_text(command.text)
            continue
        words = [word.replace(TASK, task).replace(SOCKET, address) for word in command.words]
        ended = subprocess.run(  # noqa: S603 - our own command
            [COMMAND, *words],
            cwd=here,
            env=environment(here),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode == command.exits, f"{command.line}\n{ended.stdout}{ended.stderr}"
        assert "Traceback" not in ended.stderr, command.line
    names: dict[str, object] = {}
    for shown in blocks(page, "python"):
        # The page's own words.
        code = shown.replace(SOCKET, address).replace(TASK, task)
        exec(code, names)  # noqa: S102
