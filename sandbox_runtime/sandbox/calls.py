"""How does a permitted call become a container of its own?

Law: what goes in is the permitted call's canonical arguments and nothing else; what comes
out is one whole answer, unread, or the kernel's reason why there is none.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from sandbox_runtime.call import Answered, Closed, Outcome, Printed, Progressed
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.argv import NoWord, invocation
from sandbox_runtime.sandbox.container import CallBytes, CommandBytes
from sandbox_runtime.sandbox.launcher import unawaited
from sandbox_runtime.sandbox.plan import (
    ContainerPlan,
    Files,
    Identity,
    Spoken,
    engine_options,
    plan,
)
from sandbox_runtime.sandbox.streams import Log, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox_runtime.call import Permitted, Utterance
    from sandbox_runtime.manifests.model import Program, Tool
    from sandbox_runtime.sandbox.container import Given
    from sandbox_runtime.sandbox.launcher import Finished, Launcher
    from sandbox_runtime.sandbox.streams import Event, Excerpt
    from sandbox_runtime.sandbox.tool_images import Images
    from sandbox_runtime.strict import Json
    from sandbox_runtime.workspaces import Workspace

RUNNER = Path(__file__).with_name("runner.py")
GRACE = 10
"""Seconds past its time after which a container belongs to nobody."""

SAID = MappingProxyType(
    {
        Outcome.CRASHED: "the tool ended without an answer",
        Outcome.OUT_OF_MEMORY: "the tool needed more memory than it may have",
        Outcome.PIDS_LIMIT: "the tool started more processes than it may have",
        Outcome.TIMEOUT: "the tool did not answer in time",
        Outcome.OUTPUT_LIMIT: "the tool wrote more than it may",
        Outcome.INVALID_ANSWER: "the tool's answer is not of the contract's shape",
        Outcome.UNKNOWN: "the container was lost while the tool ran; nobody knows how it went",
    }
)
"""What a model may know of each ending. Nothing of it depends on what a tool wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Containers, one a call."""

    launcher: Launcher
    images: Images
    """Says which image is a tool's."""
    data: Mapping[str, Path]
    """Where the operator's data lies, by name."""
    seconds: Callable[[], float]
    """The wall clock, since 1970."""
    monotonic: Callable[[], float]

    def plan(
        self, permitted: Permitted, *, wall_ms: int, workspace: Workspace | None = None
    ) -> PlannedCall:
        """Return what would run, for at most `wall_ms`. Raises `SandboxUnavailable`.

        `workspace` is the task's, where the call works on its files.
        """
        call, tool = permitted.call, permitted.tool.manifest
        within = min(timedelta(milliseconds=wall_ms), tool.spec.sandbox.wall_time)
        deadline = int(self.seconds() + within.total_seconds() + GRACE)
        spoken = spoken_of(tool.spec.program)
        made = plan(
            image_id=self.images.of(permitted.tool),
            program=() if spoken else tool.spec.program.command,
            spoken=spoken,
            limits=tool.spec.sandbox.model_copy(update={"wall_time": within}),
            identity=Identity(
                broker=self.launcher.broker, task=call.task_id, call=call.call_id, deadline=deadline
            ),
            runner=str(RUNNER),
            data=self._mounts(tool),
            files=_files(permitted, workspace),
        )
        lasting = within // timedelta(milliseconds=1)
        return PlannedCall(self, made, lasting, given(permitted), workspace)

    def _mounts(self, tool: Tool) -> dict[str, str]:
        try:
            return {mount.mount: str(self.data[mount.name]) for mount in tool.spec.data}
        except KeyError as error:
            raise SandboxUnavailable(f"no source is set for the data {error}") from error


def spoken_of(program: Program) -> Spoken | None:
    """Return how a program is understood that knows nothing of this broker; None: by itself."""
    if program.transport == "stdio":
        return None
    return Spoken(
        argv=program.argv or (), stdin=program.stdin, stdout=program.stdout, exits=program.exits
    )


def given(permitted: Permitted) -> Given:
    """Return what goes in; raise `SandboxUnavailable` for what policy would have refused."""
    program, arguments = permitted.tool.manifest.spec.program, permitted.arguments
    if program.transport == "stdio":
        return CallBytes(call_id=permitted.call.call_id, arguments=dict(arguments))
    try:
        return CommandBytes(invocation=invocation(program, arguments))
    except NoWord as no:
        raise SandboxUnavailable(f"`{no.argument}` cannot be put into words") from no


def _files(permitted: Permitted, workspace: Workspace | None) -> Files | None:
    access = permitted.workspace
    if (access is None) != (workspace is None):
        name = permitted.tool.manifest.metadata.name
        raise SandboxUnavailable(f"the call of `{name}` and its task differ about a workspace")
    if workspace is None:
        return None
    read_only = access == "read_only"
    return Files(
        source=str(workspace.view if read_only else workspace.root),
        read_only=read_only,
        size=workspace.size,
        inodes=workspace.inodes,
        uid=workspace.uid,
    )


def unheard(_: object) -> None:
    """Take what a tool says that nobody listens to."""


class PlannedCall:
    """One call's container, planned and not yet created."""

    def __init__(
        self,
        sandbox: Sandbox,
        made: ContainerPlan,
        wall_ms: int,
        given: Given,
        workspace: Workspace | None,
    ) -> None:
        self.made, self.wall_ms = made, wall_ms
        self._sandbox = sandbox
        self._given = given
        self._workspace = workspace
        self._finished: Finished | None = None

    @property
    def image(self) -> str:
        """Id of the image."""
        return self.made.image_id

    @property
    def plan_digest(self) -> str:
        """SHA-256 of exactly what the engine will be asked for, as canonical JSON.

        Of a command also how its words are made. The words themselves are the model's: a
        digest of them, in a leaf of the log, could be guessed at.
        """
        asked = engine_options(self.made)
        if self.made.spoken is not None:
            asked |= {"spoken": self.made.spoken.model_dump(mode="json")}
        canonical = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()

    async def take_turn(self) -> None:
        """Wait until the call may have the task's files to itself, where it works on them.

        Then it keeps the turn until its container is gone, so `answer` is to follow at once.
        Raises `SandboxUnavailable` where the files are gone.
        """
        if self._workspace is not None:
            await self._workspace.enter()

    async def answer(
        self, hear: Callable[[Utterance], None] = unheard, *, most_ms: int | None = None
    ) -> Answered:
        """Run the container; cancelling kills it. Raises `SandboxUnavailable`: nothing ran.

        Bringing it up and running it together take no longer than `most_ms`.
        """
        launcher, now = self._sandbox.launcher, self._sandbox.monotonic()
        within = launcher.patience * 1e3 + self.wall_ms
        done = await launcher.run(
            self.made,
            self._given,
            deadline=now + min(within, most_ms if most_ms is not None else within) / 1e3,
            on_event=telling(hear),
            gone=self._workspace.leave if self._workspace is not None else unawaited,
        )
        self._finished = done
        answer = done.answer.text if done.answered and done.answer else b""
        ending = _ending(done)
        return Answered(
            outcome=ending,
            answer=answer,
            detail=SAID.get(ending, ""),
            walls_digest=done.walls,
            wall_ms=done.wall_ms,
            stages=done.stages,
        )

    async def closed(self) -> Closed:
        """Return the engine's word once the container is gone."""
        if self._finished is None:
            return Closed()
        word = await asyncio.shield(self._finished.closed)
        return Closed(
            container=self._finished.container,
            exit_code=word.exit_code,
            out_of_memory=word.oom_killed or self._finished.ending is Outcome.OUT_OF_MEMORY,
            facts=facts(self._finished),
            log=excerpt(self._finished.log),
        )


def _ending(done: Finished) -> Outcome:
    """Return the outcome. A container lost after the bytes went in is no refused one."""
    if done.answered:
        return Outcome.OK
    return Outcome.UNKNOWN if done.ending is Outcome.SANDBOX_UNAVAILABLE else done.ending


def telling(hear: Callable[[Utterance], None]) -> Callable[[Event], None]:
    """Return what passes on a tool's log and progress to `hear`, as they come."""

    def tell(event: Event) -> None:
        match event:
            case Log():
                hear(Printed(event.stream, event.text))
            case Progress():
                hear(Progressed(_printed(event.value)))
            case _:
                pass

    return tell


def _printed(value: Json) -> bytes:
    """Return JSON, or nothing of a value too deep to be said."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return b""


def facts(done: Finished) -> dict[str, Json]:
    """Return what the kernel counted, by names that the log keeps."""
    found: dict[str, Json] = {"bytes_out": done.bytes_out, "tool_exit_code": done.exit_code}
    if done.counted:
        found |= {
            "cpu_seconds": done.counted.cpu_seconds,
            "memory_peak_bytes": done.counted.memory_peak,
            "oom_kills": done.counted.oom_kills,
            "pids_peak": done.counted.pids_peak,
            "pids_refused": done.counted.pids_refused,
        }
    return found


def excerpt(log: Excerpt) -> str:
    """Return beginning and end of a log as text, and how much is missing between them."""
    head, tail = (bytes(part).decode(errors="replace") for part in (log.head, log.tail))
    missing = log.total - len(log.head) - len(log.tail)
    return f"{head}\n[{missing} bytes left out]\n{tail}" if missing else head + tail
