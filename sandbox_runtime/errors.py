"""Why was it refused, and whose fault is it?

Law: two kinds of failure and no third. A `Refusal` is the caller's and final as it
stands: it says what was wrong in words the caller may see. A `Fault` is ours: the
caller learns its reason and nothing of its text. What each reason means on the wire,
whether to try again and who can mend it stand in one table, `TABLE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

DOMAIN = "sandbox-broker"
"""The `domain` of every `google.rpc.ErrorInfo` this product sends."""


@unique
class Reason(StrEnum):
    """Stable names of everything that can end a request without running a tool."""

    # Who asks
    UNAUTHENTICATED = "UNAUTHENTICATED"
    ROLE_MISSING = "ROLE_MISSING"
    DELEGATE_NOT_ALLOWED = "DELEGATE_NOT_ALLOWED"
    OPENER_NOT_ALLOWED = "OPENER_NOT_ALLOWED"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    CALL_NOT_FOUND = "CALL_NOT_FOUND"
    MANIFEST_NOT_FOUND = "MANIFEST_NOT_FOUND"
    # What was sent
    REQUEST_INVALID = "REQUEST_INVALID"
    VARIABLE_INVALID = "VARIABLE_INVALID"
    CLAIM_INVALID = "CLAIM_INVALID"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    CALL_ID_REUSED = "CALL_ID_REUSED"
    OUTPUT_ID_REUSED = "OUTPUT_ID_REUSED"
    # Files of a task's workspace
    WORKSPACE_NOT_GRANTED = "WORKSPACE_NOT_GRANTED"
    WORKSPACE_FULL = "WORKSPACE_FULL"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_REFUSED = "FILE_REFUSED"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_DIFFERS = "FILE_DIFFERS"
    TRANSFER_TOO_SLOW = "TRANSFER_TOO_SLOW"
    # What the task may do
    TASK_CLOSED = "TASK_CLOSED"
    TASK_EXPIRED = "TASK_EXPIRED"
    TOOL_NOT_GRANTED = "TOOL_NOT_GRANTED"
    ARGUMENT_UNKNOWN = "ARGUMENT_UNKNOWN"
    ARGUMENT_MISSING = "ARGUMENT_MISSING"
    ARGUMENT_NOT_NAMED = "ARGUMENT_NOT_NAMED"
    ARGUMENT_NOT_ALLOWED = "ARGUMENT_NOT_ALLOWED"
    OUTPUT_NOT_NAMED = "OUTPUT_NOT_NAMED"
    OUTPUT_NOT_ALLOWED = "OUTPUT_NOT_ALLOWED"
    CHECK_ABORTED = "CHECK_ABORTED"
    # How much of it
    ORDER_NOT_MET = "ORDER_NOT_MET"
    RATE_EXCEEDED = "RATE_EXCEEDED"
    CALLS_SPENT = "CALLS_SPENT"
    BUDGET_SPENT = "BUDGET_SPENT"
    REFUSALS_SPENT = "REFUSALS_SPENT"
    RATE_LIMITED = "RATE_LIMITED"
    QUEUE_FULL = "QUEUE_FULL"
    WATCHER_TOO_SLOW = "WATCHER_TOO_SLOW"
    # Ours
    SANDBOX_UNAVAILABLE = "SANDBOX_UNAVAILABLE"
    EVIDENCE_UNAVAILABLE = "EVIDENCE_UNAVAILABLE"
    DRAINING = "DRAINING"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


@unique
class Retry(StrEnum):
    """Whether sending the same again can help."""

    NEVER = "never"
    LATER = "later"


@unique
class Mender(StrEnum):
    """Who can do something about it."""

    AGENT = "agent"
    OPENER = "opener"
    PLATFORM_TEAM = "platform-team"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one reason means to a caller. `status` is the gRPC status code's name."""

    status: str
    retry: Retry
    mender: Mender


TABLE: Mapping[Reason, Meaning] = MappingProxyType(
    {
        Reason.UNAUTHENTICATED: Meaning("UNAUTHENTICATED", Retry.NEVER, Mender.OPERATOR),
        Reason.ROLE_MISSING: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.OPERATOR),
        Reason.DELEGATE_NOT_ALLOWED: Meaning(
            "PERMISSION_DENIED", Retry.NEVER, Mender.PLATFORM_TEAM
        ),
        Reason.OPENER_NOT_ALLOWED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.TASK_NOT_FOUND: Meaning("NOT_FOUND", Retry.NEVER, Mender.OPENER),
        Reason.CALL_NOT_FOUND: Meaning("NOT_FOUND", Retry.NEVER, Mender.AGENT),
        Reason.MANIFEST_NOT_FOUND: Meaning("NOT_FOUND", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.REQUEST_INVALID: Meaning("INVALID_ARGUMENT", Retry.NEVER, Mender.AGENT),
        Reason.VARIABLE_INVALID: Meaning("INVALID_ARGUMENT", Retry.NEVER, Mender.OPENER),
        Reason.CLAIM_INVALID: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.OPERATOR),
        Reason.MANIFEST_INVALID: Meaning("FAILED_PRECONDITION", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.CALL_ID_REUSED: Meaning("ALREADY_EXISTS", Retry.NEVER, Mender.AGENT),
        Reason.OUTPUT_ID_REUSED: Meaning("ALREADY_EXISTS", Retry.NEVER, Mender.AGENT),
        Reason.WORKSPACE_NOT_GRANTED: Meaning(
            "FAILED_PRECONDITION", Retry.NEVER, Mender.PLATFORM_TEAM
        ),
        Reason.WORKSPACE_FULL: Meaning("RESOURCE_EXHAUSTED", Retry.NEVER, Mender.AGENT),
        Reason.FILE_NOT_FOUND: Meaning("NOT_FOUND", Retry.NEVER, Mender.AGENT),
        Reason.FILE_REFUSED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.AGENT),
        Reason.FILE_TOO_LARGE: Meaning("RESOURCE_EXHAUSTED", Retry.NEVER, Mender.AGENT),
        Reason.FILE_DIFFERS: Meaning("INVALID_ARGUMENT", Retry.NEVER, Mender.AGENT),
        Reason.TRANSFER_TOO_SLOW: Meaning("RESOURCE_EXHAUSTED", Retry.LATER, Mender.AGENT),
        Reason.TASK_CLOSED: Meaning("FAILED_PRECONDITION", Retry.NEVER, Mender.OPENER),
        Reason.TASK_EXPIRED: Meaning("FAILED_PRECONDITION", Retry.NEVER, Mender.OPENER),
        Reason.TOOL_NOT_GRANTED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.ARGUMENT_UNKNOWN: Meaning("INVALID_ARGUMENT", Retry.NEVER, Mender.AGENT),
        Reason.ARGUMENT_MISSING: Meaning("INVALID_ARGUMENT", Retry.NEVER, Mender.AGENT),
        Reason.ARGUMENT_NOT_NAMED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.ARGUMENT_NOT_ALLOWED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.AGENT),
        Reason.OUTPUT_NOT_NAMED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.PLATFORM_TEAM),
        Reason.OUTPUT_NOT_ALLOWED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.AGENT),
        Reason.CHECK_ABORTED: Meaning("PERMISSION_DENIED", Retry.NEVER, Mender.AGENT),
        Reason.ORDER_NOT_MET: Meaning("FAILED_PRECONDITION", Retry.LATER, Mender.AGENT),
        Reason.RATE_EXCEEDED: Meaning("RESOURCE_EXHAUSTED", Retry.LATER, Mender.AGENT),
        Reason.CALLS_SPENT: Meaning("RESOURCE_EXHAUSTED", Retry.NEVER, Mender.OPENER),
        Reason.BUDGET_SPENT: Meaning("RESOURCE_EXHAUSTED", Retry.NEVER, Mender.OPENER),
        Reason.REFUSALS_SPENT: Meaning("RESOURCE_EXHAUSTED", Retry.NEVER, Mender.OPENER),
        Reason.RATE_LIMITED: Meaning("RESOURCE_EXHAUSTED", Retry.LATER, Mender.AGENT),
        Reason.QUEUE_FULL: Meaning("RESOURCE_EXHAUSTED", Retry.LATER, Mender.AGENT),
        Reason.WATCHER_TOO_SLOW: Meaning("RESOURCE_EXHAUSTED", Retry.LATER, Mender.AGENT),
        Reason.SANDBOX_UNAVAILABLE: Meaning("UNAVAILABLE", Retry.LATER, Mender.OPERATOR),
        Reason.EVIDENCE_UNAVAILABLE: Meaning("UNAVAILABLE", Retry.LATER, Mender.OPERATOR),
        Reason.DRAINING: Meaning("UNAVAILABLE", Retry.LATER, Mender.OPERATOR),
        Reason.DEADLINE_EXCEEDED: Meaning("DEADLINE_EXCEEDED", Retry.NEVER, Mender.AGENT),
        Reason.CANCELLED: Meaning("CANCELLED", Retry.NEVER, Mender.AGENT),
        Reason.INTERNAL: Meaning("INTERNAL", Retry.NEVER, Mender.OPERATOR),
    }
)


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """A request ends here, and its sender may know why.

    `pointer` is the RFC 6901 pointer of the value at fault inside the arguments, empty
    for the whole. `code` is a destination's own finer reason (`sql.table_not_granted`).
    `hint` is made only from what the task may know. `retry_after` is the time after which a
    new request may fare better, where that is known. `rule` is the manifest place that
    decided (`file:line`), for operators and the log, never for the caller.
    """

    reason: ClassVar[Reason] = Reason.REQUEST_INVALID

    def __init__(
        self,
        problem: str,
        *,
        reason: Reason | None = None,
        pointer: str = "",
        code: str | None = None,
        hint: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.why: Reason = reason or type(self).reason
        self.pointer = pointer
        self.code = code
        self.hint = hint
        self.retry_after = retry_after


class Fault(Exception):  # noqa: N818 - named as in the design
    """Something of ours failed. The caller gets the reason and none of the text."""

    reason: ClassVar[Reason] = Reason.INTERNAL


class SandboxUnavailable(Fault):
    """The container that the plan asks for cannot be had as planned. Nothing ran."""

    reason = Reason.SANDBOX_UNAVAILABLE


class EvidenceUnavailable(Fault):
    """The log cannot be written. Nothing may run."""

    reason = Reason.EVIDENCE_UNAVAILABLE
