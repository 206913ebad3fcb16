"""What became of a step?

Law: the verdict is what the client was told. What decided, what was rewritten and how long
each stage took is read from the log, as an operator would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox_runtime.cli.demo.story import Verdict
from sandbox_runtime.client import BrokerError, CallEnd, CallRefused, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.audit.reading import CallView
    from sandbox_runtime.cli.demo.story import Results, Step
    from sandbox_runtime.client import Task

PATIENCE = 30
"""Seconds for one call; its container is killed long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the client was told, as plain words."""

    verdict: Verdict
    because: str
    """The refusal's code or reason, or the outcome."""
    said: str
    """The sentence that came with it."""
    hint: str = ""
    end: CallEnd | None = None
    """None: refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A step, what was proposed, told and logged."""

    step: Step
    arguments: dict[str, Any]
    told: Told
    log: CallView

    @property
    def surprise(self) -> str:
        """What went otherwise than it must; empty if nothing did."""
        step, told = self.step, self.told
        if (told.verdict, told.because) != (step.verdict, step.because):
            return f"expected {step.verdict} {step.because}"
        if step.says and not any(word in told.said for word in step.says):
            return f"expected the error to name {' or '.join(step.says)}"
        if told.end is not None and told.end.ok and not step.result(told.end.result):
            return "expected another answer"
        if step.finds not in str(told.end and told.end.result):
            return f"expected the answer to hold `{step.finds}`"
        return ""


def play(step: Step, task: Task, results: Results, logged: Callable[[str], CallView]) -> Played:
    """Propose a step; `logged` returns what the log holds of a call."""
    arguments = step.arguments(results)
    call_id = step.name.replace(" ", "-")
    told = propose(task, step.tool, arguments, call_id)
    return Played(step=step, arguments=arguments, told=told, log=logged(call_id))


def propose(task: Task, tool: str, arguments: dict[str, Any], call_id: str) -> Told:
    """Make one call and return what was told."""
    try:
        end = task.call(tool, arguments, call_id=call_id, timeout=PATIENCE)
    except CallRefused as refused:
        return Told(
            verdict=Verdict.REFUSED,
            because=refused.code or str(refused.reason),
            said=refused.problem,
            hint=refused.hint,
        )
    except BrokerError as failure:
        because = str(failure.reason or type(failure).__name__)
        return Told(verdict=Verdict.FAILED, because=because, said=failure.problem)
    return Told(
        verdict=Verdict.ALLOWED if end.outcome is Outcome.OK else Verdict.CONTAINED,
        because=end.outcome.value,
        said=f"{end.error.code}: {end.error.message}" if end.error else end.detail,
        end=end,
    )
