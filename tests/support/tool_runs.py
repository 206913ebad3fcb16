"""Runs a tool's program as the runner does: its own four descriptors, one call, one end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parents[2] / "tool_manifests"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a tool's program ended."""

    status: int
    lines: list[dict[str, Any]]
    printed: str
    log: str

    @property
    def result(self) -> dict[str, Any]:
        """The result of its only line."""
        (line,) = self.lines
        assert "result" in line, line
        return dict(line["result"])

    @property
    def error(self) -> dict[str, str]:
        """The error of its only line."""
        (line,) = self.lines
        assert line.keys() == {"error"}, line
        return dict(line["error"])


Run = Callable[..., Ended]


def run_tool(
    place: Path, tool: str, arguments: dict[str, Any], *words: str, program: str = "main.py"
) -> Ended:
    """Run `tool` with `arguments`, and words after its name if there are any."""
    call = {"call_id": "call-1", "arguments": arguments}
    (place / "0").write_text(json.dumps(call) + "\n")
    argv = [sys.executable, "-B", str(TOOLS / tool / program), *words]
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=descriptors(place))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    printed, log, answer = ((place / name).read_text() for name in "123")
    lines = [json.loads(line) for line in answer.splitlines()]
    return Ended(status=status, lines=lines, printed=printed, log=log)


def descriptors(place: Path) -> list[tuple[int, int, str, int, int]]:
    """Return what makes descriptors 0 to 3 the files of these names."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    modes = (os.O_RDONLY, write, write, write)
    return [
        (os.POSIX_SPAWN_OPEN, fd, str(place / str(fd)), mode, 0o600)
        for fd, mode in enumerate(modes)
    ]
