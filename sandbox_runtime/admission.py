"""When may a call be decided and run?

Law: a call waits for its permit before anything of it is decided or recorded, so it is decided
on the state of the moment at which it may run; and whoever hangs up while it waits leaves
nothing behind. A queue that is full says so at once. A permit lasts until the call's container
is gone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.turns import Turn, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_runtime.turns import Limits

    Told = Callable[[], Refusal]
    """Says why; each who waits is told by an exception of its own."""

_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(minutes=1)
_RECENT = 0.2
"""How much the latest call weighs in what a call takes of late."""


class QueueFull(Refusal):
    """More calls wait than may."""

    reason = Reason.QUEUE_FULL

    def __init__(self, whose: str, retry_after: timedelta) -> None:
        super().__init__(
            f"{whose} queue of calls is full",
            hint="wait, then send the same again",
            retry_after=retry_after,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Permit:
    """Leave to run one call, until `release`."""

    turn: Turn
    call_id: str
    admission: Admission
    answer: asyncio.Future[Refusal | None]
    """None once it is granted."""
    since: float = 0.0

    async def wait(self, left: Callable[[], float]) -> None:
        """Return when it is granted; raise the `Refusal` where it is not."""
        while not self.answer.done():
            if (seconds := left()) <= 0:
                raise _expired()
            await asyncio.wait({self.answer}, timeout=seconds)
        if (refusal := self.answer.result()) is not None:
            raise refusal

    def release(self) -> None:
        """Let another run; doing it twice is fine."""
        self.admission.release(self)


@dataclass(slots=True, kw_only=True)
class Admission:
    """Permits for calls. `clock` counts seconds."""

    limits: Limits
    clock: Callable[[], float]
    _turns: Turns = field(init=False)
    _waiting: dict[Turn, Permit] = field(default_factory=dict)
    _held: set[Permit] = field(default_factory=set)
    _takes: float = 1.0
    """Seconds for which a permit was held of late."""
    _closed: Told | None = None

    def __post_init__(self) -> None:
        self._turns = Turns(self.limits)

    @property
    def queued(self) -> int:
        """How many calls wait."""
        return self._turns.queued

    @property
    def held(self) -> int:
        """How many calls have their permit."""
        return self._turns.running

    async def permit(self, turn: Turn, call_id: str, left: Callable[[], float]) -> Permit:
        """Return the call's permit when it is its turn; raise `Refusal`.

        `left` says for how many seconds it may still wait.
        """
        permit = self._ask(turn, call_id)
        try:
            await permit.wait(left)
        except BaseException:
            self._forget(permit)
            raise
        return permit

    def release(self, permit: Permit) -> None:
        """Take a permit back, and grant the next."""
        if permit in self._held:
            self._held.discard(permit)
            self._takes += _RECENT * (self.clock() - permit.since - self._takes)
            self._turns.end(permit.turn)
            self._grant()

    def withdraw(self, task: str, told: Told, call_id: str | None = None) -> int:
        """Refuse what waits of a task, or this call of it; return how many that were."""
        return self._refuse(
            [
                permit
                for turn, permit in self._waiting.items()
                if turn.task == task and call_id in {None, permit.call_id}
            ],
            told,
        )

    def close(self, told: Told) -> None:
        """Refuse all that waits, and all that comes."""
        self._closed = told
        self._refuse(list(self._waiting.values()), told)

    def _ask(self, turn: Turn, call_id: str) -> Permit:
        if self._closed is not None:
            raise self._closed()
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        permit = Permit(turn=turn, call_id=call_id, admission=self, answer=answer)
        full = self._turns.full(turn)
        self._turns.ask(turn)
        self._waiting[turn] = permit
        self._grant()
        if full is not None and not turn.granted:
            self._forget(permit)
            raise QueueFull(full, self._soonest())
        return permit

    def _grant(self) -> None:
        for turn in self._turns.grant():
            permit = self._waiting.pop(turn)
            permit.since = self.clock()
            self._held.add(permit)
            permit.answer.set_result(None)

    def _forget(self, permit: Permit) -> None:
        if self._waiting.pop(permit.turn, None) is not None:
            self._turns.leave(permit.turn)
        self.release(permit)

    def _refuse(self, permits: Sequence[Permit], told: Told) -> int:
        for permit in permits:
            self._forget(permit)
            permit.answer.set_result(told())
        return len(permits)

    def _soonest(self) -> timedelta:
        """Return about how long it takes until as many have ended as wait now."""
        ahead = self._turns.queued / self.limits.running
        return min(max(timedelta(seconds=self._takes * ahead), _SHORTEST), _LONGEST)


def _expired() -> Refusal:
    return Refusal(
        "the task's time ended while the call waited",
        reason=Reason.TASK_EXPIRED,
        hint="open a new task",
    )
