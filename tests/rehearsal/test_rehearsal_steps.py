"""Each step of a decision is told with its line, of a file's call and of a recorded one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runtime.call import Permitted, Refused
from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.evidence import layout
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.rehearsal.playing import START, judged, opened
from sandbox_runtime.rehearsal.recorded import recorded
from sandbox_runtime.rehearsal.steps import Says, Step, steps
from tests.support.manifests import MINUTE, SOURCES, TASK, TOOL, propose
from tests.support.pipeline import Scripted, on_stage

COMMAND = Path(sys.executable).with_name("sandbox-broker")
RICH = TASK.replace("max_calls: 1\n", "max_calls: 9\n      rate: {calls: 2, per: 1m}\n").replace(
    "{one_of: [1, 2]}", "{one_of: [1, 2], any_of: [{exact: 2}], all_of: [{range: {max: 2}}]}"
)


def told(arguments: str, *, values: bool = False, at: int = START) -> tuple[Step, ...]:
    tree = load_texts({**SOURCES, "tasks/greeting.yaml": RICH})
    task = opened(tree, "greeting", None, {"friend": "Ada"}, {})
    return steps(judged(task, propose(arguments), at), values=values)


def short(found: tuple[Step, ...]) -> list[tuple[str, str, str]]:
    return [(one.grant, one.what, one.says) for one in found if not one.what.startswith("budget")]


def test_every_step_of_a_refused_call_is_told_in_order() -> None:
    found = told('{"name": "Grace Hopper", "times": 3}')
    assert short(found) == [
        ("", "$friend", "holds"),
        ("", "task lives", "holds"),
        ("friends", "arguments schema", "holds"),
        ("friends", "/name exact", "refuses"),
        ("friends", "/times range", "not reached"),
        ("friends", "max_calls", "not reached"),
        ("colleagues", "arguments schema", "holds"),
        ("colleagues", "/name length", "holds"),
        ("colleagues", "/name regex", "holds"),
        ("colleagues", "/times one_of", "refuses"),
        ("colleagues", "/times any_of", "not reached"),
        ("colleagues", "/times all_of.0.range", "not reached"),
        ("colleagues", "max_calls", "not reached"),
        ("colleagues", "rate", "not reached"),
    ]
    places = [str(one.place) for one in found if one.says is Says.REFUSES]
    assert places == ["tasks/greeting.yaml:14", "tasks/greeting.yaml:23"]


def test_grants_after_the_one_that_permits_are_not_reached() -> None:
    found = told('{"name": "Ada"}')
    assert short(found)[-1] == ("colleagues", "grant", "not reached")
    assert [one.told for one in found if one.what.startswith("budget")] == [
        "0 of 3 started",
        "0 of 10 s used or set aside",
        "0 of 1024 bytes used",
    ]


def test_a_call_that_matches_nothing_ends_there() -> None:
    assert short(told('{"nick": "Ada"}')) == [
        ("", "$friend", "holds"),
        ("", "task lives", "holds"),
        ("", "a grant matches", "refuses"),
    ]


def test_a_task_that_is_over_is_the_first_and_last_step() -> None:
    (_, last) = told('{"name": "Ada"}', at=START + 15 * MINUTE)
    assert (last.says, last.told.split(":")[0]) == (Says.REFUSES, "TASK_EXPIRED")


def test_values_stay_out_unless_they_are_asked_for() -> None:
    hidden = json.dumps([one.told for one in told('{"name": "Grace"}')])
    shown = [one.told for one in told('{"name": "Grace"}', values=True)]
    assert "Ada" not in hidden
    assert "Grace" not in hidden
    assert '"Ada" for "Grace"' in shown


async def test_a_recorded_call_is_decided_again_from_the_log_alone(tmp_path: Path) -> None:
    async with on_stage(tmp_path, Scripted()) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose('{"name": "Ada"}', call_id="c-1"))
        await stage.broker.call_tool(live, propose('{"name": "Ada"}', call_id="c-2"))
        for call, arguments in (("c-3", '{"name": "Ada"}'), ("c-4", '{"nick": 1}')):
            with pytest.raises(Refusal):
                await stage.broker.call_tool(live, propose(arguments, call_id=call))
        await stage.broker.check_call(live, propose('{"name": "Grace Hopper"}', call_id="c-5"))
    again = {call: recorded(tmp_path, "t-1", call) for call in ("c-1", "c-2", "c-3", "c-4", "c-5")}
    assert [one.same for one in again.values()] == [True] * 5
    assert isinstance(again["c-2"].judged.decision, Permitted)
    assert again["c-2"].judged.task.state.spent == {"friends": 1}
    third = again["c-3"].judged.decision
    assert isinstance(third, Refused)
    assert third.reason is Reason.CALLS_SPENT
    assert ("friends", "max_calls", "refuses") in short(steps(again["c-3"].judged, values=False))


async def test_a_record_that_tells_another_decision_is_not_the_same(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose('{"name": "Ada"}', call_id="c-1"))
    again = recorded(tmp_path, "t-1", "c-1")
    other = again.record.model_copy(update={"rule": "tasks/greeting.yaml:10"})
    assert again.same
    assert not type(again)(judged=again.judged, record=other, sequence=0).same


async def test_what_the_log_lacks_or_lost_cannot_be_explained(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose('{"name": "Ada"}', call_id="c-1"))
    for task, call in (("t-2", "c-1"), ("t-1", "c-2")):
        with pytest.raises(Refusal) as caught:
            recorded(tmp_path, task, call)
        assert caught.value.why is Reason.CALL_NOT_FOUND
    for key in layout.keys_directory(tmp_path).rglob("*t-1*"):
        key.unlink()
    with pytest.raises((Refusal, Fault)):
        recorded(tmp_path, "t-1", "c-1")


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "manifest", "explain", *words], capture_output=True, text=True, check=False
    )


def test_the_command_explains_a_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, text in (("greet/tool.yaml", TOOL), ("tasks/greeting.yaml", TASK)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    call = tmp_path / "call.json"
    asked = {"task": "greeting", "variables": {"friend": "Ada"}, "tool": "greet"}
    call.write_text(json.dumps({**asked, "arguments": {"name": "Eve"}}))
    shown = command(call, "--manifests", tree)
    assert shown.returncode == 0, shown.stderr
    assert "refused: ARGUMENT_NOT_ALLOWED constraint.exact at `/name`" in shown.stdout
    assert f"rule {tree}/tasks/greeting.yaml:14" in shown.stdout
    document = json.loads(command(call, "--manifests", tree, "--json").stdout)
    assert (document["verdict"], document["rule"]) == (
        "refused",
        f"{tree}/tasks/greeting.yaml:14",
    )
    assert [step["what"] for step in document["steps"][:2]] == ["$friend", "task lives"]
    assert document["steps"][0]["told"] == "brought by the opener"
    call.write_text(json.dumps({**asked, "task": "greetin"}))
    wrong = command(call, "--manifests", tree)
    assert wrong.returncode == 1
    assert "no task `greetin`; did you mean `greeting`?" in wrong.stderr
    assert command("--manifests", tree).returncode == 2


async def test_the_command_explains_a_recorded_call(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        await stage.broker.call_tool(live, propose('{"name": "Ada"}', call_id="c-1"))
    nowhere = tmp_path / "elsewhere"
    words = ("--state", tmp_path, "--manifests", nowhere, "--task", "t-1", "--call", "c-1")
    shown = command(*words)
    assert shown.returncode == 0, shown.stderr
    assert "permitted under grant `friends`" in shown.stdout
    assert "as in record 2" in shown.stdout
    assert json.loads(command(*words, "--json").stdout)["as_recorded"] is True
    assert command(*words[:-1], "c-9").returncode == 1
