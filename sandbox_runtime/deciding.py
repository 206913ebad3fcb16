"""How is a proposed call decided, and the decision recorded?

Law: decide and append are one step under the task's lock; decision and intent are one
append. What has been decided and is not durable yet is nobody's to act on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from sandbox_runtime import entries, policy
from sandbox_runtime.call import Permitted, Refused
from sandbox_runtime.errors import Reason, Refusal, SandboxUnavailable
from sandbox_runtime.records import RefusalsSpent
from sandbox_runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_runtime.call import (
        Answered,
        Candidate,
        Check,
        Checked,
        Closed,
        ProposedCall,
        Utterance,
        Verdict,
    )
    from sandbox_runtime.housing import Housing
    from sandbox_runtime.ledger import Ledger, Live, Ticket
    from sandbox_runtime.records import CallDecided, Micros, Record
    from sandbox_runtime.strict import Json
    from sandbox_runtime.workspaces import Workspace

MAX_UNSPENT_BYTES = 64 << 20
"""What a task may have the log keep of its refused calls and checks. Each is counted as well, and
few of the largest fill a disk as surely as many."""

_log = structlog.get_logger("sandbox_broker.call")


class Validators(Protocol):
    """The destinations, in killable processes that hold no power."""

    async def check(self, candidate: Candidate) -> Checked:
        """Return what the destinations say of every attempt's values."""
        ...

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        """Return what the destinations say of `value`, up to the first that objects."""
        ...


class Container(Protocol):
    """One container, planned and not yet created."""

    @property
    def image(self) -> str:
        """Id of the image."""
        ...

    @property
    def plan_digest(self) -> str:
        """Digest of exactly what the engine will be asked for."""
        ...

    @property
    def wall_ms(self) -> int:
        """The most it may run."""
        ...

    async def take_turn(self) -> None:
        """Wait until the call has its task's files to itself, where its tool works on them.

        It has them until its container is gone. Raises `SandboxUnavailable`: nothing ran.
        """
        ...

    async def answer(self, hear: Callable[[Utterance], None], *, most_ms: int) -> Answered:
        """Run the container; cancelling kills it. Raises `SandboxUnavailable`: nothing ran.

        It is over within `most_ms`. `hear` is told what the tool says meanwhile, and returns at
        once.
        """
        ...

    async def closed(self) -> Closed:
        """Return the engine's word once the container is gone."""
        ...


class Sandbox(Protocol):
    """Containers, one a call."""

    def plan(self, permitted: Permitted, *, wall_ms: int, workspace: Workspace | None) -> Container:
        """Return what would run, for at most `wall_ms`. Raises `SandboxUnavailable`.

        `workspace` is the task's, where the call works on its files.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision on its way to the log; with its container where the call shall run."""

    decision: Permitted | Refused
    record: CallDecided
    container: Container | None
    ticket: Ticket


@dataclass(slots=True, kw_only=True)
class _Trial:
    """What is gathered about a call while it is decided."""

    call: ProposedCall
    watch: Stopwatch
    matched_at: Micros
    decided_at: Micros | None = None
    candidate: Candidate | None = None
    checked: Checked | None = None
    unplanned: bool = False

    def body(self, decision: Permitted | Refused) -> entries.DecisionBody:
        """Return all that the decision was made from, and what it was."""
        return entries.decision_body(
            self.call,
            self.candidate,
            self.checked,
            decision,
            self.matched_at,
            unplanned=self.unplanned,
        )


class Deciding:
    """Match, check, decide, record."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        validators: Validators,
        sandbox: Sandbox,
        housing: Housing,
        monotonic: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._validators = validators
        self._sandbox = sandbox
        self._housing = housing
        self._monotonic = monotonic

    async def decide(self, live: Live, call: ProposedCall, *, checked_only: bool) -> Decided:
        """Decide `call` and enqueue the decision. The caller holds the task's lock."""
        refuse_muted(self._ledger, live)
        trial = _Trial(call=call, watch=Stopwatch(self._monotonic), matched_at=self._ledger.now())
        decision = await self._judge(live, trial)
        container: Container | None = None
        if isinstance(decision, Permitted) and not checked_only:
            decision, container = await self._plan(live, trial, decision)
        return self._record(live, trial, decision, container, checked_only=checked_only)

    async def _judge(self, live: Live, trial: _Trial) -> Permitted | Refused:
        with trial.watch.time("match"):
            matched = policy.match(live.task, trial.call, trial.matched_at)
        if isinstance(matched, Refused):
            return matched
        trial.candidate = matched
        with trial.watch.time("check"):
            trial.checked = await self._validators.check(matched)
        trial.decided_at = self._ledger.now()
        with trial.watch.time("decide"):
            return policy.decide(live.task, matched, trial.checked, trial.decided_at)

    async def _plan(
        self, live: Live, trial: _Trial, permitted: Permitted
    ) -> tuple[Permitted, Container] | tuple[Refused, None]:
        try:
            workspace = await self._housing.of(live) if permitted.workspace else None
            wall_ms = policy.may_run(live.task, self._ledger.now())
            return permitted, self._sandbox.plan(permitted, wall_ms=wall_ms, workspace=workspace)
        except SandboxUnavailable as fault:
            _log.error("plan_failed", call=permitted.call.call_id, cause=str(fault))
            trial.unplanned = True
            return _unavailable(permitted), None

    def _record(
        self,
        live: Live,
        trial: _Trial,
        decision: Permitted | Refused,
        container: Container | None,
        *,
        checked_only: bool,
    ) -> Decided:
        task, call = live.task, trial.call
        body = self._ledger.seal(task.state.id, trial.body(decision))
        record = entries.decided(
            task,
            call,
            trial.checked,
            decision,
            at=trial.decided_at or trial.matched_at,
            checked_only=checked_only,
            request_mac=self._ledger.mac(task.state.id, entries.identity(call)),
            stages=trial.watch.stages,
            body=body.ref,
        )
        records: list[Record] = [record]
        if isinstance(decision, Permitted) and container is not None:
            records.append(entries.intent(decision, container, at=record.at))
        ticket = self._ledger.append(live, records, [body])
        if container is None:  # else its end says it all, in one event
            _log.info("call", **entries.wide_decision(record), record=ticket.sequence)
        return Decided(decision=decision, record=record, container=container, ticket=ticket)


def refuse_muted(ledger: Ledger, live: Live) -> None:
    """Raise where the task has used up what it may be refused; say so in the log once."""
    budgets, state = live.task.manifest.manifest.spec.budgets, live.task.state
    counted = state.refusals < budgets.refusals and state.checks < budgets.checks
    if counted and state.unspent_bytes < MAX_UNSPENT_BYTES:
        return
    if not state.muted:
        ledger.append(live, [RefusalsSpent(at=ledger.now(), task=state.id)])
    raise Refusal(
        "the task has used up its refused calls and checks; nothing more of it is decided",
        reason=Reason.REFUSALS_SPENT,
        hint="open a new task",
    )


def _unavailable(permitted: Permitted) -> Refused:
    return Refused(
        reason=Reason.SANDBOX_UNAVAILABLE,
        problem="no container can be had for this tool now",
        hint="try again later, under a new call id",
        rule=permitted.rule,
        grant=permitted.grant,
    )
