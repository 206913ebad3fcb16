"""Manifests that tests decide by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime.call import Checked, ModelContext, ProposedCall
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.records import Body, TaskOpened
from sandbox_runtime.task import OpenTask, TaskState, begin
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from sandbox_runtime.call import Candidate
    from sandbox_runtime.strict import Json

NOW = 1_800_000_000_000_000
MINUTE = timedelta(minutes=1) // timedelta(microseconds=1)

TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: greet, version: 1.0.0, owner: tests}
spec:
  description: Greet somebody.
  arguments:
    name: {type: string, role: control, maxLength: 100}
    times: {type: integer, role: control, minimum: 1, maximum: 10, default: 1}
    note: {type: string, default: ""}
    tags: {type: array, items: {type: string}, default: []}
  result: {schema: {type: object}, model_text: {}}
"""

TASK = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: greeting, version: 1.0.0, owner: tests}
spec:
  opened_by: ["agent:tests"]
  variables:
    friend: {type: string, regex: "[A-Z][a-z]+"}
  grants:
    - id: friends
      tool: greet
      why: to be polite
      max_calls: 2
      arguments:
        name: {exact: $friend}
        times: {range: {max: 3}}
    - id: colleagues
      tool: greet
      why: to be polite at work
      max_calls: 1
      arguments:
        name: {regex: "[A-Z][a-z]+ [A-Z][a-z]+", length: {max: 20}}
        times: {one_of: [1, 2]}
  budgets: {calls: 3, wall_time: 10s, result_bytes: 1Ki, refusals: 5, checks: 5}
"""

SOURCES = {"greet/tool.yaml": TOOL, "tasks/greeting.yaml": TASK}


def opened(**changes: object) -> TaskOpened:
    """Return the record that opened the task of these manifests."""
    record = TaskOpened(
        at=NOW,
        task="t-1",
        manifest="greeting",
        manifest_digest="sha256:0",
        tree_digest="sha256:0",
        subject="agent:tests",
        token_mac="0",  # noqa: S106 - of no token
        expires_at=NOW + 15 * MINUTE,
        prompt=("typed",),
        body=BODY,
    )
    return record.model_copy(update=changes)


BODY = Body(commitment="0" * 64, size=0, at=0)


def open_task(
    sources: dict[str, str] | None = None,
    state: TaskState | None = None,
    variables: dict[str, Json] | None = None,
) -> OpenTask:
    """Return an open task under the manifests of `sources`."""
    tree = load_texts(sources or SOURCES)
    manifest = next(iter(tree.tasks.values()))
    return OpenTask(
        state=state or begin(opened(), manifest.manifest.spec.grants),
        manifest=manifest,
        tools=tree.tools,
        variables=variables if variables is not None else {"friend": "Ada"},
    )


def with_state(task: OpenTask, **changes: object) -> OpenTask:
    """Return the task in another state."""
    return replace(task, state=replace(task.state, **changes))  # type: ignore[arg-type]


def propose(arguments: str, *, tool: str = "greet", call_id: str = "c-1") -> ProposedCall:
    """Return a call as the wire brings it."""
    return ProposedCall(
        task_id="t-1",
        call_id=call_id,
        tool=tool,
        text=arguments.encode(),
        subject="agent:tests",
        model=ModelContext(),
    )


def check(candidate: Candidate) -> Checked:
    """Return what the real destinations say, in this process."""
    value: Json = dict(candidate.arguments)
    return Checked(verdicts=tuple(examine(value, a.checks) for a in candidate.attempts))
