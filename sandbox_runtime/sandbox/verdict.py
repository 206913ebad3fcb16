"""How did the call end?

Law: what the kernel counted and what we had to do to the container is the verdict. A
tool's text decides one thing only: whether its own answer is a result or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.call import Outcome

if TYPE_CHECKING:
    from sandbox_runtime.sandbox.cgroups import Counted
    from sandbox_runtime.sandbox.streams import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known once the container has said its last."""

    answer: Answer | None
    exit_code: int | None
    """The tool's; minus the signal that killed it. None: it had not ended."""
    counted: Counted | None
    """None: the cgroup was gone before it could be read."""
    oom_killed: bool
    """The engine's word, for when there are no counters."""
    stopped: Outcome | None
    """Why we stopped listening: TIMEOUT, OUTPUT_LIMIT, INVALID_ANSWER, or
    SANDBOX_UNAVAILABLE where the stream ended before the runner said that the tool had."""


def judge(facts: Facts) -> Outcome:
    """Return the ending. The first rule that holds."""
    if facts.oom_killed or (facts.counted and facts.counted.oom_kills):
        return Outcome.OUT_OF_MEMORY
    if facts.answer and not facts.stopped:
        return Outcome.TOOL_ERROR if facts.answer.is_error else Outcome.OK
    if facts.stopped is Outcome.OUTPUT_LIMIT:
        return Outcome.OUTPUT_LIMIT
    if facts.counted and facts.counted.pids_refused:
        return Outcome.PIDS_LIMIT
    return facts.stopped or Outcome.CRASHED


def describe(facts: Facts) -> str:
    """Return one sentence on how the tool itself ended."""
    match facts.exit_code:
        case None:
            return "the tool was still running"
        case code if code < 0:
            return f"the tool was killed by signal {-code}"
        case code:
            return f"the tool ended with exit code {code}"
