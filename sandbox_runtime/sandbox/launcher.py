"""Who runs a call in a container, and says how it ended?

Law: one plan, one container, one call. An answer is available when its frame is whole,
the counters are read and the kill is sent; what the engine says afterwards follows as
`closed`. Nothing that this broker started outlives its use: what cannot be removed now
is removed by the sweep.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import Reason, SandboxUnavailable
from sandbox_runtime.sandbox import engine as engines
from sandbox_runtime.sandbox.container import CallBytes, Closed, CommandBytes, Container, Given
from sandbox_runtime.sandbox.plan import LABEL
from sandbox_runtime.sandbox.verdict import Facts, describe, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sandbox_runtime.sandbox.cgroups import Counted
    from sandbox_runtime.sandbox.engine import Engine
    from sandbox_runtime.sandbox.plan import ContainerPlan
    from sandbox_runtime.sandbox.streams import Answer, Event, Excerpt

__all__ = [
    "CallBytes",
    "Closed",
    "CommandBytes",
    "DeadlinePassed",
    "Finished",
    "Launcher",
    "Swept",
]


class DeadlinePassed(SandboxUnavailable):
    """Time was up before the container could take the call. Nothing ran."""

    reason = Reason.DEADLINE_EXCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How one call in a container ended. Made by `Launcher.run`."""

    ending: Outcome
    detail: str
    """For operators."""
    answer: Answer | None
    """The tool's, if it gave one whole and valid; it counts only where `ending` says so."""
    exit_code: int | None
    """The tool's own, minus the signal that killed it; None: it was still running."""
    log: Excerpt
    """What the tool printed: beginning and end."""
    bytes_out: int
    counted: Counted | None
    walls: str
    """Digest of the walls as the kernel showed them before the call's bytes went in."""
    container: str
    stages: Mapping[str, float]
    """Milliseconds: create, attach, start, ready, readback, run."""
    closed: asyncio.Task[Closed]
    """The engine's word, once the container is removed."""

    @property
    def answered(self) -> bool:
        """There is one whole answer and nothing against it."""
        return self.ending in (Outcome.OK, Outcome.TOOL_ERROR)

    @property
    def wall_ms(self) -> float:
        """From the request to create it to the end of what the tool said."""
        return round(sum(self.stages.values()), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Names of the containers that nobody was using."""

    removed: tuple[str, ...]
    stuck: tuple[str, ...]
    """The engine would not remove these; an operator should know."""


def unawaited() -> None:
    """Tell nobody."""


class Launcher:
    """The engine's containers, for one broker. Made by `Launcher.open`."""

    def __init__(self, engine: Engine, broker: str) -> None:
        self.engine, self.broker = engine, broker
        self._live: set[str] = set()
        self._closing: set[asyncio.Task[Closed]] = set()
        self._awaited: dict[str, Callable[[], None]] = {}
        """Who waits until a container is gone, by its name."""

    @property
    def patience(self) -> float:
        """Seconds that bringing a container up may take."""
        return self.engine.timeout

    @classmethod
    async def open(cls, socket: Path, broker: str) -> Launcher:
        """Return a launcher on the engine behind `socket`. `broker` labels its containers."""
        return cls(await engines.connect(socket), broker)

    async def run(
        self,
        plan: ContainerPlan,
        call: Given,
        *,
        deadline: float,
        on_event: Callable[[Event], None],
        gone: Callable[[], None] = unawaited,
    ) -> Finished:
        """Run `call` in the container of `plan`. `deadline` is of the monotonic clock.

        `gone` is called once, when the engine has removed the container, be it by the sweep.
        Raises `SandboxUnavailable` if the call's bytes never went in. On cancellation the
        container is gone before CancelledError goes on.
        """
        container = Container(self.engine, plan)
        self._live.add(container.name)
        self._awaited[container.name] = gone
        try:
            await self._start(container, deadline)
            until = min(deadline, container.started + plan.ceilings.wall_time)
            stopped = await container.converse(call, until=until, on_event=on_event)
            return await self._answered(container, stopped)
        except BaseException:
            await asyncio.shield(self._close(container))
            raise

    async def _start(self, container: Container, deadline: float) -> None:
        """Start it within the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                await container.start()
        except TimeoutError as error:
            raise DeadlinePassed("the deadline passed before the container was up") from error

    async def _answered(self, container: Container, stopped: Outcome | None) -> Finished:
        """Read the counters while they exist, kill, judge."""
        said, counted = container.transcript, container.count()
        alive, closed = container.alive, self._close(container)
        vanished = stopped is Outcome.SANDBOX_UNAVAILABLE and not alive
        facts = Facts(
            answer=said.answer,
            exit_code=said.ended.code if said.ended else None,
            counted=counted,
            oom_killed=(await asyncio.shield(closed)).oom_killed if vanished else False,
            stopped=stopped,
        )
        return Finished(
            ending=judge(facts),
            detail=describe(facts),
            answer=said.answer,
            exit_code=facts.exit_code,
            log=said.log,
            bytes_out=said.counted,
            counted=counted,
            walls=container.walls,
            container=container.id,
            stages=container.stages.took,
            closed=closed,
        )

    def _close(self, container: Container) -> asyncio.Task[Closed]:
        """Kill it now; ask and remove in the background, tracked until done."""
        container.kill()
        task = asyncio.create_task(self._closed(container))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _closed(self, container: Container) -> Closed:
        """Close it. What the engine will not remove now is left to the sweep."""
        try:
            closed = await container.close()
        except SandboxUnavailable:
            return Closed()
        finally:
            self._live.discard(container.name)
        self._tell_gone(container.name)
        return closed

    def _tell_gone(self, name: str) -> None:
        self._awaited.pop(name, unawaited)()

    async def sweep(self) -> Swept:
        """Remove this broker's containers that no call of this process is using.

        To be done at the start and on a timer. One that will not go holds up no other.
        """
        left = self._awaited.keys() - self._live
        names = [each.name for each in await self.engine.labelled(f"{LABEL}={self.broker}")]
        removed, stuck = [], []
        for name in (each for each in names if each not in self._live):
            try:
                await self.engine.remove(name)
                removed.append(name)
            except SandboxUnavailable:
                stuck.append(name)
        for name in left.difference(stuck):
            self._tell_gone(name)
        return Swept(removed=tuple(removed), stuck=tuple(stuck))

    async def aclose(self) -> None:
        """Wait until every container is removed."""
        while self._closing:
            await asyncio.wait(self._closing)
