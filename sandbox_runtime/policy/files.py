"""May a file come into a task's workspace, and may one leave?

Law: a task without a workspace has no files. What leaves is of a type that its manifest names,
and has passed the destination `file`. What outlives the task is its opener's alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.call import Check, Finding, Objected
from sandbox_runtime.destinations.registry import dump
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.manifests.variables import bind
from sandbox_runtime.policy.match import lives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.call import Verdict
    from sandbox_runtime.manifests.model import Workspace
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask

MAX_TRANSFERS = 10_000
"""Files that go into and out of one task, refused ones included: each is a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A file that may not leave."""

    code: str
    problem: str
    hint: str | None = None

    def refusal(self) -> Refusal:
        """Return it as its sender hears it."""
        return Refusal(
            self.problem,
            reason=Reason.FILE_REFUSED,
            pointer="/path",
            code=self.code,
            hint=self.hint,
        )


def has_ended(task: OpenTask, now: Micros) -> bool:
    """Whether only what outlives the task can still be had of it."""
    return lives(task, now) is not None


def carries(task: OpenTask, now: Micros) -> Workspace:
    """Return the workspace that the living task's manifest asks for; raise `Refusal`."""
    if (dead := lives(task, now)) is not None:
        raise Refusal(dead.problem, reason=dead.reason, hint=dead.hint)
    return _with_room(task)


def workspace(task: OpenTask) -> Workspace:
    """Return the workspace that the task's manifest asks for; raise `Refusal`."""
    asked = task.manifest.manifest.spec.workspace
    if asked is None:
        raise Refusal(
            "the task has no workspace",
            reason=Reason.WORKSPACE_NOT_GRANTED,
            hint="its manifest asks for one with `workspace: {size: 64Mi}`",
        )
    return asked


def inherits(task: OpenTask, subject: str) -> Workspace:
    """Return the ended task's workspace, if `subject` may have what outlives it."""
    if subject not in task.state.openers:
        raise Refusal(
            "what outlives a task is for who opened it",
            reason=Reason.OPENER_NOT_ALLOWED,
            hint="the task's token alone is not enough",
        )
    return _with_room(task)


def way_out(task: OpenTask) -> Check:
    """Return the check that a file passes on its way out."""
    asked = workspace(task)
    settings: dict[str, Json] = {"types": list(asked.leaving)}
    for kind, said in (("html", asked.html), ("csv", asked.csv)):
        if said is not None:
            settings[kind] = bind(dump(said), task.variables)
    return Check(pointer="", kind="file", settings=settings, rule=("spec", "workspace"))


def left(verdicts: Sequence[Verdict]) -> Finding | HeldBack:
    """Return the file as it may leave, or why it stays."""
    match verdicts[-1] if verdicts else None:
        case Finding() as found:
            return found
        case Objected() as objected:
            return HeldBack(code=objected.code, problem=objected.problem, hint=objected.hint)
        case _:
            problem = "the file could not be checked within its limits"
            return HeldBack(code="file.unchecked", problem=problem)


def _with_room(task: OpenTask) -> Workspace:
    asked = workspace(task)
    if task.state.transfers >= MAX_TRANSFERS:
        raise Refusal(
            f"{MAX_TRANSFERS} files went into and out of the task",
            reason=Reason.BUDGET_SPENT,
            hint="open a new task",
        )
    return asked
