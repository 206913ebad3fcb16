"""What does a first manifest look like?

Law: it loads as it stands, says what each of its words is for, and grants as little as can be
granted.
"""

from __future__ import annotations

import json
from string import Template
from typing import TYPE_CHECKING

from sandbox_runtime.manifests.model import Role
from sandbox_runtime.manifests.scalars import Ambiguous, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.model import Tool

EXAMPLE = '{"name": "Ada"}'
"""Arguments that the first tool takes."""

SCHEMAS = ".schema"
"""The folder of a tree where editors find what manifests may say; made by `manifest schema`."""

_TOOL = Template("""\
$editor
# What this tool is, and the most that it may ever do. A task's manifest can only say less.
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: $name, version: 0.1.0, owner: your-team}
spec:
  # A model reads this, and chooses by it.
  description: Greet somebody by name.

  arguments:
    name:
      type: string
      description: Whom to greet.
      # `control` steers what happens: a task that grants the tool has to say what it may be.
      # `content`, the default, is carried along and stays at the bounds that stand here.
      role: control
      minLength: 1
      maxLength: 100

  # What does not fit this never reaches the model; `model_text` takes out what nobody can see.
  result:
    schema:
      type: object
      required: [greeting]
      additionalProperties: false
      properties: {greeting: {type: string}}
    model_text: {}

  # What one call's container gets. What is left out is at its tightest.
  sandbox: {memory: 64Mi, wall_time: 5s, pids: 8}
""")

_PROGRAM = '''\
"""Reads one call from standard input and writes its answer to file descriptor 3."""

import json
import sys

call = json.load(sys.stdin)  # {"call_id": …, "arguments": {…}}
print("greeting", file=sys.stderr)  # the log, for operators; a model never sees it
with open(3, "w", encoding="utf-8") as answers:
    json.dump({"result": {"greeting": f"Hello, {call['arguments']['name']}!"}}, answers)
'''

_TASK = Template("""\
$editor
# What one kind of task may do: which tools, with arguments like what, how often, and why.
# What does not stand here does not happen.
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: $name, version: 0.1.0, owner: your-team}
spec:
  description: Say in a sentence what such a task is for.

  # Who may open one, as the connection tells: a token's `agent:…`, or a local user's `uid:…`.
  opened_by: ["$subject"]

  # How long it lives, unless its opener asks for more, and the most that may be asked for.
  lifetime: {default: 15m, max: 1h}

  grants:
    - id: first
      tool: $tool
      why: say why this task needs it; a reviewer reads it
      max_calls: 1
$arguments
  # What all calls together may spend.
  budgets: {calls: 10, wall_time: 30s, result_bytes: 64Ki}
""")

_CASES = Template("""\
$editor
# What the task's manifest shall permit, and what each of its words shall refuse.
apiVersion: sandbox-runtime/v1
kind: Test
task: $name

cases:
  - name: a tool that is not granted is not there
    call: {tool: some_other_tool, arguments: {}}
    expect: {verdict: refused, reason: TOOL_NOT_GRANTED}

  # - name: what it is for is permitted
  #   call: {tool: $tool, arguments: {…}}
  #   expect: {verdict: permitted, grant: first}
""")

_ARGUMENTS = """\
      # What each argument may be. `{}` leaves it at the tool's bounds; say less where you can:
      # {exact: …}, {one_of: […]}, {range: {max: …}}, {length: {max: …}}, {regex: "…"}.
      arguments:
"""


_TOOL_CASES = Template("""\
$editor
# What the tool is told under the task that grants it, and what never reaches it.
apiVersion: sandbox-runtime/v1
kind: Test
task: $name

cases:
  - name: a name is greeted
    call: {tool: $name, arguments: {name: Ada}}
    expect: {verdict: permitted, grant: first, arguments: {name: Ada}}

  - name: nobody is greeted without a name
    call: {tool: $name, arguments: {}}
    expect: {verdict: refused, reason: ARGUMENT_MISSING, pointer: /name}

  - name: a name is no novel
    call: {tool: $name, lengthy: {name: 101}}
    expect: {verdict: refused, code: schema.maxLength, pointer: /name}
""")


def tool_files(name: str) -> Mapping[str, str]:
    """Return the files of a first tool, by their paths below the tree."""
    return {
        f"{name}/tool.yaml": _TOOL.substitute(name=_word(name), editor=_editor("tool")),
        f"{name}/main.py": _PROGRAM,
    }


def task_files(name: str, tool: Tool, subject: str) -> Mapping[str, str]:
    """Return the files of a first task that grants `tool` and may be opened by `subject`."""
    words = {"name": _word(name), "tool": _word(tool.metadata.name)}
    task = _TASK.substitute(
        words, editor=_editor("task"), subject=subject, arguments=_arguments(tool)
    )
    return {
        f"tasks/{name}.yaml": task,
        f"tasks/{name}.test.yaml": _CASES.substitute(words, editor=_editor("test")),
    }


def tried_tool_files(name: str, subject: str) -> Mapping[str, str]:
    """Return the files of a first tool, a task of the same name that grants it, and its cases."""
    words = {"name": _word(name), "tool": _word(name)}
    granted = f"{_ARGUMENTS}        name: {{}}\n"
    task = _TASK.substitute(words, editor=_editor("task"), subject=subject, arguments=granted)
    return {
        **tool_files(name),
        f"{name}/{name}.test.yaml": _TOOL_CASES.substitute(words, editor=_editor("test")),
        f"tasks/{name}.yaml": task,
    }


def _editor(kind: str) -> str:
    """Return the line by which editors that speak to `yaml-language-server` find the schema."""
    return f"# yaml-language-server: $schema=../{SCHEMAS}/{kind}.json"


def _arguments(tool: Tool) -> str:
    known = tool.spec.arguments.items()
    control = [name for name, argument in known if argument.role is Role.CONTROL]
    lines = [f"        {_word(name)}: {{}}\n" for name in control]
    return "".join([_ARGUMENTS, *lines]) if lines else ""


def _word(name: str) -> str:
    """Return a name as YAML has it: quoted where readers would take it for something else."""
    try:
        return name if plain(name) == name else json.dumps(name)
    except Ambiguous:
        return json.dumps(name)
