"""A broker as a user runs it: the command, the real engine, one tiny tool."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.evidence import layout
from sandbox_runtime.records import parse
from sandbox_runtime.sandbox.plan import LABEL

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from sandbox_runtime.records import Record

COMMAND = str(Path(sys.executable).with_name("sandbox-broker"))
FIRST_UID = 64300

TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: probe-e2e, version: 1.0.0, owner: tests}
spec:
  description: Do one of a few things that tools do.
  arguments:
    act: {type: string, role: control, maxLength: 20}
    text: {type: string, default: "", maxLength: 100}
  result: {schema: {type: object}, model_text: {}}
  sandbox: {wall_time: 5s, pids: 16, output: 64Ki, memory: 64Mi}
"""
TASK = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: probing, version: 1.0.0, owner: tests}
spec:
  opened_by: ["uid:0"]
  grants:
    - id: probe
      tool: probe-e2e
      why: to see what happens
      max_calls: 10
      arguments: {act: {one_of: [echo, wait, exit, flood, fork, memory]}}
  budgets: {calls: 20, wall_time: 100s}
"""
WRITER = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: note-e2e, version: 1.0.0, owner: tests}
spec:
  description: Write to a file and say what is in it.
  arguments:
    text: {type: string, role: control, maxLength: 100}
    seconds: {type: integer, default: 0}
  workspace: read_write
  result: {schema: {type: string}, model_text: {}}
  sandbox: {wall_time: 20s, pids: 16, memory: 64Mi}
"""
NOTES = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: noting, version: 1.0.0, owner: tests}
spec:
  opened_by: ["uid:0"]
  workspace: {size: 1Mi}
  grants:
    - {id: note, tool: note-e2e, why: to see what stays, max_calls: 20, arguments: {text: {}}}
  budgets: {calls: 20, wall_time: 200s}
"""
WRITING = """\
import json, os, sys, time
call = json.load(sys.stdin)["arguments"]
with open("/workspace/notes", "a") as notes:
    notes.write(call["text"])
time.sleep(call["seconds"])
said = open("/workspace/notes").read()
os.write(3, json.dumps({"result": said}).encode())
"""
PROGRAM = """\
import json, os, sys, time
call = json.load(sys.stdin)
act, text = call["arguments"]["act"], call["arguments"]["text"]
print("acting", act)
if act == "wait":
    time.sleep(600)
elif act == "exit":
    sys.exit(3)
elif act == "flood":
    while True:
        print("x" * 1000)
elif act == "fork":
    while True:
        os.fork()
elif act == "memory":
    held = [bytes(range(256)) * 4096 for _ in range(400)]
os.write(3, json.dumps({"result": {"said": text}}).encode())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker as a user runs it."""

    process: Process
    state: Path
    socket: str
    id: str

    def client(self) -> AsyncBroker:
        """Return a client."""
        return AsyncBroker.connect(self.socket)

    def records(self) -> list[Record]:
        """Return what its log holds."""
        return [parse(leaf) for _, leaf in layout.reader(self.state).read()]

    def kinds(self) -> list[str]:
        """Return the kinds of all records, in order."""
        return [record.kind for record in self.records()]

    def containers(self) -> list[str]:
        """Return the names of this broker's containers, dead ones included."""
        engine = docker.DockerClient.from_env()
        try:
            found = engine.containers.list(
                all=True, filters={"label": f"{LABEL}={self.id}"}, ignore_removed=True
            )
            return [str(each.name) for each in found]
        finally:
            engine.close()


Start = Callable[..., AbstractAsyncContextManager[Running]]
"""Starts a broker; what it is given changes its settings."""


def configured(directory: Path, manifests: Path, **changes: object) -> Path:
    """Write the settings of a broker below `directory`; return their file."""
    document = {
        "state_dir": str(directory / "state"),
        "manifests": str(manifests),
        "listen": {"socket": str(directory / "run/b.sock")},
        "validators": {"count": 2, "first_uid": FIRST_UID},
        **changes,
    }
    file = directory / "broker.yaml"
    file.write_text(json.dumps(document))
    return file
