"""The command as its user has it: processes, a broker of its own, tools built for the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = Path(sys.executable).with_name("sandbox-broker")
SUBJECT = "agent:tests"
PATIENCE = 120
"""Seconds that any one command may take; building images is the longest."""

SMALL_TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: small, version: 1.0.0, owner: tests}
spec:
  description: Answer what was sent, fail, or hand over a file.
  program: {image: {build: .}, command: [/usr/bin/python3, -B, /tool/main.py]}
  arguments:
    text: {type: string, role: control, maxLength: 1000}
    by: {type: string, role: control, default: Ada}
  result:
    schema: {}
    model_text: {}
    artifacts: {types: [text/csv], max_count: 1, max_bytes: 1Ki}
"""
SMALL_PROGRAM = """\
import base64, json, os, sys, time

text = json.loads(sys.stdin.readline())["arguments"]["text"]
print("was sent", text, flush=True)
if text == "wait":
    os.write(3, b'{"progress": 0.5}\\n')
    time.sleep(9)
note = {"name": "note.csv", "type": "text/csv", "data": base64.b64encode(b"kept").decode()}
answers = {
    "fail": {"error": {"code": "asked", "message": "asked to fail"}},
    "file": {"result": "file", "artifacts": [note]},
    "many": {"result": {"count": 2**50, "none": None}},
}
os.write(3, json.dumps(answers.get(text, {"result": text})).encode() + b"\\n")
"""
SMALL_TASK = f"""\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {{name: small-task, version: 1.0.0, owner: tests}}
spec:
  opened_by: ["{SUBJECT}"]
  variables:
    who: {{type: string, regex: "[A-Z][a-z]+"}}
  grants:
    - id: sent
      tool: small
      why: to see what comes back
      max_calls: 3
      arguments: {{text: {{length: {{max: 500}}}}, by: {{exact: $who}}}}
"""
SMALL = {
    "small/tool.yaml": SMALL_TOOL,
    "small/main.py": SMALL_PROGRAM,
    "tasks/small.yaml": SMALL_TASK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one broker of a test keeps everything."""

    root: Path

    @property
    def manifests(self) -> Path:
        """Its tree of manifests and tools."""
        return self.root / "manifests"

    @property
    def state(self) -> Path:
        """Its log, keys and identity."""
        return self.root / "state"

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.root / "broker.yaml"

    @property
    def address(self) -> str:
        """Of its Unix socket."""
        return f"unix:{self.root}/run/b.sock"


def run(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `sandbox-broker` with these words, and return what it said and its exit code."""
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        timeout=PATIENCE,
        check=False,
    )


def document(*words: str | Path) -> tuple[int, dict[str, Any]]:
    """Run it with `--json`; return its exit code and the one document on standard output."""
    ended = run(*words, "--json")
    return ended.returncode, json.loads(ended.stdout)


def settle(root: Path, sources: Mapping[str, str], **settings: object) -> Place:
    """Write manifests, tools and settings below `root`, and build the tools."""
    place = Place(root=root)
    for name, text in sources.items():
        path = place.manifests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    configure(place, **settings)
    built = run("tool", "build", "--manifests", place.manifests)
    assert built.returncode == 0, built.stderr
    return place


def configure(place: Place, **settings: object) -> None:
    """Write the broker's settings. JSON is YAML."""
    chosen = {
        "state_dir": str(place.state),
        "manifests": str(place.manifests),
        "listen": {"socket": place.address.removeprefix("unix:")},
        "peers": [{"uid": os.geteuid(), "subject": SUBJECT}],
        **settings,
    }
    place.config.write_text(json.dumps(chosen))


@contextmanager
def serving(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` until the block ends; it must then end well."""
    with (
        place.root.joinpath("diagnostics").open("a") as diagnostics,
        subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, "serve", "--config", place.config],
            stdout=subprocess.PIPE,
            stderr=diagnostics,
            text=True,
        ) as broker,
    ):
        assert broker.stdout is not None
        try:
            first = broker.stdout.readline()
            assert first.startswith("ready on"), diagnostics.name
            yield broker
        finally:
            broker.send_signal(signal.SIGTERM)
            try:
                code = broker.wait(40)
            finally:
                broker.kill()
        assert code == 0, diagnostics.name
