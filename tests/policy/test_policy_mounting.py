"""A call finds its task's files if it asks for them, and is refused where there are none."""

from __future__ import annotations

import json

import pytest

from sandbox_runtime.call import Candidate, Permitted, Refused
from sandbox_runtime.errors import Reason
from sandbox_runtime.policy import decide, match
from sandbox_runtime.server.tools import listed
from sandbox_runtime.strict import Json
from tests.support.manifests import NOW, TASK, TOOL, check, open_task, propose

ASKING = TOOL.replace(
    "  result:",
    """\
    keep: {type: array, default: []}
    load: {type: object, default: {}}
    save: {type: boolean, default: false}
    last: {type: integer, default: 1}
  workspace: {mount: read_only, asked_by: [keep, load, save, note]}
  result:""",
)
HOUSED = TASK.replace("  grants:\n", "  workspace: {size: 1Mi}\n  grants:\n")


def decided(arguments: Json, task: str = HOUSED, tool: str = ASKING) -> Permitted | Refused:
    opened = open_task({"greet/tool.yaml": tool, "tasks/greeting.yaml": task})
    candidate = match(opened, propose(json.dumps(arguments)), NOW)
    assert isinstance(candidate, Candidate)
    return decide(opened, candidate, check(candidate), NOW)


NOTHING: list[Json] = [
    {},
    {"keep": []},
    {"load": {}},
    {"save": False},
    {"note": ""},
    {"tags": ["x"]},
]


@pytest.mark.parametrize("arguments", NOTHING)
@pytest.mark.parametrize("task", [HOUSED, TASK], ids=["with files", "without"])
def test_a_call_that_does_not_ask_runs_without_files(task: str, arguments: dict[str, Json]) -> None:
    decision = decided({"name": "Ada", **arguments}, task)
    assert isinstance(decision, Permitted)
    assert decision.workspace is None


ASKED = [("keep", [0]), ("keep", [None]), ("load", {"a": None}), ("save", True), ("note", " ")]


@pytest.mark.parametrize(("name", "value"), ASKED)
def test_a_call_that_asks_finds_the_files_or_is_refused_where_there_are_none(
    name: str, value: Json
) -> None:
    decision = decided({"name": "Ada", name: value})
    assert isinstance(decision, Permitted)
    assert decision.workspace == "read_only"
    refused = decided({"name": "Ada", name: value}, TASK)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.code) == (Reason.WORKSPACE_NOT_GRANTED, "workspace.none")
    assert (refused.pointer, refused.grant) == (f"/{name}", "friends")
    assert refused.hint == f"this task has no workspace; leave `{name}` out"


def test_zero_is_no_empty_value() -> None:
    asking = ASKING.replace("[keep, load, save, note]", "[last]")
    decision = decided({"name": "Ada", "last": 0}, tool=asking)
    assert isinstance(decision, Permitted)
    assert decision.workspace == "read_only"


def test_a_tool_that_always_works_on_files_finds_them_in_every_call() -> None:
    always = TOOL.replace("  result:", "  workspace: read_write\n  result:")
    decision = decided({"name": "Ada"}, tool=always)
    assert isinstance(decision, Permitted)
    assert decision.workspace == "read_write"


def test_a_task_without_files_is_not_offered_what_asks_for_them() -> None:
    def offered(task: str, tool: str = ASKING) -> set[str]:
        opened = open_task({"greet/tool.yaml": tool, "tasks/greeting.yaml": task})
        (definition,) = listed(opened).tools
        return set(json.loads(definition.parameters_json)["properties"])

    assert offered(HOUSED) - offered(TASK) == {"keep", "load", "save", "note"}
    asks_by_itself = ASKING.replace('note: {type: string, default: ""}', "note: {type: string}")
    assert "note" in offered(TASK, asks_by_itself)  # it has to be sent, and may be empty
