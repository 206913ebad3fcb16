"""How does one container come up, take one call, and go?

Law: the order is create, attach, start, ready, read back, and only then the call's
bytes. It takes one call, ever. From before the engine is asked to create it until it is
removed, `close` removes it, however far it came.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from select import POLLIN, poll
from typing import TYPE_CHECKING

import orjson

from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox import cgroups
from sandbox_runtime.sandbox.comparison import compare
from sandbox_runtime.sandbox.plan import engine_options
from sandbox_runtime.sandbox.readback import observe
from sandbox_runtime.sandbox.streams import (
    Answer,
    Ended,
    Event,
    OutputLimit,
    ProtocolViolation,
    Transcript,
)
from sandbox_runtime.sandbox.walls import expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.manifests.argv import Invocation
    from sandbox_runtime.sandbox.cgroups import Cgroup, Counted
    from sandbox_runtime.sandbox.comparison import Difference
    from sandbox_runtime.sandbox.engine import Attached, Engine
    from sandbox_runtime.sandbox.plan import ContainerPlan
    from sandbox_runtime.strict import Json

CHUNK = 1 << 16
LAST_WORD = 5.0
"""Seconds that the engine has to say how a killed container ended. It is removed then."""


class WallsDiffer(SandboxUnavailable):
    """The kernel shows other walls than the plan's."""

    def __init__(self, differences: tuple[Difference, ...]) -> None:
        super().__init__("; ".join(map(str, differences)))
        self.differences = differences


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBytes:
    """What the tool gets to read."""

    call_id: str
    arguments: Json

    @property
    def frame(self) -> bytes:
        """The runner's one frame in: length, and the line for the tool."""
        line = orjson.dumps({"call_id": self.call_id, "arguments": self.arguments})
        return len(line).to_bytes(4, "big") + line


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBytes:
    """What a program is started with that knows nothing of this broker."""

    invocation: Invocation

    @property
    def frame(self) -> bytes:
        """The runner's one frame in: how many texts, each after its length, then the input.

        The first text names the file that stands for the input, if it is not empty.
        """
        texts = [(self.invocation.file or "").encode()]
        texts += [word.encode() for word in self.invocation.words]
        sized = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
        call = len(texts).to_bytes(4, "big") + sized + self.invocation.stdin
        return len(call).to_bytes(4, "big") + call


Given = CallBytes | CommandBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What the engine said at the end. Nothing where it could not be asked."""

    exit_code: int | None = None
    oom_killed: bool = False


class Stages:
    """How long each stage took, in milliseconds."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self._last = time.monotonic()

    def end(self, stage: str) -> None:
        """Note that `stage` ends now and the next begins."""
        now = time.monotonic()
        self.took[stage], self._last = round((now - self._last) * 1e3, 3), now


class Container:
    """One container. `start` it, let it `converse` once, `close` it in any case."""

    def __init__(self, engine: Engine, plan: ContainerPlan) -> None:
        self.engine, self.plan = engine, plan
        self.name = f"sandbox-{uuid.uuid4().hex}"
        self.stages = Stages()
        self.transcript = Transcript(cap=plan.ceilings.output, spoken=plan.spoken)
        self.early: list[Event] = []
        self.id = ""
        self.walls = ""
        self.started = 0.0
        self.cgroup: Cgroup | None = None
        self._creation: asyncio.Task[str] | None = None
        self._attached: Attached | None = None
        self._pidfd: int | None = None
        self._given = False

    async def start(self) -> None:
        """Bring it up to where it may take a call, or raise `SandboxUnavailable`."""
        self._creation = asyncio.create_task(
            self.engine.create(self.name, engine_options(self.plan))
        )
        self.id = await asyncio.shield(self._creation)
        self.stages.end("create")
        self._attached = await self.engine.attach(self.id)
        self.stages.end("attach")
        await self.engine.start(self.id)
        self.started = time.monotonic()
        self.stages.end("start")
        state, _ = await asyncio.gather(self.engine.inspect(self.id), self._ready())
        self.stages.end("ready")
        self._read_back(state.pid)
        self.stages.end("readback")

    async def _ready(self) -> None:
        """Wait for the runner's word."""
        try:
            async with asyncio.timeout(self.engine.timeout):
                while not self.transcript.ready:
                    self.early += self.transcript.feed(await self._read())
        except (EOFError, OSError, TimeoutError, OutputLimit, ProtocolViolation) as error:
            said = bytes(self.transcript.runner.tail or self.transcript.runner.head)
            raise SandboxUnavailable(f"the runner did not come up: {said!r}") from error

    async def _read(self) -> bytes:
        """Return the next bytes; raise EOFError at the end."""
        if self._attached is None:
            raise EOFError
        data, self._attached.early[:] = bytes(self._attached.early), b""
        if data := data or await self._attached.reader.read(CHUNK):
            return data
        raise EOFError

    def _read_back(self, pid: int) -> None:
        """Take hold of the process and compare its walls with the plan's.

        The pid is held first and checked to be the container's after: from then on it
        cannot pass to another process unnoticed.
        """
        walls = expected(self.plan)
        try:
            self._pidfd = os.pidfd_open(pid)
            self.cgroup = cgroups.locate(pid, self.id)
            seen = observe(pid, walls, self.cgroup.held())
        except (OSError, ValueError, LookupError) as error:
            raise SandboxUnavailable("the container's walls cannot be read back") from error
        if differences := compare(walls, seen):
            raise WallsDiffer(differences)
        self.walls = seen.digest

    async def converse(
        self, call: Given, *, until: float, on_event: Callable[[Event], None]
    ) -> Outcome | None:
        """Give the call and listen to its end; return why we stopped before, if we did.

        `until` is a time of the monotonic clock.
        """
        try:
            async with asyncio.timeout_at(until):
                self._give(call)
                await self._listen(on_event)
        except TimeoutError:
            return Outcome.TIMEOUT
        except OutputLimit:
            return Outcome.OUTPUT_LIMIT
        except ProtocolViolation:
            return Outcome.INVALID_ANSWER
        except (EOFError, OSError):
            return Outcome.SANDBOX_UNAVAILABLE
        finally:
            self.stages.end("run")
        return None

    def _give(self, call: Given) -> None:
        """Send the call in: to walls that were read back, and never a second one."""
        if self._attached is None or not self.walls or self._given:
            raise SandboxUnavailable("a container takes one call, behind walls that were read")
        self._given = True
        self._attached.writer.write(call.frame)

    async def _listen(self, on_event: Callable[[Event], None]) -> None:
        """Pass on what the tool says until its answer is whole or it has ended."""
        over = False
        events = iter(self.early)
        while not over:
            for event in events:
                over = over or isinstance(event, Answer | Ended)
                on_event(event)
            if not over:
                events = self.transcript.feed(await self._read())

    @property
    def alive(self) -> bool:
        """PID 1 runs, as the kernel says."""
        if self._pidfd is None:
            return False
        watch = poll()
        watch.register(self._pidfd, POLLIN)
        return not watch.poll(0)

    def count(self) -> Counted | None:
        """Read the kernel's counters, if the cgroup is still there."""
        try:
            return self.cgroup.counted() if self.cgroup else None
        except OSError:
            return None

    def kill(self) -> None:
        """Kill PID 1, and so all of it, without asking the engine."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> Closed:
        """Kill it, ask the engine how it ended, and remove it."""
        self.kill()
        self.hang_up()
        if self._creation is not None:
            await asyncio.wait([self._creation])
        try:
            closed = await self._verdict()
            await self.engine.remove(self.name)
        finally:
            self._release()
        return closed

    async def _verdict(self) -> Closed:
        """Return the engine's word on a container that was killed or has ended."""
        if self._pidfd is None:
            return Closed()
        try:
            async with asyncio.timeout(LAST_WORD):
                await self.engine.wait(self.id)
                state = await self.engine.inspect(self.id)
        except (SandboxUnavailable, TimeoutError):
            return Closed()
        return Closed(exit_code=state.exit_code, oom_killed=state.oom_killed)

    def hang_up(self) -> None:
        """Let go of its streams at once, unsent bytes included.

        The runner takes that for the end of its host. The engine needs it: until somebody
        reads what the container wrote, or nobody is there to, it counts it as running.
        """
        if self._attached is not None:
            self._attached.writer.transport.abort()

    def _release(self) -> None:
        """Let go of the process."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
