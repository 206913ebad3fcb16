"""When has a call that runs by itself ended?

Law: waiting asks and changes nothing. Whoever stops waiting, or is started anew, asks again and
gets the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox_runtime.client.failures import BrokerError, CallRefused, DeadlineExceeded
from sandbox_runtime.client.values import CallState
from sandbox_runtime.errors import TABLE, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.client.values import CallEnd, CallStatus, RecordedRefusal


def ended(status: CallStatus) -> CallEnd | None:
    """Return a call's end, None while it runs; raise `CallRefused` where it never ran."""
    if status.state is CallState.RUNNING:
        return None
    if status.refusal is not None:
        raise _refused(status.refusal)
    if status.end is None:
        raise BrokerError("the broker says of the call what this client does not know")
    return status.end


def _refused(refusal: RecordedRefusal) -> CallRefused:
    problem = "the call was refused when it was decided"
    if refusal.reason not in Reason.__members__:
        return CallRefused(problem, reason=None, code=refusal.code, pointer=refusal.pointer)
    reason = Reason(refusal.reason)
    return CallRefused(
        problem,
        reason=reason,
        code=refusal.code,
        pointer=refusal.pointer,
        mender=TABLE[reason].mender,
    )


@dataclass(slots=True, kw_only=True)
class Waiting:
    """How long to go on asking. `clock` counts seconds."""

    timeout: float | None
    clock: Callable[[], float]
    _start: float = field(init=False)
    _pause: float = 0.02

    def __post_init__(self) -> None:
        self._start = self.clock()

    def left(self) -> float | None:
        """Return the seconds that are left; None is no limit."""
        if self.timeout is None:
            return None
        return max(self.timeout - (self.clock() - self._start), 0.0)

    def pause(self) -> float:
        """Return the seconds until to ask again; raise `DeadlineExceeded` when time is over."""
        left = self.left()
        if left == 0.0:
            raise DeadlineExceeded("the call still runs", reason=None)
        pause, self._pause = self._pause, min(self._pause * 2, 1.0)
        return pause if left is None else min(pause, left)
