"""Why did a request end without an answer?

Law: who can mend it decides the class. The request itself (`CallRefused`), waiting and
sending it again (`BrokerUnavailable`), the operator (`BrokerFault`), the caller's own clock
(`DeadlineExceeded`, `CallCancelled`), the way between (`FileDamaged`). Their common base is
`BrokerError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.errors import Mender, Reason, Retry

if TYPE_CHECKING:
    from datetime import timedelta


class BrokerError(Exception):
    """A request ended without an answer. `reason` is the broker's, None if it gave none."""

    def __init__(self, problem: str, *, reason: Reason | None = None) -> None:
        super().__init__(problem)
        self.problem, self.reason = problem, reason


class CallRefused(BrokerError):  # noqa: N818 - a refusal is an answer
    """The request is refused as it stands; everything a model needs to mend it is here."""

    def __init__(
        self,
        problem: str,
        *,
        reason: Reason | None,
        code: str = "",
        pointer: str = "",
        hint: str = "",
        retry: Retry = Retry.NEVER,
        mender: Mender = Mender.OPERATOR,
        retry_after: timedelta | None = None,
    ) -> None:
        """`pointer` is the RFC 6901 pointer of the value at fault inside the arguments."""
        super().__init__(problem, reason=reason)
        self.code, self.pointer, self.hint = code, pointer, hint
        self.retry, self.mender, self.retry_after = retry, mender, retry_after

    def __str__(self) -> str:
        where = f" at `{self.pointer}`" if self.pointer else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.code or self.reason or 'refused'}{where}: {self.problem}{hint}"


class BrokerUnavailable(BrokerError):  # noqa: N818 - a state of the broker's
    """The broker cannot be reached, or cannot take the request now."""


class BrokerFault(BrokerError):  # noqa: N818 - named as in the design
    """Something of the broker's failed; its operators find it by `incident`."""

    def __init__(self, problem: str, *, reason: Reason | None, incident: str = "") -> None:
        super().__init__(problem, reason=reason)
        self.incident = incident


class DeadlineExceeded(BrokerError):  # noqa: N818 - gRPC's own name
    """The caller's time ran out. The call, if it started and is not detached, was cancelled."""


class CallCancelled(BrokerError):  # noqa: N818 - gRPC's own name
    """The request was cancelled."""


class FileDamaged(BrokerError):  # noqa: N818 - a state of the file
    """A file did not come whole, or is not the one that the broker named. Nothing was kept."""
