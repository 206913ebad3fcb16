"""What happens to a tool call?

    authenticate → task → match → check → decide → record intent → send bytes
                 → answer → check result → record outcome → reply

Law: recorded before it happens. The decision is durable before a container receives the
call's bytes; the outcome is durable before the caller hears of it. If the log cannot be
written, nothing runs.

`deciding` holds the first half, `running` the second. What they need of the world stands
there as Protocols; `server` joins them.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime import entries, policy
from sandbox_runtime.call import CheckedResult, Permitted, Refused
from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.ledger import Brought, credential, text_digest
from sandbox_runtime.records import Cancellation, TaskClosed, TaskOpened
from sandbox_runtime.steps import Steps
from sandbox_runtime.task import Phase
from sandbox_runtime.turns import Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sandbox_runtime.admission import Admission, Permit
    from sandbox_runtime.answering import Answering, OutputEnd
    from sandbox_runtime.call import ProposedCall
    from sandbox_runtime.deciding import Deciding
    from sandbox_runtime.housing import Housing
    from sandbox_runtime.ledger import Ledger, Live, PromptPart, Running, Ticket
    from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTask
    from sandbox_runtime.output import ProposedOutput
    from sandbox_runtime.records import Allotment
    from sandbox_runtime.running import Runs
    from sandbox_runtime.strict import Json

_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
"""Of the broker's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What whoever opens a task showed of itself, beside its name."""

    delegate: str | None = None
    """Who asks on the subject's behalf; None: the subject itself."""
    identity: str | None = None
    certificate: str | None = None
    """SHA-256 of it; the task's token is bound to it."""
    claims: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    """What the subject's own identity carries; nothing of a delegate's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A new task. `token` is its credential; only its keyed digest is kept."""

    live: Live
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """The recorded end of a call."""

    call_id: str
    checked: CheckedResult
    arguments: Mapping[str, Json]
    """As they ran, and as the caller may see them: without row filters."""
    changes: tuple[str, ...]
    grant: str
    wall_ms: float
    record: int
    """Sequence of the outcome's record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A call that is known from now on."""

    first: bool
    """Whether this sending of it was the first."""
    running: Running | None
    last: Ticket | None

    def abandon(self) -> None:
        """Kill its container: who sent it first has hung up, and nobody has detached it."""
        if self.first and self.running is not None and not self.running.detached:
            self.running.cancel(Cancellation(how="hung_up"))


class Broker:
    """Decides, runs and records."""

    def __init__(
        self,
        *,
        tree: Catalogue,
        ledger: Ledger,
        deciding: Deciding,
        runs: Runs,
        answering: Answering,
        housing: Housing,
        new_id: Callable[[], str],
        new_secret: Callable[[], str],
        admission: Admission,
        most_detached: int = 16,
    ) -> None:
        """`most_detached` is how many detached calls of one task may run at a time."""
        self._tree = tree
        self._tree_digest = text_digest(tree)
        self._ledger = ledger
        self._deciding = deciding
        self._runs = runs
        self._answering = answering
        self._housing = housing
        self._new_id = new_id
        self._new_secret = new_secret
        self._most_detached = most_detached
        self._admission = admission
        self._steps = Steps()

    def use(self, tree: Catalogue) -> None:
        """Open tasks under these manifests from now on. The ledger has loaded them."""
        self._tree, self._tree_digest = tree, text_digest(tree)

    async def open_task(
        self,
        subject: str,
        manifest: str,
        *,
        prompt: Sequence[PromptPart],
        variables: Mapping[str, Json],
        lifetime: timedelta | None,
        shown: Shown = Shown(),
    ) -> Opened:
        """Open a task under `manifest` for `subject`.

        `variables` are those that the request brings. Raises `Refusal`, and
        `SandboxUnavailable` where the workspace that it asks for cannot be had.
        """
        tree, digest = self._tree, self._tree_digest  # others may come into force meanwhile
        loaded = tree.tasks.get(manifest)
        if loaded is None:
            raise Refusal("no such task manifest is loaded", reason=Reason.MANIFEST_NOT_FOUND)
        policy.delegated(loaded, shown.delegate)
        opener = policy.Opener(subject=subject, claims=shown.claims)
        admitted = policy.admit(loaded, opener, variables, lifetime)
        task, token = self._new_id(), self._new_secret()
        brought = Brought(prompt=tuple(prompt), variables=dict(admitted.variables))
        async with self._housed(task, loaded, subject) as allotment:
            self._ledger.create_key(task)
            now, body = self._ledger.now(), self._ledger.seal(task, brought)
            record = TaskOpened(
                at=now,
                task=task,
                manifest=manifest,
                manifest_digest=loaded.digest,
                tree_digest=digest,
                subject=subject,
                delegate=shown.delegate,
                identity=shown.identity,
                certificate=shown.certificate,
                token_mac=self._ledger.mac(task, credential(token, shown.certificate)),
                expires_at=now + admitted.lives_for // _MICROSECOND,
                prompt=tuple(part.source for part in brought.prompt),
                variables=dict(admitted.origins),
                body=body.ref,
                workspace=allotment,
            )
            live = await self._ledger.open(record, body, brought, tree)
        return Opened(live=live, token=token)

    async def check_call(self, live: Live, call: ProposedCall) -> Permitted:
        """Decide `call` and run nothing; raise `Refusal` where it would not run."""
        step = self._deciding.decide
        decided = await self._steps.whole(live.lock, lambda: step(live, call, checked_only=True))
        await decided.ticket.wait()
        if isinstance(decided.decision, Refused):
            raise entries.told_refusal(decided.decision).refusal()
        return decided.decision

    async def call_tool(self, live: Live, call: ProposedCall) -> CallEnd:
        """Decide `call`, run it, and return its recorded end; raise `Refusal`.

        Cancelling this kills the container, unless somebody has detached the call. The same call
        sent again joins the first one and gets the same end.
        """
        begun = await self._begun(live, call, _Begun.abandon)
        if begun.running is not None:
            await self._runs.join(begun.running, owner=begun.first)
        elif begun.last is not None:
            await begun.last.wait()
        return self.recorded(live, call.call_id)

    async def detach_call(self, live: Live, call: ProposedCall) -> CallEnd | None:
        """Decide `call` and let it run by itself; raise `Refusal`.

        Returns once the decision is durable: None, or the end of a call that has one by now.
        Cancelling this cancels nothing that is decided.
        """
        begun = await self._begun(live, call, lambda _: None, detach=True)
        if begun.last is not None:
            await begun.last.wait()
        return None if call.call_id in live.running else self.recorded(live, call.call_id)

    async def check_output(self, live: Live, proposed: ProposedOutput) -> OutputEnd:
        """Decide a final answer and return its recorded end; raise `Refusal`.

        The same answer sent again gets the same end.
        """
        step = self._answering.decide
        last = await self._steps.whole(live.lock, lambda: step(live, proposed))
        if last is not None:
            await last.wait()
        return self._answering.recorded(live, proposed.output_id)

    def recorded(self, live: Live, call_id: str) -> CallEnd:
        """Return the recorded end of a call; raise its `Refusal` where it was refused."""
        state = live.task.state
        entry = state.calls.get(call_id)
        if entry is None or entry.phase is Phase.RUNNING:
            raise Refusal("the task has no such ended call", reason=Reason.CALL_NOT_FOUND)
        decided = self._ledger.unseal(state.id, entry.decided, entries.DecisionBody)
        if decided.refused is not None:
            raise decided.refused.refusal()
        if decided.permitted is None or entry.end is None:
            raise Fault("the log holds a call's end without its permission")
        return CallEnd(
            call_id=call_id,
            checked=self._ledger.unseal(state.id, entry.end.body, CheckedResult),
            arguments=decided.permitted.shown,
            changes=decided.permitted.changes,
            grant=entry.grant or "",
            wall_ms=entry.end.wall_ms,
            record=entry.end.sequence,
        )

    async def cancel_call(self, live: Live, call_id: str, subject: str) -> None:
        """Kill a call's container, as `subject` asks; return once its end is durable.

        An ended one stays as it is. One that waits for its permit is withdrawn, and then not
        found: nothing of it was decided.
        """
        self._admission.withdraw(live.task.state.id, _withdrawn, call_id)
        if call_id not in live.task.state.calls:
            async with live.lock:  # it may be decided just now
                pass
        if (running := live.running.get(call_id)) is not None:
            await self._runs.cancel([running], Cancellation(how="asked", by=subject))
            running.end.result()

    async def close_task(self, live: Live, subject: str) -> int:
        """End the task; return how many calls that cancelled.

        It waits for no decision under way: what is decided after this is refused.
        """
        if not live.task.state.closed:
            record = TaskClosed(at=self._ledger.now(), task=live.task.state.id, subject=subject)
            self._ledger.append(live, [record])
        self._admission.withdraw(live.task.state.id, _closed)
        try:
            if live.last is not None:
                await live.last.wait()
        finally:
            why = Cancellation(how="task_closed", by=subject)
            cancelled = await self._runs.cancel(live.running.values(), why)
        await self._housing.end(live)
        return cancelled

    async def settle(self) -> None:
        """End the calls that an earlier broker left without an outcome."""
        for live in self._ledger.tasks():
            for call_id in live.task.state.running:
                await self._runs.end_unknown(live, call_id)

    async def drain(self, grace: float) -> None:
        """Let calls in flight end within `grace` seconds, then cancel the rest.

        What waits for a permit, or for its turn to be decided, is refused.
        """
        self._admission.close(_draining)
        await self._steps.close(_draining, grace)
        running = [call for live in self._ledger.tasks() for call in live.running.values()]
        if running:
            await asyncio.wait([call.end for call in running], timeout=grace)
            late = [call for call in running if not call.end.done()]
            await self._runs.cancel(late, Cancellation(how="stopped"))
        await self._runs.closed()

    @asynccontextmanager
    async def _housed(
        self, task: str, manifest: LoadedTask, subject: str
    ) -> AsyncIterator[Allotment | None]:
        """Have what the task needs for its files; without a task, nothing of it stays."""
        with self._housing.share(subject, manifest):
            allotment = await self._housing.make(task, manifest)
            try:
                yield allotment
            except BaseException:
                await asyncio.shield(self._housing.forget(task))
                raise

    def _is_known(self, live: Live, call: ProposedCall) -> bool:
        entry = live.task.state.calls.get(call.call_id)
        if entry is None:
            return False
        if entry.request_mac != self._ledger.mac(live.task.state.id, entries.identity(call)):
            raise Refusal(
                "the call id was used for another call",
                reason=Reason.CALL_ID_REUSED,
                hint="give each call an id of its own",
            )
        return True

    async def _begun(
        self,
        live: Live,
        call: ProposedCall,
        unheard: Callable[[_Begun], None],
        *,
        detach: bool = False,
    ) -> _Begun:
        permit = await self._permit(live, call)
        return await self._steps.whole(
            live.lock,
            lambda: self._begin(live, call, permit, detach=detach),
            unheard=unheard,
            unbegun=_nobody if permit is None else permit.release,
        )

    async def _permit(self, live: Live, call: ProposedCall) -> Permit | None:
        """Wait until the call may be decided and run; None where it cannot come to run."""
        if self._is_known(live, call) or live.task.state.closed or self._left(live) <= 0:
            return None
        tool = live.task.tools.get(call.tool)
        turn = Turn(
            subject=call.subject,
            task=live.task.state.id,
            # Whether a call asks for files is not known yet: the files' own turn keeps those apart.
            alone=tool is not None and tool.manifest.spec.always_mounts,
        )
        return await self._admission.permit(turn, call.call_id, lambda: self._left(live))

    def _left(self, live: Live) -> float:
        return (live.task.state.expires_at - self._ledger.now()) / _SECOND

    async def _begin(
        self, live: Live, call: ProposedCall, permit: Permit | None, *, detach: bool
    ) -> _Begun:
        gone = _nobody if permit is None else permit.release
        try:
            first = not self._is_known(live, call)
            if detach:
                self._expect_room(live, call.call_id, first=first)
            if first:
                decided = await self._deciding.decide(live, call, checked_only=False)
                if isinstance(decided.decision, Permitted):
                    self._runs.start(live, decided, decided.decision, gone)
                    gone = _nobody  # from now on it is the run's to say
        finally:
            gone()
        running = live.running.get(call.call_id)
        if running is not None:
            running.detached = running.detached or detach
        return _Begun(first=first, running=running, last=live.last)

    def _expect_room(self, live: Live, call_id: str, *, first: bool) -> None:
        """Raise where one more detached call is one too many, before anything is recorded."""
        running = live.running.get(call_id)
        more = first or (running is not None and not running.detached)
        if more and sum(one.detached for one in live.running.values()) >= self._most_detached:
            raise Refusal(
                f"{self._most_detached} detached calls of the task run already",
                reason=Reason.RATE_LIMITED,
                hint="wait until one of them has ended, then send the same again",
            )


def _closed() -> Refusal:
    return Refusal("the task was closed while the call waited", reason=Reason.TASK_CLOSED)


def _withdrawn() -> Refusal:
    return Refusal("the call was cancelled while it waited", reason=Reason.CANCELLED)


def _draining() -> Refusal:
    return Refusal("the broker is about to stop", reason=Reason.DRAINING)


def _nobody() -> None:
    """No permit is held."""
