"""The ending is a function of facts; each row is one call."""

from __future__ import annotations

import pytest

from sandbox_runtime.call import Outcome
from sandbox_runtime.sandbox.cgroups import Counted
from sandbox_runtime.sandbox.streams import Answer
from sandbox_runtime.sandbox.verdict import Facts, judge

RESULT = Answer(b"", {"result": 1})
ERROR = Answer(b"", {"error": {"code": "x", "message": "y"}})


def facts(
    answer: Answer | None = None,
    stopped: Outcome | None = None,
    oom: int = 0,
    refused: int = 0,
    *,
    oom_killed: bool = False,
) -> Facts:
    return Facts(
        answer=answer,
        exit_code=None,
        counted=Counted(
            oom_kills=oom, pids_refused=refused, memory_peak=0, pids_peak=0, cpu_seconds=0
        ),
        oom_killed=oom_killed,
        stopped=stopped,
    )


@pytest.mark.parametrize(
    ("known", "ending"),
    [
        (facts(RESULT), Outcome.OK),
        (facts(ERROR), Outcome.TOOL_ERROR),
        (facts(), Outcome.CRASHED),
        (facts(RESULT, oom=1), Outcome.OUT_OF_MEMORY),
        (facts(oom_killed=True), Outcome.OUT_OF_MEMORY),
        (facts(stopped=Outcome.TIMEOUT, oom=1), Outcome.OUT_OF_MEMORY),
        (facts(refused=3), Outcome.PIDS_LIMIT),
        (facts(RESULT, refused=3), Outcome.OK),
        (facts(stopped=Outcome.TIMEOUT, refused=3), Outcome.PIDS_LIMIT),
        (facts(stopped=Outcome.TIMEOUT), Outcome.TIMEOUT),
        (facts(stopped=Outcome.OUTPUT_LIMIT, refused=3), Outcome.OUTPUT_LIMIT),
        (facts(RESULT, stopped=Outcome.INVALID_ANSWER), Outcome.INVALID_ANSWER),
        (facts(stopped=Outcome.SANDBOX_UNAVAILABLE), Outcome.SANDBOX_UNAVAILABLE),
    ],
)
def test_the_first_rule_that_holds_is_the_ending(known: Facts, ending: Outcome) -> None:
    assert judge(known) is ending


def test_without_counters_the_engines_word_stands() -> None:
    known = Facts(answer=None, exit_code=None, counted=None, oom_killed=True, stopped=None)
    assert judge(known) is Outcome.OUT_OF_MEMORY
