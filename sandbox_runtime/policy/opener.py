"""What may be told to an open task beside its calls, and by whom?

Law: what lets it live on or joins its prompt comes from its opener alone: the subject for whom
it was opened, or the delegate who opened it in the subject's place, as the transport
authenticates them. The task's token, which an agent holds, is not enough: it could make its task
live on, or pass off its own words as its user's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.policy.match import lives

if TYPE_CHECKING:
    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.records import Micros
    from sandbox_runtime.task import OpenTask, TaskState

MAX_INPUTS = 256
"""Additions to one task's prompt."""
MAX_INPUT_BYTES = 8 << 20
"""Of all of them together."""

MAX_MODEL_CALLS = 10_000
"""Calls of models that one task may claim."""


class DelegateNotAllowed(Refusal):
    """Somebody asks on behalf of another, who may not."""

    reason = Reason.DELEGATE_NOT_ALLOWED

    def __init__(self, delegate: str) -> None:
        hint = "the manifest's `delegates` name who may open, and who opened may go on"
        super().__init__(f"`{delegate}` may not ask for others here", hint=hint)


_MICROSECOND = timedelta(microseconds=1)


def delegated(manifest: LoadedTask, delegate: str | None) -> None:
    """Raise `Refusal` where this delegate may open no task of the manifest for others."""
    if delegate is not None and delegate not in manifest.manifest.spec.delegates:
        raise DelegateNotAllowed(delegate)


def stands_in(state: TaskState, subject: str, behalf: str) -> None:
    """Raise `Refusal` unless `subject` opened the task on behalf of `behalf`."""
    if (state.delegate, state.subject) != (subject, behalf):
        raise DelegateNotAllowed(subject)


def extended(task: OpenTask, subject: str, lifetime: timedelta, now: Micros) -> Micros:
    """Return until when the task lives, if from its opening it shall live for `lifetime`.

    Raises `Refusal`. What would end it earlier than it ends now changes nothing.
    """
    _admit(task, subject, now)
    longest = task.manifest.manifest.spec.lifetime.max
    if not timedelta(0) < lifetime <= longest:
        problem = f"the lifetime is not above 0 s and at most {longest.total_seconds():g} s"
        raise Refusal(problem, reason=Reason.REQUEST_INVALID, hint="it counts from the opening")
    return max(task.state.expires_at, task.state.opened_at + lifetime // _MICROSECOND)


def hears(task: OpenTask, subject: str, size: int, now: Micros) -> None:
    """Raise `Refusal` where `size` more bytes of `subject` may not join the task's prompt."""
    _admit(task, subject, now)
    inputs = task.state.inputs
    if len(inputs) >= MAX_INPUTS or sum(body.size for body in inputs) + size > MAX_INPUT_BYTES:
        raise Refusal(
            f"the task has its {MAX_INPUTS} additions or {MAX_INPUT_BYTES} bytes of them",
            reason=Reason.BUDGET_SPENT,
            hint="open a new task",
        )


def claims(task: OpenTask, now: Micros) -> None:
    """Raise `Refusal` where the task may not claim one more call of a model. Anyone of it may."""
    _expect_alive(task, now)
    if task.state.model_calls >= MAX_MODEL_CALLS:
        raise Refusal(
            f"the task has recorded its {MAX_MODEL_CALLS} calls of models",
            reason=Reason.BUDGET_SPENT,
            hint="open a new task",
        )


def _admit(task: OpenTask, subject: str, now: Micros) -> None:
    if subject not in task.state.openers:
        raise Refusal(
            "only who opened the task may do this",
            reason=Reason.OPENER_NOT_ALLOWED,
            hint="the task's token alone is not enough",
        )
    _expect_alive(task, now)


def _expect_alive(task: OpenTask, now: Micros) -> None:
    if (dead := lives(task, now)) is not None:
        raise Refusal(dead.problem, reason=dead.reason, hint=dead.hint)
