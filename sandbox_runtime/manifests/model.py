"""What may a tool ever do, and what may one task do with it?

Law: a manifest is data with a decidable meaning. What it does not name does not happen;
a key it misspells is an error; a default is always the tightest.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainSerializer, Tag, create_model

from sandbox_runtime.destinations.csv.settings import CsvSettings
from sandbox_runtime.destinations.file.types import MediaType, implied
from sandbox_runtime.destinations.html.settings import HtmlSettings
from sandbox_runtime.destinations.registry import DESTINATIONS, dump
from sandbox_runtime.manifests.command import FLAG, LITERAL, Element, Exits, Stdin, Stdout
from sandbox_runtime.manifests.constraint import Constraint, Scalar
from sandbox_runtime.manifests.units import Duration, Size, durations, sizes
from sandbox_runtime.manifests.variable import CLAIM, Variable
from sandbox_runtime.strict import Json, Strict

_NAME = r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$"
_IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"
_VARIABLE = r"^[a-z][a-z0-9_]*$"
_VERSION = r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$"
_SUBJECT = r"^[a-z]+:[A-Za-z0-9._@-]+$"
_FOLDER = r"^(\.|[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)$"
_DATA_PATH = r"^/data(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$"
_GLOB = r"^[A-Za-z0-9_*?-][A-Za-z0-9._*? -]*(/[A-Za-z0-9_*?-][A-Za-z0-9._*? -]*)*$"
_PACKAGE = r"^[a-z0-9][a-z0-9+.-]+$"

PATTERNS = MappingProxyType(
    {
        _NAME: "a name of lower-case letters, digits and single `_` or `-` between them",
        _IDENTIFIER: "a letter, then letters, digits or `_`",
        _VARIABLE: "a lower-case letter, then lower-case letters, digits or `_`",
        _VERSION: "a version like `1.2.0`",
        _SUBJECT: "a subject like `agent:reporting` or `uid:1000`",
        _FOLDER: "a folder at or below the manifest's own, like `.` or `image`",
        _DATA_PATH: "a path below `/data`, like `/data/sales.db`",
        _GLOB: "a pattern of names below the workspace, like `*.csv` or `charts/*.html`",
        CLAIM: "a claim's name, in printable ASCII without spaces",
        _PACKAGE: "a package of the distribution, like `jq`",
        FLAG: "a flag like `-n` or `--max-count`",
        LITERAL: "text of one line",
    }
)
"""What each pattern of this module asks for, in words."""

Name = Annotated[str, Field(pattern=_NAME, max_length=63)]
"""A tool, a task, a grant or a data source."""

ArgumentName = Annotated[str, Field(pattern=_IDENTIFIER, max_length=63)]
VariableName = Annotated[str, Field(pattern=_VARIABLE, max_length=63)]
"""What a grant refers to as `$name`."""

FileGlob = Annotated[str, Field(pattern=_GLOB, max_length=255)]
"""Names of files below a workspace: `*` and `?` stand for what is within one name."""

Subject = Annotated[str, Field(pattern=_SUBJECT, max_length=128)]
"""Who asks, as authenticated: `agent:reporting`, `uid:1000`."""


Package = Annotated[str, Field(pattern=_PACKAGE, max_length=64)]


class Role(StrEnum):
    """What an argument steers."""

    CONTROL = "control"
    """It decides what happens; every grant must name it."""
    CONTENT = "content"
    """It is carried along; a grant may leave it at the tool's bounds."""


class Metadata(Strict):
    """Which manifest this is, and who answers for it."""

    name: Name
    """Its name: what grants, openers and calls say."""
    version: Annotated[str, Field(pattern=_VERSION, max_length=32)] = "0.0.0"
    """Of this manifest, for whoever reads it."""
    owner: Annotated[str, Field(max_length=128)] = ""
    """The team that answers for it."""
    review: Annotated[str, Field(max_length=256)] = ""
    """Where this manifest was reviewed: a pull request, a ticket."""


class Build(Strict):
    """The image is built from a folder: its Dockerfile, or one made for it."""

    build: Annotated[str, Field(pattern=_FOLDER, max_length=255)] = "."
    """The folder, relative to the manifest's own and not above it."""
    packages: Annotated[tuple[Package, ...], Field(max_length=32)] = ()
    """Packages of the base's distribution whose programs the tool runs, as its archive signs
    them; what they depend on comes along."""


class Program(Strict):
    """What runs inside the container."""

    image: Build = Build()
    """What it runs in."""
    transport: Literal["stdio", "command"] = "stdio"
    """`stdio`: one JSON object on standard input, JSON lines on file descriptor 3.
    `command`: a program that knows nothing of this; `argv` lays out its words."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] = ("/usr/bin/python3", "/tool/main.py")
    """The argv inside the container, for `stdio`. No shell reads it."""
    argv: Annotated[tuple[Element, ...], Field(min_length=1, max_length=128)] | None = None
    """For `command`: the program's path, then words as they stand and words of arguments."""
    stdin: Stdin | None = None
    """For `command`: what the program reads."""
    stdout: Stdout = "text"
    """For `command`: what the program prints, which is the result. What it complains is its log."""
    exits: Exits = Exits()
    """For `command`: which exit codes are a success, and what others mean."""


class _Destined(Strict):
    """A model whose keys may also be destinations: `sql: {…}`, `schema: {…}`."""

    def checks(self) -> tuple[tuple[str, Strict], ...]:
        """Return (kind, settings) of each destination this names, in registry order."""
        named = ((kind, getattr(self, f"{kind}_", None)) for kind in DESTINATIONS)
        return tuple((kind, settings) for kind, settings in named if settings is not None)


def _destination_fields() -> dict[str, Any]:
    # Settings may tell a key that is null from one that is left out; `dump` keeps that.
    written = PlainSerializer(dump, return_type=Any, when_used="unless-none")
    return {
        f"{kind}_": (
            Annotated[destination.settings, written] | None,
            Field(default=None, alias=kind, description=f"It goes to the destination `{kind}`."),
        )
        for kind, destination in DESTINATIONS.items()
    }


JsonType = Literal["string", "integer", "number", "boolean", "array", "object"]


class _ToolArgument(_Destined):
    """One argument of a tool, and the most it may ever be."""

    type: JsonType
    """What JSON calls its values."""
    description: Annotated[str, Field(max_length=2000)] = ""
    """What it is for. A model reads this."""
    role: Role = Role.CONTENT
    """What it steers. A grant has to name every `control` argument."""
    default: Json = None
    """Used when the call leaves the argument out. Without it the argument is required."""
    enum: Annotated[tuple[Scalar, ...], Field(min_length=1)] | None = None
    """The only values it may have."""
    minimum: int | float | None = None
    """The least that a number may be."""
    maximum: int | float | None = None
    """The most that a number may be."""
    min_length: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="minLength")
    """The least characters of a string."""
    max_length: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="maxLength")
    """The most characters of a string."""
    items: dict[str, Json] | None = None
    """JSON Schema of an array's items."""
    max_items: Annotated[int, Field(ge=0)] | None = Field(default=None, alias="maxItems")
    """The most items of an array."""

    @property
    def required(self) -> bool:
        """Whether a call must carry it."""
        return self.default is None

    def json_schema(self) -> dict[str, Json]:
        """Return the argument's own bounds as JSON Schema 2020-12."""
        named: dict[str, Json] = {
            "type": self.type,
            "description": self.description or None,
            "enum": list(self.enum) if self.enum else None,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "minLength": self.min_length,
            "maxLength": self.max_length,
            "items": self.items,
            "maxItems": self.max_items,
            "default": self.default,
        }
        return {key: value for key, value in named.items() if value is not None}


class _GrantArgument(_Destined, Constraint):
    """What one argument may be under one grant. All that is named must hold."""


class Integrity(StrEnum):
    """Whether data may steer what happens next."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


class Confidentiality(StrEnum):
    """Who may come to know data, from anybody to the fewest."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Labels(Strict):
    """What is known of a result, wherever it travels. Left out, each is at its tightest."""

    integrity: Integrity = Integrity.UNTRUSTED
    """Whether it may steer what happens next."""
    confidentiality: Confidentiality = Confidentiality.RESTRICTED
    """Who may come to know it."""
    source: Name | None = None
    """What it came from, by a name that several tools may share. Left out: the tool's own."""


class Artifacts(Strict):
    """Files that an answer may carry beside its result. None unless named here."""

    types: tuple[Literal["image/png", "text/csv", "application/json"], ...] = ()
    """Media types that may come; the first bytes have to agree."""
    max_count: Annotated[int, Field(ge=0, le=64)] = 0
    """How many one answer may carry."""
    max_bytes: Annotated[Size, sizes("1B", "64Mi")] = 1 << 20
    """The most that one artifact may hold."""


class _Result(_Destined):
    """What a tool's answer may be, and what it passes on its way to the model."""

    labels: Labels = Labels()
    """What is known of the result, wherever it travels."""
    artifacts: Artifacts = Artifacts()
    """Files that may come beside it."""


class _Output(_Destined):
    """A final answer that a task may give, and what it passes before anyone reads it."""

    type: JsonType
    """What JSON calls its values."""
    description: Annotated[str, Field(max_length=2000)] = ""
    """What the answer is to be, for the model."""
    max_checks: Annotated[int, Field(ge=1, le=1000)] = 10
    """How often one may be sent, accepted or not."""


# INVARIANT (destinations are open): which keys these four models have is read from the
# registry, so that a new destination is one package and no change here.
if TYPE_CHECKING:

    class ToolArgument(_ToolArgument):
        """One argument of a tool, and the most it may ever be."""

    class GrantArgument(_GrantArgument):
        """What one argument may be under one grant. All that is named must hold."""

    class Result(_Result):
        """What a tool's answer may be, and what it passes on its way to the model."""

    class Output(_Output):
        """A final answer that a task may give, and what it passes before anyone reads it."""

else:

    def _with_destinations(name: str, base: type[Strict]) -> type[Strict]:
        fields = _destination_fields()
        return create_model(
            name, __base__=base, __module__=__name__, __doc__=base.__doc__, **fields
        )

    ToolArgument = _with_destinations("ToolArgument", _ToolArgument)
    GrantArgument = _with_destinations("GrantArgument", _GrantArgument)
    Result = _with_destinations("Result", _Result)
    Output = _with_destinations("Output", _Output)


class DataMount(Strict):
    """Operator's data, mounted read-only. Its place on the host is the operator's to set."""

    name: Name
    """What the operator calls it under `data` in the broker's settings."""
    mount: Annotated[str, Field(pattern=_DATA_PATH, max_length=255)]
    """Where the tool finds it."""
    read_only: Literal[True] = True
    """It always is; this says so to the reader."""


class Limits(Strict):
    """Ceilings on one container. Left out, each is at its tightest."""

    memory: Annotated[Size, sizes("32Mi", "8Gi")] = 128 << 20
    """Swap included; pages of `/tmp` count."""
    cpu: Annotated[float, Field(gt=0, le=8)] = 0.5
    """Share of processors: 0.5 is half of one."""
    wall_time: Annotated[Duration, durations("1ms", "1h")] = timedelta(seconds=10)
    """The container is killed after this long, measured from its start."""
    pids: Annotated[int, Field(ge=4, le=1024)] = 32
    """Processes and threads at a time."""
    tmp: Annotated[Size, sizes("4Ki", "1Gi")] = 16 << 20
    """Bytes of `/tmp`, the only place a tool may write to."""
    tmp_inodes: Annotated[int, Field(ge=16, le=1_000_000)] = 1024
    """Files and directories below `/tmp`."""
    open_files: Annotated[int, Field(ge=32, le=4096)] = 256
    """Open file descriptors of a process."""
    file_size: Annotated[Size, sizes("4Ki", "1Gi")] = 16 << 20
    """The most bytes of one file that it writes."""
    output: Annotated[Size, sizes("4Ki", "64Mi")] = 1 << 20
    """All bytes that leave the container: answer, log and progress together."""
    isolation: Literal["runc"] = "runc"
    """The runtime that isolates it."""


Access = Literal["read_only", "read_write"]
"""What a call may do to its task's files."""


class Mount(Strict):
    """The task's files, for those calls alone that ask for them."""

    mount: Access
    """How they are mounted at `/workspace`."""
    asked_by: Annotated[tuple[ArgumentName, ...], Field(min_length=1, max_length=64)]
    """Arguments: a call in which one of these is not empty asks."""


def _mounting(value: object) -> str:
    return "asked" if isinstance(value, dict | Mount) else "always"


class ToolSpec(Strict):
    """What a tool is, and the most it may ever do."""

    description: Annotated[str, Field(min_length=1, max_length=4000)]
    """What it does. A model reads this, and chooses by it."""
    program: Program = Program()
    """What runs, and how it is spoken to."""
    arguments: dict[ArgumentName, ToolArgument] = Field(default_factory=dict)
    """What a call may bring, by name. What is not here cannot be sent."""
    result: Result
    """What may come back."""
    data: tuple[DataMount, ...] = ()
    """Operator's data that it reads."""
    workspace: (
        Annotated[
            Annotated[Access, Tag("always")] | Annotated[Mount, Tag("asked")],
            Discriminator(_mounting),
        ]
        | None
    ) = None
    """How the task's files are mounted at `/workspace`, and when. Left out, they are not."""
    sandbox: Limits = Limits()
    """The most that one container may use."""

    @property
    def always_mounts(self) -> bool:
        """Whether every call of it works on its task's files."""
        return self.workspace is not None and not isinstance(self.workspace, Mount)


class Tool(Strict):
    """A tool manifest."""

    api_version: Literal["sandbox-runtime/v1"] = Field(alias="apiVersion")
    """The language of this file."""
    kind: Literal["Tool"]
    """What this file says."""
    metadata: Metadata
    """Which tool this is."""
    spec: ToolSpec
    """What it may ever do."""


class Lifetime(Strict):
    """How long a task lives from its opening."""

    default: Annotated[Duration, durations("1s", "7d")] = timedelta(minutes=15)
    """How long, where the opener does not say."""
    max: Annotated[Duration, durations("1s", "7d")] = timedelta(hours=1)
    """The longest that may be asked for."""


class Rate(Strict):
    """So many started calls within any stretch of time of this length."""

    calls: Annotated[int, Field(ge=1, le=1000)]
    """How many."""
    per: Annotated[Duration, durations("1s", "7d")]
    """In how long."""


class Grant(Strict):
    """One capability: this tool, with arguments like these, so many times, because."""

    id: Name
    """Its stable name in refusals and in the log."""
    tool: Name
    """The tool's name."""
    why: Annotated[str, Field(min_length=1, max_length=1000)]
    """Why the task needs it. A reviewer reads this."""
    max_calls: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many calls may be started under it."""
    rate: Rate | None = None
    """How many within any stretch of time."""
    after: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)] | None = None
    """Ids of grants. Under each of them a call of the task has to have ended OK before."""
    arguments: dict[ArgumentName, GrantArgument] = Field(default_factory=dict)
    """What each argument may be; every one that steers the tool is named."""


class Budgets(Strict):
    """What all calls of a task together may spend."""

    calls: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Calls that may be started."""
    wall_time: Annotated[Duration, durations("1ms", "7d")] = timedelta(seconds=60)
    """Sum of the time that containers ran."""
    result_bytes: Annotated[Size, sizes("1B", "1Gi")] = 1 << 20
    """Sum of what came back and was released."""
    refusals: Annotated[int, Field(ge=1, le=100_000)] = 100
    """After so many refused calls and answers nothing more of the task is decided or logged."""
    checks: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    """The same for calls that were checked only."""
    outputs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Final answers that were checked, accepted or not."""


class Workspace(Strict):
    """Files that calls of one task hand on to each other, and that end with the task."""

    size: Annotated[Size, sizes("1Mi", "64Gi")]
    """Room for files; the disk that it takes is set aside when the task is opened."""
    inodes: Annotated[int, Field(ge=16, le=1_000_000)] = 4096
    """How many files and folders there may be."""
    keep: Annotated[tuple[FileGlob, ...], Field(max_length=64)] = ()
    """Which files outlive the task: patterns of their names. Left out, none does."""
    retain: Annotated[Duration, durations("1m", "365d")] = timedelta(days=7)
    """How long after the task's end they are kept."""
    types: Annotated[tuple[MediaType, ...], Field(min_length=1)] | None = None
    """What a file that leaves may be. Left out, what the suffixes in `keep` say; else nothing."""
    html: HtmlSettings | None = None
    """What a page that leaves may link to and load. Left out: nothing."""
    csv: CsvSettings | None = None
    """How large a table that leaves may be, and what becomes of its formulas."""

    @property
    def leaving(self) -> tuple[MediaType, ...]:
        """The types of files that may leave."""
        return implied(self.keep) if self.types is None else self.types


class TaskSpec(Strict):
    """What one kind of task may do."""

    description: Annotated[str, Field(max_length=4000)] = ""
    """What such a task is for."""
    opened_by: Annotated[tuple[Subject, ...], Field(min_length=1)]
    """Subjects that may open one, as authenticated: `agent:reporting`, `uid:1000`."""
    delegates: tuple[Subject, ...] = ()
    """Who may open it on behalf of those; nobody unless named here."""
    variables: dict[VariableName, Variable] = Field(default_factory=dict)
    """Values that are fixed at the opening; grants refer to them as `$name`."""
    lifetime: Lifetime = Lifetime()
    """How long it lives."""
    workspace: Workspace | None = None
    """Files that its calls hand on to each other."""
    grants: Annotated[tuple[Grant, ...], Field(min_length=1)]
    """What it may do. Several grants of one tool are tried in this order, never merged."""
    outputs: dict[Name, Output] = Field(default_factory=dict)
    """Final answers that it may give, by name. It gives no other."""
    budgets: Budgets = Budgets()
    """What all its calls together may spend."""


class Task(Strict):
    """A task manifest."""

    api_version: Literal["sandbox-runtime/v1"] = Field(alias="apiVersion")
    """The language of this file."""
    kind: Literal["Task"]
    """What this file says."""
    metadata: Metadata
    """Which kind of task this is."""
    spec: TaskSpec
    """What it may do."""
