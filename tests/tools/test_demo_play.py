"""A demonstration that goes otherwise than its story fails."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.audit.reading import CallView
from sandbox_runtime.cli.demo import restarts
from sandbox_runtime.cli.demo.flights import PLANTED
from sandbox_runtime.cli.demo.play import Played, Told, propose
from sandbox_runtime.cli.demo.scene import Scene
from sandbox_runtime.cli.demo.screen import Showing, answer, stages, texts, wrapped
from sandbox_runtime.cli.demo.story import STEPS, Step, Verdict
from sandbox_runtime.client import BrokerUnavailable, CallEnd, CallRefused, Outcome, ToolError
from sandbox_runtime.errors import Reason
from sandbox_runtime.records import Body, CallDecided
from sandbox_runtime.strict import Json
from tests.support.serving import write_tree

if TYPE_CHECKING:
    from pathlib import Path

STEP = {step.name: step for step in STEPS}


def ended(outcome: Outcome, *, result: Json = None, error: ToolError | None = None) -> CallEnd:
    return CallEnd(
        call_id="c-1",
        outcome=outcome,
        result=result,
        error=error,
        artifacts=(),
        detail="so it ended",
        arguments={},
        changes=(),
        grant="compute",
        integrity="untrusted",
        confidentiality="public",
        source="sql_query",
        wall_time=timedelta(seconds=1),
        record=7,
    )


class Scripted:
    """A task whose broker always says the same."""

    def __init__(self, end: CallEnd | Exception) -> None:
        self.end = end

    def call(self, *_: object, **__: object) -> CallEnd:
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def played(step: Step, end: CallEnd | Exception) -> Played:
    told = propose(Scripted(end), step.tool, {}, "c-1")  # type: ignore[arg-type]
    return Played(step=step, arguments={}, told=told, log=view())


def view() -> CallView:
    decided = CallDecided(
        at=0,
        task="t-1",
        call="c-1",
        tool=None,
        tool_digest=None,
        subject="agent:demo",
        request_mac="",
        checked_only=False,
        permitted=True,
        grant="compute",
        reason=None,
        code=None,
        pointer="",
        rule="tasks/report.yaml:9",
        checks=(),
        stages={},
        body=Body(commitment="", size=0, at=0),
    )
    return CallView(decided=decided, sequence=1, decision=None)


REFUSED = CallRefused("no", reason=Reason.ARGUMENT_NOT_ALLOWED, code="sql.table_not_granted")


def test_what_happens_as_told_is_no_surprise() -> None:
    assert played(STEP["planes"], REFUSED).surprise == ""
    assert played(STEP["fork bomb"], ended(Outcome.PIDS_LIMIT)).surprise == ""


@pytest.mark.parametrize(
    ("name", "end"),
    [
        pytest.param("planes", ended(Outcome.OK, result={"rows": []}), id="it ran"),
        pytest.param("delete", REFUSED, id="refused for another reason"),
        pytest.param("sleep", ended(Outcome.CRASHED), id="contained for another reason"),
        pytest.param("sleep", BrokerUnavailable("gone"), id="no answer"),
        pytest.param(
            "others", ended(Outcome.OK, result={"rows": [["JFK", 1], ["LGA", 2]]}), id="leaked rows"
        ),
        pytest.param("airlines", ended(Outcome.OK, result={"rows": []}), id="nothing planted"),
        pytest.param(
            "shadow",
            ended(Outcome.TOOL_ERROR, error=ToolError(code="code_raised", message="NameError")),
            id="an error of another kind",
        ),
        pytest.param("months", REFUSED, id="help was refused"),
    ],
)
def test_anything_else_is_a_surprise(name: str, end: CallEnd | Exception) -> None:
    assert played(STEP[name], end).surprise


def test_a_broker_that_gives_no_answer_does_not_end_the_play() -> None:
    told = played(STEP["sleep"], BrokerUnavailable("gone", reason=Reason.DRAINING)).told
    assert told == Told(verdict=Verdict.FAILED, because="DRAINING", said="gone")


def test_every_wish_of_the_planted_note_is_tried() -> None:
    for part in ("DELETE FROM flights", "planes", "tailnum", "/etc/shadow", "send_email"):
        assert part in PLANTED
    tried = {step.name for step in STEPS}
    assert tried >= {"delete", "planes", "tailnum", "shadow", "mail", "network"}


def test_stages_stand_in_the_order_of_a_calls_life() -> None:
    took = {"attach": 2.0, "check": 1.0, "create": 3.0, "later": 5.0, "run": 4.0}
    assert stages(took) == "check 1.0 · create 3.0 · attach 2.0 · run 4.0 · later 5.0 ms"


def test_long_lines_are_wrapped_and_code_keeps_its_indentation() -> None:
    lines = list(wrapped("if x:\n    y = 1\n" + "word " * 40))
    assert lines[:2] == ["if x:", "    y = 1"]
    assert max(map(len, lines)) <= 87


@pytest.mark.parametrize(
    ("result", "gist"),
    [
        ({"columns": ["a"], "rows": []}, "0 rows of a"),
        ({"columns": ["a", "b"], "rows": [[1, None]]}, "1 rows of a, b, first [1, null]"),
        ({"value": None, "printed": "hi\n", "charts": []}, "hi"),
        ({"value": 3, "printed": "", "charts": []}, "3"),
        ("x" * 500, '"' + "x" * 119 + "…"),
    ],
)
def test_an_answer_is_shown_by_its_gist(result: Json, gist: str) -> None:
    assert answer(result) == gist


def test_planted_text_is_found_wherever_it_lies() -> None:
    rows: Json = {"rows": [["UA", None], ["EV", "From: IT support"]]}
    assert list(texts(rows, "IT support")) == ["From: IT support"]
    assert list(texts(rows, "")) == []


def test_a_scene_that_goes_otherwise_counts_as_a_surprise() -> None:
    scene = Scene(name="broker restarts", tries="it", saw="nothing", surprise="expected a call")
    showing = Showing(task="t-1", played=(), scenes=(scene,), exit_code=0)
    assert showing.surprises == 1


def test_a_tree_in_which_nothing_can_be_misspelt_is_a_surprise(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "manifests", {"tasks/monthly-delay-report.yaml": "kind: Task\n"})
    assert restarts.wrong_manifest(tree).surprise
