"""What does each action leave behind in the log?

Law: a leaf carries codes, pointers, sizes and salted commitments. What a model, a user or
a tool wrote lives in an encrypted body, which the leaf only commits to.

Leaves are canonical JSON (sorted keys, no spaces, UTF-8). Their bytes are what the log
keeps; they are never printed again from a model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sandbox_runtime.call import Outcome
from sandbox_runtime.destinations.json_text import MAX_SAFE_INTEGER, canonical
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.variable import Origin
from sandbox_runtime.strict import Json, Strict

Micros = int
"""Microseconds since the Unix epoch, UTC, by the broker's clock. Order is by sequence."""


class Body(Strict):
    """A reference to an encrypted body: its salted commitment, its size, where it lies."""

    commitment: str
    size: int
    at: int


class _Record(Strict):
    v: Literal[1] = 1
    at: Micros


class BrokerStarted(_Record):
    """A broker took the log. Calls it found without an outcome follow as `unknown`."""

    kind: Literal["operator.started"] = "operator.started"
    broker: str
    version: str
    cut_bytes: int
    """Unacknowledged bytes that the last crash left and this start removed."""


class BrokerStopped(_Record):
    """A broker let go of the log in good order."""

    kind: Literal["operator.stopped"] = "operator.stopped"
    broker: str


class IdentityIssued(_Record):
    """Somebody was given a token or a certificate, which counts from here on."""

    kind: Literal["operator.identity_issued"] = "operator.identity_issued"
    identity: str
    subject: str
    roles: tuple[str, ...]
    claims: dict[str, str | int | float | bool]
    issued_as: Literal["token", "certificate"]
    expires_at: Micros
    digest: str
    """Of all that was issued, the digest of token or certificate included."""


class IdentityRevoked(_Record):
    """An issued identity counts no more, for good."""

    kind: Literal["operator.identity_revoked"] = "operator.identity_revoked"
    identity: str
    cause: Literal["revoked", "missing"]
    """`missing`: it is gone from the book of identities."""


class ManifestsLoaded(_Record):
    """A tree of manifests came into force. The body holds its files, to be loaded again."""

    kind: Literal["manifest.loaded"] = "manifest.loaded"
    digest: str
    """Of the tree's text; those below are of what each manifest means."""
    tools: dict[str, str]
    tasks: dict[str, str]
    images: dict[str, str] = Field(default={})
    """Id of each tool's image."""
    body: Body


class ManifestsRefused(_Record):
    """Other manifests were to come into force, and did not. Nothing changed."""

    kind: Literal["manifest.refused"] = "manifest.refused"
    digest: str
    """Of their text, as far as it could be read."""
    broken: Literal["manifests", "machine"]
    """What did not hold: the manifests themselves, or the images and data that they ask for."""
    problems: int


class Allotment(Strict):
    """The filesystem that a task got for its files, as the kernel shows it."""

    uid: int
    """The user that owns the files, and that calls which mount them run as."""
    size: int
    """Bytes; a little more than the manifest asks for."""
    inodes: int


class TaskOpened(_Record):
    """A task began. The body holds prompt and variables."""

    kind: Literal["task.opened"] = "task.opened"
    task: str
    manifest: str
    manifest_digest: str
    tree_digest: str
    subject: str
    """For whom it was opened."""
    delegate: str | None = None
    """Who opened it on the subject's behalf, as authenticated; None: the subject itself."""
    identity: str | None = None
    """Id of the issued identity that was shown; None: a user of the machine, or others' issuing."""
    certificate: str | None = None
    """SHA-256 of the client's certificate; the task's token is worth nothing with another."""
    token_mac: str
    expires_at: Micros
    prompt: tuple[Literal["typed", "attached"], ...]
    variables: dict[str, Origin] = Field(default={})
    """Where each came from. Logs from before say nothing of it."""
    body: Body
    workspace: Allotment | None = None
    """None: its manifest asks for none."""


class FilePut(_Record):
    """A file came into a task's workspace. The body holds its path and digest."""

    kind: Literal["file.put"] = "file.put"
    task: str
    subject: str
    size: int
    body: Body


class FileGot(_Record):
    """A file left, checked, for its destination. The body holds its path and digest."""

    kind: Literal["file.got"] = "file.got"
    task: str
    subject: str
    size: int
    """Of what left."""
    media_type: str
    kept: str | None = None
    """Id of the kept file that it was; None: it lay in the workspace."""
    body: Body


class FileHeldBack(_Record):
    """A file may not leave. The body holds its path and digest, and what was wrong."""

    kind: Literal["file.refused"] = "file.refused"
    task: str
    subject: str | None
    """None: it should have been kept."""
    code: str
    size: int
    body: Body


class FileKept(_Record):
    """A file outlives its task, checked. The body holds its path and digest."""

    kind: Literal["file.kept"] = "file.kept"
    task: str
    file: str
    """Its id."""
    size: int
    media_type: str
    until: Micros
    body: Body


class FileDeleted(_Record):
    """The time of a kept file is over."""

    kind: Literal["file.deleted"] = "file.deleted"
    task: str
    file: str


FileRecord = FilePut | FileGot | FileHeldBack | FileKept | FileDeleted


class WorkspaceRemoved(_Record):
    """The files of a task that has ended are gone, and the disk has their room back."""

    kind: Literal["workspace.removed"] = "workspace.removed"
    task: str


class TaskClosed(_Record):
    """A task ended before its time."""

    kind: Literal["task.closed"] = "task.closed"
    task: str
    subject: str


class TaskExtended(_Record):
    """Its opener lets a task live longer."""

    kind: Literal["task.extended"] = "task.extended"
    task: str
    subject: str
    expires_at: Micros


class TaskInput(_Record):
    """Its opener added to what the task was asked to do. The body holds the parts."""

    kind: Literal["task.input"] = "task.input"
    task: str
    subject: str
    prompt: tuple[Literal["typed", "attached"], ...]
    body: Body


Claimed = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/@+-]{0,128}$")]
"""A name that a caller claims. A name and never a text: it stands in the log's leaf."""
Count = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]


class ModelClaim(Strict):
    """One request to a model, as its caller tells it."""

    provider: Claimed
    model: Claimed
    version: Claimed
    input_tokens: Count
    output_tokens: Count
    latency_ms: Annotated[float, Field(ge=0, le=1e12)]
    finish_reason: Claimed
    prompt_digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
    validation: Literal["unspecified", "accepted", "rejected"]
    """Whether its answer was of the shape that was asked for."""


class ModelCalled(_Record):
    """A model was called, says the caller. Nobody else saw it."""

    kind: Literal["model.call"] = "model.call"
    task: str
    subject: str
    claimed: ModelClaim


class CheckTrace(Strict):
    """One destination's word on one value, without the value."""

    pointer: str
    kind: str
    verdict: Literal["finding", "objected", "aborted"]
    code: str | None = None


class CallDecided(_Record):
    """The decision on a call. The body holds what was proposed, found and decided."""

    kind: Literal["call.decided"] = "call.decided"
    task: str
    call: str
    tool: str | None
    """None: the manifests know no tool of that name; the name is in the body."""
    tool_digest: str | None
    subject: str
    request_mac: str
    checked_only: bool
    permitted: bool
    grant: str | None
    reason: Reason | None
    code: str | None
    pointer: str
    rule: str
    """`file:line` of the manifest's word that decided."""
    checks: tuple[tuple[CheckTrace, ...], ...]
    stages: dict[str, float]
    """Milliseconds by stage."""
    body: Body


class CallIntent(_Record):
    """The call's bytes are about to go into a container. One append with its decision."""

    kind: Literal["call.intent"] = "call.intent"
    task: str
    call: str
    grant: str
    image: str
    plan_digest: str
    reserved_ms: int
    """Wall time set aside from the task's budget until the outcome is known."""
    workspace: Literal["read_only", "read_write"] | None = None
    """How the task's files are mounted. None: they are not, or the record is older than this."""


class Cancellation(Strict):
    """Why a call was cancelled."""

    how: Literal["asked", "task_closed", "hung_up", "stopped"]
    """Somebody asked for it; closed its task; sent it and went away; or the broker stopped."""
    by: str | None = None
    """Who asked or closed, as authenticated."""


class CallOutcome(_Record):
    """How a started call ended. The body holds its checked result."""

    kind: Literal["call.outcome"] = "call.outcome"
    task: str
    call: str
    outcome: Outcome
    code: str | None
    checks: tuple[CheckTrace, ...]
    walls_digest: str | None
    """What the kernel showed applied, before the call's bytes went in."""
    wall_ms: float
    result_bytes: int
    integrity: str
    confidentiality: str | None = None
    """With `source`, its label. None: nothing came back, or the record is older than this."""
    source: str | None = None
    stages: dict[str, float]
    cancelled: Cancellation | None = None
    """Why, where it was cancelled."""
    body: Body


class CallClosed(_Record):
    """The engine's word on the container. The body holds head and tail of the tool's log."""

    kind: Literal["call.closed"] = "call.closed"
    task: str
    call: str
    container: str | None
    exit_code: int | None
    out_of_memory: bool
    facts: dict[str, Json]
    """CPU seconds, peak memory in bytes, peak processes, bytes out."""
    body: Body


class OutputChecked(_Record):
    """The decision on a final answer. The body holds what was proposed, found and decided."""

    kind: Literal["output.checked"] = "output.checked"
    task: str
    output: str | None
    """None: the manifest knows no output of that name; the name is in the body."""
    output_id: str
    subject: str
    request_mac: str
    permitted: bool
    reason: Reason | None
    code: str | None
    rule: str
    """`file:line` of the manifest's word that decided."""
    checks: tuple[CheckTrace, ...]
    """Empty: no destination was asked, and no check was spent."""
    written_bytes: int
    canonical_bytes: int | None
    """None: it may not go out."""
    changes: int
    """How many things were rewritten."""
    stages: dict[str, float]
    """Milliseconds by stage."""
    body: Body


class AuthRefused(_Record):
    """Attempts without a valid credential, counted since the last such record."""

    kind: Literal["auth.refused"] = "auth.refused"
    count: int
    since: Micros
    reasons: dict[str, int]


class RefusalsSpent(_Record):
    """A task used up its refusals; from now on nothing of it is decided or logged."""

    kind: Literal["alert.refusals_spent"] = "alert.refusals_spent"
    task: str


Record = Annotated[
    BrokerStarted
    | BrokerStopped
    | IdentityIssued
    | IdentityRevoked
    | ManifestsLoaded
    | ManifestsRefused
    | TaskOpened
    | TaskClosed
    | WorkspaceRemoved
    | FilePut
    | FileGot
    | FileHeldBack
    | FileKept
    | FileDeleted
    | TaskExtended
    | TaskInput
    | ModelCalled
    | CallDecided
    | CallIntent
    | CallOutcome
    | CallClosed
    | OutputChecked
    | AuthRefused
    | RefusalsSpent,
    Field(discriminator="kind"),
]

ENDINGS = (
    BrokerStopped,
    TaskClosed,
    WorkspaceRemoved,
    FileKept,
    FileDeleted,
    CallOutcome,
    CallClosed,
)
"""Records that end something begun."""

_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def leaf(record: Record) -> bytes:
    """Return the bytes that the log keeps of `record`."""
    return canonical(record.model_dump(mode="json"))


def parse(stored: bytes) -> Record:
    """Return the record that `leaf` wrote; raises pydantic's ValidationError."""
    return _RECORD.validate_json(stored)


def bodies(record: Record) -> tuple[Body, ...]:
    """Return the bodies that `record` commits to."""
    body = getattr(record, "body", None)
    return (body,) if body is not None else ()
