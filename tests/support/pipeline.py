"""A broker on a real log, with containers that do what a test says."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox_runtime.admission import Admission
from sandbox_runtime.answering import Answering
from sandbox_runtime.broker import Broker
from sandbox_runtime.call import Answered, Checked, Closed, Outcome
from sandbox_runtime.deciding import Deciding
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import Log
from sandbox_runtime.housing import Housing
from sandbox_runtime.ledger import SYSTEM, Ledger, Live
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.records import parse
from sandbox_runtime.running import Runs
from sandbox_runtime.server.evidence import KeptEvidence
from sandbox_runtime.turns import Limits
from sandbox_runtime.validators.examine import examine
from sandbox_runtime.workspaces import Place, Workspaces
from tests.support.manifests import NOW, SOURCES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from sandbox_runtime.call import Candidate, Check, Permitted, Utterance, Verdict
    from sandbox_runtime.deciding import Validators
    from sandbox_runtime.errors import EvidenceUnavailable
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.records import Record
    from sandbox_runtime.strict import Json
    from sandbox_runtime.workspaces import Workspace

PLENTY = Limits(
    running=1000,
    running_per_subject=1000,
    running_per_task=1000,
    queued=1000,
    queued_per_subject=1000,
    queued_per_task=1000,
)


class InProcess:
    """The real destinations, in this process: what they say is tested elsewhere."""

    async def check(self, candidate: Candidate) -> Checked:
        value: Json = dict(candidate.arguments)
        return Checked(verdicts=tuple(examine(value, a.checks) for a in candidate.attempts))

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        return examine(value, checks)


@dataclass(slots=True)
class ScriptedContainer:
    """Answers when the test lets it; remembers that it was started and killed."""

    answered: Answered | Fault
    let_go: asyncio.Event
    wall_ms: int
    image: str = "sha256:" + "0" * 64
    plan_digest: str = "sha256:" + "1" * 64
    started: bool = False
    killed: bool = False
    say: Callable[[Utterance], None] = lambda _: None
    """Tells what the tool says while it runs."""
    workspace: Workspace | None = None
    closing: asyncio.Event | None = None
    """Until when the engine takes to remove it; None: no time."""
    most_ms: int | None = None

    async def _close(self) -> None:
        if self.closing is not None:
            await self.closing.wait()
        workspace, self.workspace = self.workspace, None
        if workspace is not None and self.started:
            workspace.leave()

    async def take_turn(self) -> None:
        if self.workspace is not None:
            await self.workspace.enter()

    async def answer(self, hear: Callable[[Utterance], None], *, most_ms: int) -> Answered:
        self.most_ms = most_ms
        self.started, self.say = True, hear
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.killed = True
            await self._close()
            raise
        if isinstance(self.answered, Fault):
            raise self.answered
        return self.answered

    async def closed(self) -> Closed:
        await self._close()
        return Closed(container="c0ffee", exit_code=0)


@dataclass(slots=True)
class Scripted:
    """A sandbox whose next containers answer as `answers` says; by default with a greeting."""

    answers: list[Answered | Fault] = field(default_factory=list)
    held: bool = False
    """Whether containers wait for the test before they answer."""
    planned: list[ScriptedContainer] = field(default_factory=list)
    allowed: list[int] = field(default_factory=list)
    """Milliseconds that each container was given."""
    unplannable: Fault | None = None
    closing: asyncio.Event | None = None
    """Until when the engine takes to remove a container."""

    def plan(
        self, permitted: Permitted, *, wall_ms: int, workspace: Workspace | None
    ) -> ScriptedContainer:
        if self.unplannable is not None:
            raise self.unplannable
        greeting = b'{"result": {"greeting": "hello"}}'
        answered = self.answers.pop(0) if self.answers else ok(greeting)
        container = ScriptedContainer(answered, asyncio.Event(), min(wall_ms, 1000))
        container.workspace, container.closing = workspace, self.closing
        if not self.held:
            container.let_go.set()
        self.planned.append(container)
        self.allowed.append(wall_ms)
        assert permitted.arguments
        return container


@dataclass(slots=True)
class Clock:
    """Microseconds; each look at it takes one."""

    at: int

    def __call__(self) -> int:
        self.at += 1
        return self.at


async def until(holds: Callable[[], bool]) -> None:
    """Return once `holds`; fail if it does not within five seconds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.001)


def ok(answer: bytes) -> Answered:
    """Return what a container says whose tool answered."""
    return Answered(outcome=Outcome.OK, answer=answer, wall_ms=12.5, stages={"run": 12.5})


@dataclass(slots=True, kw_only=True)
class Stage:
    """Everything that a test may touch."""

    state: Path
    broker: Broker
    ledger: Ledger
    sandbox: Scripted
    runs: Runs
    housing: Housing
    log: Log
    clock: Clock
    tree: Catalogue

    def records(self) -> list[Record]:
        return [parse(leaf) for _, leaf in layout.reader(self.state).read()]

    async def open_task(self, **variables: Json) -> Live:
        opened = await self.broker.open_task(
            "agent:tests",
            "greeting",
            prompt=[],
            variables=variables or {"friend": "Ada"},
            lifetime=None,
        )
        return opened.live


@asynccontextmanager
async def on_stage(
    state: Path,
    sandbox: Scripted | None = None,
    sources: dict[str, str] | None = None,
    validators: Validators | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Stage]:
    """Start a broker on the log under `state`, restored; close the log when done."""
    failures: list[EvidenceUnavailable] = []
    log = Log.open(layout.log_directory(state), on_failure=failures.append)
    keys = Keys.begin(layout.keys_directory(state))
    if not keys.has(SYSTEM):
        keys.create(SYSTEM)
    bodies = Bodies(root=layout.log_directory(state), keys=keys, end=log.bodies_end)
    clock = Clock(NOW)
    ledger = Ledger(KeptEvidence(log=log, bodies=bodies, keys=keys), clock=clock)
    ledger.restore(layout.reader(state).read())
    tree = load_texts(sources or SOURCES)
    await ledger.load(tree, {})
    sandbox, validators = sandbox or Scripted(), validators or InProcess()
    runs = Runs(ledger=ledger, validators=validators, monotonic=time.monotonic)
    place = Place(folder=state / "workspaces", uids=range(70_000, 70_100), headroom=1 << 20)
    housing = Housing(ledger, Workspaces(place, ledger.allotments()))
    deciding = Deciding(
        ledger=ledger,
        validators=validators,
        sandbox=sandbox,
        housing=housing,
        monotonic=time.monotonic,
    )
    ids = (f"t-{n}" for n in itertools.count(len(ledger.tasks()) + 1))
    answering = Answering(ledger=ledger, validators=validators, monotonic=time.monotonic)
    broker = Broker(
        tree=tree,
        ledger=ledger,
        deciding=deciding,
        runs=runs,
        answering=answering,
        housing=housing,
        new_id=lambda: next(ids),
        new_secret=lambda: "secret",
        admission=Admission(limits=limits or PLENTY, clock=time.monotonic),
    )
    try:
        yield Stage(
            state=state,
            broker=broker,
            ledger=ledger,
            sandbox=sandbox,
            runs=runs,
            housing=housing,
            log=log,
            clock=clock,
            tree=tree,
        )
        await runs.closed()
    finally:
        await log.close()
