"""What does a client send and get?

Law: plain frozen values. What the broker says in a way that this client does not know is
kept as `UNSPECIFIED`, which counts as failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

Json = Any
"""What JSON can say: None, bool, int, float, str, list, dict."""


@unique
class Outcome(StrEnum):
    """How a started call ended."""

    UNSPECIFIED = "UNSPECIFIED"
    """A newer broker said something that this client does not know: failed."""
    OK = "OK"
    TOOL_ERROR = "TOOL_ERROR"
    CRASHED = "CRASHED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PIDS_LIMIT = "PIDS_LIMIT"
    TIMEOUT = "TIMEOUT"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    INVALID_ANSWER = "INVALID_ANSWER"
    RESULT_REFUSED = "RESULT_REFUSED"
    CANCELLED = "CANCELLED"
    SANDBOX_UNAVAILABLE = "SANDBOX_UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


@unique
class CallState(StrEnum):
    """Where a call stands."""

    UNSPECIFIED = "UNSPECIFIED"
    RUNNING = "RUNNING"
    ENDED = "ENDED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A piece of what the task was asked to do."""

    source: Literal["typed", "attached"]
    text: str


def typed(text: str) -> Prompt:
    """Return what the user typed: trusted."""
    return Prompt("typed", text)


def attached(text: str) -> Prompt:
    """Return what the user pasted or attached: not trusted."""
    return Prompt("attached", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which model proposed a call. Recorded as claimed; decides nothing."""

    provider: str = ""
    model: str = ""
    response_id: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """One tool, ready for a model's tool list."""

    name: str
    description: str
    parameters: dict[str, Json]
    """JSON Schema 2020-12 of its arguments, narrowed by the task's grants."""
    calls_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The call would run, like this."""

    grant: str
    arguments: Mapping[str, Json]
    changes: tuple[str, ...]
    """What was rewritten and why, in sentences fit for the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file beside a result."""

    name: str
    media_type: str
    sha256: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolError:
    """A tool's own error, cleaned for a model's context."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """The recorded end of a call."""

    call_id: str
    outcome: Outcome
    result: Json
    """The tool's answer, checked and cleaned; None unless `outcome` is OK."""
    error: ToolError | None
    artifacts: tuple[Artifact, ...]
    detail: str
    """One sentence about an outcome other than OK, fit for the model."""
    arguments: Mapping[str, Json]
    """As they ran."""
    changes: tuple[str, ...]
    grant: str
    integrity: str
    """`untrusted` or `trusted`: whether the result may steer what happens next."""
    confidentiality: str
    """`public` to `restricted`; empty where nothing came back."""
    source: str
    """Name of what the result came from; empty where nothing came back."""
    wall_time: timedelta
    record: int
    """Sequence number of the outcome's record in the log."""

    @property
    def ok(self) -> bool:
        """Whether the tool answered and its answer may be used."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRefusal:
    """Why a call was refused when it was decided."""

    reason: str
    pointer: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatus:
    """Where a call stands; `end` or `refusal` as `state` says."""

    call_id: str
    state: CallState
    end: CallEnd | None
    refusal: RecordedRefusal | None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A watched call runs."""

    missed_bytes: int
    """What its tool said and is no longer kept."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How far the tool says it is, cleaned."""

    value: Json


@dataclass(frozen=True, slots=True)
class CallLog:
    """A piece of what the tool printed, cleaned."""

    stream: str
    """`stdout` or `stderr`."""
    text: str


@dataclass(frozen=True, slots=True)
class CallWithheld:
    """The tool said something that may not be shown."""

    code: str


CallEvent = CallStarted | CallProgress | CallLog | CallWithheld | CallEnd
"""What a watched call does. Its end comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to a model, to be recorded as claimed. Its texts are names."""

    provider: str
    model: str
    version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    latency: timedelta | None = None
    finish_reason: str = ""
    prompt_digest: str = ""
    """`sha256:` and 64 hexadecimal digits."""
    accepted: bool | None = None
    """Whether its answer was of the shape that was asked for; None: nobody looked."""


@unique
class TaskState(StrEnum):
    """Whether a task may act."""

    UNSPECIFIED = "UNSPECIFIED"
    OPEN = "OPEN"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Amounts that all calls of a task share."""

    calls: int
    wall_time: timedelta
    """What containers ran, with what calls under way have set aside."""
    result_bytes: int
    refusals: int
    checks: int
    outputs: int = 0
    """Final answers that were checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUse:
    """What a task used of one grant."""

    grant: str
    tool: str
    calls: int
    calls_left: int
    """Within the task's budget, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """Where a task stands."""

    id: str
    manifest: str
    manifest_digest: str
    state: TaskState
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    granted: Budgets
    used: Budgets
    grants: tuple[GrantUse, ...]
    running_calls: tuple[str, ...]
    """Their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedTask:
    """A new task and its credential."""

    id: str
    token: str = field(repr=False)
    expires_at: datetime
    manifest_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDefinition:
    """One final answer that a task may give."""

    name: str
    description: str
    schema: dict[str, Json]
    """JSON Schema 2020-12 of the answer."""
    checks_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOutput:
    """A final answer that may go out, in the one form in which it may."""

    output_id: str
    value: Json
    changes: tuple[str, ...]
    """What was rewritten and why."""
    record: int
    """Sequence of the decision in the log."""


@unique
class BodyState(StrEnum):
    """Whether what a record keeps encrypted can be read."""

    UNSPECIFIED = "UNSPECIFIED"
    OPENED = "OPENED"
    ERASED = "ERASED"
    """Its task's key was destroyed."""
    DAMAGED = "DAMAGED"
    """It is not what the record committed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBody:
    """What a record keeps encrypted."""

    state: BodyState
    text: bytes = field(repr=False)
    """JSON, exactly as it was kept. Not cleaned: it may hold what no terminal should see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record of the log, as the log holds it."""

    sequence: int
    leaf: bytes
    """Canonical JSON, exactly as it is kept."""
    body: RecordBody | None = None

    @property
    def fields(self) -> dict[str, Json]:
        """What the leaf says."""
        said: dict[str, Json] = json.loads(self.leaf)
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Some records."""

    records: tuple[StoredRecord, ...]
    next: str
    """What to ask for the next page with; empty: the log held no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records are wanted. Each field narrows; left out, it takes anything."""

    task: str = ""
    call: str = ""
    kinds: tuple[str, ...] = ()
    subject: str = ""
    tool: str = ""
    permitted: bool | None = None
    reason: str = ""
    """A reason, or the code of the check that refused."""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
