"""A broker whose task has files: real filesystems, scripted containers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.manifests import SOURCES, TASK, TOOL
from tests.support.serving import write_tree

if TYPE_CHECKING:
    from tests.support.serving import Served

WORKSPACE = """\
  workspace:
    size: 4Mi
    inodes: 64
    keep: ["out/*.json", "*.txt", "*.png", "link.md"]
    retain: 1h
    types: [application/json, text/plain, image/png, text/html]
"""
GRANT = """\
    - id: writing
      tool: write
      why: to leave word
      max_calls: 10
      arguments: {name: {}, times: {}}
"""
FILED = {
    **SOURCES,
    "write/tool.yaml": TOOL.replace("name: greet,", "name: write,").replace(
        "  result:", "  workspace: read_write\n  result:"
    ),
    "tasks/filing.yaml": TASK.replace("name: greeting", "name: filing").replace(
        "  grants:\n", f"{WORKSPACE}  grants:\n{GRANT}"
    ),
}
FRIEND = {"friend": "Ada"}


def filed(directory: Path) -> str:
    """Write manifests of a task with files below `directory`; return where."""
    return str(write_tree(directory / "filed", FILED))


def root(here: Served, task: str) -> Path:
    """Return where the host has a task's files: what a tool would write to."""
    return Path(here.settings.state_dir) / "workspaces" / task / "root"
