"""What happens to an open task beside its calls?

Law: as with calls: decided and enqueued in one step, and durable before anyone hears of it.
Nothing here waits between looking at the state and appending, so it needs no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime import policy
from sandbox_runtime.ledger import Said
from sandbox_runtime.records import ModelCalled, TaskExtended, TaskInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sandbox_runtime.ledger import Ledger, Live, PromptPart
    from sandbox_runtime.records import Micros, ModelClaim


class Tending:
    """Lets tasks live longer, takes what their users add and what their agents claim."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def extend(self, live: Live, subject: str, lifetime: timedelta) -> Micros:
        """Let the task live for `lifetime` from its opening; return until when it lives.

        Raises `Refusal`.
        """
        now, state = self._ledger.now(), live.task.state
        until = policy.extended(live.task, subject, lifetime, now)
        if until > state.expires_at:
            record = TaskExtended(at=now, task=state.id, subject=subject, expires_at=until)
            self._ledger.append(live, [record])
        if live.last is not None:
            await live.last.wait()
        return until

    async def add_input(self, live: Live, subject: str, prompt: Sequence[PromptPart]) -> int:
        """Add to what the task was asked to do; return its record's sequence. Raises `Refusal`."""
        now, state = self._ledger.now(), live.task.state
        size = sum(len(part.text.encode()) for part in prompt)
        policy.hears(live.task, subject, size, now)
        body = self._ledger.seal(state.id, Said(prompt=tuple(prompt)))
        record = TaskInput(
            at=now,
            task=state.id,
            subject=subject,
            prompt=tuple(part.source for part in prompt),
            body=body.ref,
        )
        ticket = self._ledger.append(live, [record], [body])
        await ticket.wait()
        return ticket.sequence

    async def claim(self, live: Live, subject: str, claimed: ModelClaim) -> int:
        """Record a call of a model, as claimed; return its record's sequence. Raises `Refusal`."""
        now, state = self._ledger.now(), live.task.state
        policy.claims(live.task, now)
        record = ModelCalled(at=now, task=state.id, subject=subject, claimed=claimed)
        ticket = self._ledger.append(live, [record])
        await ticket.wait()
        return ticket.sequence
