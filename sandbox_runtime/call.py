"""What is a call at each stage of its life?

Law: each stage is a frozen type with exactly one maker, so that no stage can be skipped
without the type checker seeing it. The makers stand in the docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sandbox_runtime.errors import Reason
    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.manifests.model import Access

Rule = tuple[str | int, ...]
"""A path inside the task manifest: ("spec", "grants", 0, "max_calls")."""


class ModelContext(Strict):
    """Which model proposed the call, as its caller claims. Decides nothing."""

    provider: str = ""
    model: str = ""
    response_id: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedCall:
    """A call as it came in. Made by `server`, from the wire and the authenticated caller."""

    task_id: str
    call_id: str
    tool: str
    text: bytes
    """The arguments as the model wrote them: JSON, or what it takes for JSON."""
    subject: str
    """Who asks, as authenticated."""
    model: ModelContext


class Check(Strict):
    """One value's way through one destination."""

    pointer: str
    """RFC 6901 pointer of the value inside the arguments; empty for all of them."""
    kind: str
    settings: Json
    """The tool's and the grant's, narrowed, variables put in."""
    rule: Rule
    """The manifest place that asked for the check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The call under one of the task's grants."""

    grant: str
    grant_index: int
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A call that some grant may permit. Made by `policy.match`."""

    call: ProposedCall
    tool: LoadedTool
    arguments: Mapping[str, Json]
    """With the tool's defaults put in."""
    attempts: tuple[Attempt, ...]
    """One for each grant that names the tool and these arguments, in the manifest's order."""


class Finding(Strict):
    """What a destination said of one value: it may travel, in this form."""

    verdict: Literal["finding"] = "finding"
    pointer: str
    kind: str
    value: Json
    facts: dict[str, Json]
    changes: tuple[str, ...]
    shown: str | None = None
    """The value as its sender may see it, where `value` holds what it may not."""


class Objected(Strict):
    """What a destination said of one value: it may not travel."""

    verdict: Literal["objected"] = "objected"
    pointer: str
    kind: str
    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,100}$")]
    """A name and never a value: it stands in the log's leaf."""
    problem: str
    subject: str | None
    position: tuple[int, int] | None
    hint: str | None


class CheckAborted(Strict):
    """A worker was killed over a value, or died of it."""

    verdict: Literal["aborted"] = "aborted"
    pointer: str
    kind: str
    cause: str
    """`time`, `memory` or `crash`."""


Verdict = Annotated[Finding | Objected | CheckAborted, Field(discriminator="verdict")]


class Checked(Strict):
    """What the destinations said. Made by `validators`, in another process.

    One tuple for each attempt, in order; each ends with the first verdict that is not a
    `Finding`. Within an attempt a check sees the canonical values of those before it.
    """

    verdicts: tuple[tuple[Verdict, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """The call may run, with these arguments. Made by `policy.decide`."""

    call: ProposedCall
    tool: LoadedTool
    grant: str
    rule: Rule
    arguments: Mapping[str, Json]
    """Canonical: what the tool will read."""
    shown: Mapping[str, Json]
    """The same as the caller may see them: canonical, without row filters."""
    changes: tuple[str, ...]
    facts: Mapping[str, Json]
    """By pointer."""
    workspace: Access | None
    """How the task's files are mounted into it; None: it does not see them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call may not run. Made by `policy.match` or `policy.decide`."""

    reason: Reason
    problem: str
    """One sentence, fit for the model."""
    rule: Rule
    pointer: str = ""
    code: str | None = None
    hint: str | None = None
    retry_after: timedelta | None = None
    """Time after which a new call may fare better, where that is known."""
    grant: str | None = None


@unique
class Outcome(StrEnum):
    """How a started call ended. The names are those of the wire, without their prefix."""

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


class Artifact(Strict):
    """A file that an answer carries. `content` is base64 while it travels as JSON."""

    name: str
    media_type: str
    sha256: str
    content: str


class ToolError(Strict):
    """A tool's own error, cleaned."""

    code: str
    message: str


class CheckedResult(Strict):
    """How the call ended, safe for where it goes next. Made by `policy.release`."""

    outcome: Outcome
    detail: str = ""
    result: str | None = None
    """Canonical JSON text."""
    error: ToolError | None = None
    artifacts: tuple[Artifact, ...] = ()
    changes: tuple[str, ...] = ()
    integrity: str = "untrusted"
    confidentiality: str | None = None
    """None: nothing came back, or the log is from before results had it."""
    source: str | None = None
    """What the result came from; None as above."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a tool printed while it runs. Not cleaned."""

    stream: str
    """`stdout` or `stderr`."""
    text: bytes


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a tool says it is, as JSON. Neither read nor cleaned."""

    text: bytes


Utterance = Printed | Progressed


class Closed(Strict):
    """The engine's word on a container that is gone. Made by `sandbox`."""

    container: str | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    facts: dict[str, Json] = Field(default={})
    """CPU seconds, peak memory in bytes, peak processes, bytes out."""
    log: str = ""
    """Head and tail of what the tool wrote to its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How the container ended, by the engine and the kernel. Made by `sandbox`.

    `outcome` OK says that there is one whole answer, not yet read; every other outcome has
    none. `detail` is one sentence fit for the model.
    """

    outcome: Outcome
    answer: bytes = b""
    detail: str = ""
    walls_digest: str | None = None
    wall_ms: float = 0.0
    stages: Mapping[str, float]
