"""How does a permitted call run, and how does it end?

Law: the intent is durable before the container gets the call's bytes, and the outcome is
durable before anyone hears of it. Whatever happens in between, there is one outcome.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime import entries, policy
from sandbox_runtime.call import Answered, CheckedResult, Outcome
from sandbox_runtime.errors import Fault, SandboxUnavailable
from sandbox_runtime.feed import Feed
from sandbox_runtime.ledger import Running
from sandbox_runtime.records import Cancellation
from sandbox_runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sandbox_runtime.call import Permitted, Verdict
    from sandbox_runtime.deciding import Container, Decided, Validators
    from sandbox_runtime.ledger import Ledger, Live, Ticket
    from sandbox_runtime.manifests.model import Tool
    from sandbox_runtime.records import CallDecided

_log = structlog.get_logger("sandbox_broker.call")

_READ_AT_ONCE = 64 << 10
"""Bytes of an answer that the event loop reads by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A call in flight."""

    live: Live
    permitted: Permitted
    container: Container
    decided: CallDecided
    watch: Stopwatch
    gone: Callable[[], None]
    """Is told when no container of it is left."""
    feed: Feed = field(default_factory=Feed)

    @property
    def id(self) -> str:
        """The call's id."""
        return self.permitted.call.call_id

    @property
    def ran_ms(self) -> float:
        """How long its container was there, as this process saw it."""
        return self.watch.stages.get("container", 0.0)

    def wide(self) -> dict[str, object]:
        """Return what operators' diagnostics say of it before its end."""
        stages = {f"{name}_ms": spent for name, spent in self.watch.stages.items()}
        return {**entries.wide_decision(self.decided), **stages}


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a call ended: the container's word, what goes on, and what was found in it."""

    answered: Answered
    result: CheckedResult
    verdicts: tuple[Verdict, ...] = ()


class Runs:
    """The calls in flight."""

    def __init__(
        self, *, ledger: Ledger, validators: Validators, monotonic: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._validators = validators
        self._monotonic = monotonic
        self._closing: set[asyncio.Task[None]] = set()

    def start(
        self,
        live: Live,
        decided: Decided,
        permitted: Permitted,
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        """Let the call run once its intent is durable. The caller holds the task's lock.

        `gone` is called when no container of it is left.
        """
        if decided.container is None:
            raise Fault("a call without a container cannot run")
        call = _Call(
            live=live,
            permitted=permitted,
            container=decided.container,
            decided=decided.record,
            watch=Stopwatch(self._monotonic),
            gone=gone,
        )
        answering = asyncio.create_task(self._answer(call, decided.ticket))
        end = asyncio.create_task(self._run(call, answering))
        live.running[call.id] = Running(container=answering, end=end, feed=call.feed)
        end.add_done_callback(lambda _: live.running.pop(call.id))
        end.add_done_callback(lambda _: call.feed.end())

    async def join(self, running: Running, *, owner: bool) -> None:
        """Return when the call's end is durable.

        Cancelling its owner kills the container of a call that nobody has detached.
        """
        try:
            await asyncio.wait({running.end})
        except asyncio.CancelledError:
            if owner and not running.detached:
                await self.cancel([running], Cancellation(how="hung_up"))
            raise
        running.end.result()

    async def cancel(self, running: Iterable[Running], why: Cancellation) -> int:
        """Kill the containers of calls in flight; return how many when all have ended."""
        calls = list(running)
        for call in calls:
            call.cancel(why)
        if calls:  # waited for and not gathered: who hangs up meanwhile takes no call's end away
            await asyncio.wait([call.end for call in calls])
        return len(calls)

    async def closed(self, patience: float = 10.0) -> None:
        """Return when the engine has had its last word on every container.

        No later than `patience` seconds: a word that never comes keeps nobody from stopping.
        """
        if self._closing:
            await asyncio.wait(self._closing, timeout=patience)

    async def end_unknown(self, live: Live, call_id: str) -> None:
        """Record that nobody knows how a call ended. It pays all that it had set aside."""
        aside = live.task.state.calls[call_id].reserved_ms
        ending = _Ending(_nothing(Outcome.UNKNOWN, wall_ms=aside), entries.UNKNOWN)
        await self._enqueue(live, call_id, ending, {}).wait()

    async def _answer(self, call: _Call, ticket: Ticket) -> Answered:
        with call.watch.time("record"):
            await ticket.wait()
        with call.watch.time("turn"):
            await call.container.take_turn()
        with call.watch.time("container"):
            most_ms = policy.time_left(call.live.task, self._ledger.now())
            return await call.container.answer(call.feed.hear, most_ms=most_ms)

    async def _run(self, call: _Call, answering: asyncio.Task[Answered]) -> None:
        try:
            await self._end(call, answering)
        except BaseException:
            call.gone()
            raise
        closing = asyncio.create_task(self._close(call))
        self._closing.add(closing)
        closing.add_done_callback(self._closed)
        closing.add_done_callback(lambda _: call.gone())

    async def _end(self, call: _Call, answering: asyncio.Task[Answered]) -> None:
        try:
            ending = await self._settle(call, answering)
            ticket = self._enqueue(call.live, call.id, ending, call.wide())
        except Exception:  # whatever it was, the call has an end, and the edge hears of it
            await self._enqueue(call.live, call.id, _lost(call), call.wide()).wait()
            raise
        await ticket.wait()

    async def _settle(self, call: _Call, answering: asyncio.Task[Answered]) -> _Ending:
        try:
            answered = await answering
        except asyncio.CancelledError:
            return _Ending(_nothing(Outcome.CANCELLED, wall_ms=call.ran_ms), entries.CANCELLED)
        except SandboxUnavailable as fault:
            _log.error("sandbox_unavailable", call=call.id, cause=str(fault))
            return _Ending(_nothing(Outcome.SANDBOX_UNAVAILABLE), entries.UNAVAILABLE)
        if answered.outcome is not Outcome.OK:
            ended = CheckedResult(outcome=answered.outcome, detail=answered.detail)
            return _Ending(answered, ended)
        with call.watch.time("check_result"):
            return await self._release(call, answered)

    async def _release(self, call: _Call, answered: Answered) -> _Ending:
        tool = call.permitted.tool.manifest
        answer = await _read(answered.answer, tool)
        if isinstance(answer, policy.Invalid):
            invalid = CheckedResult(outcome=Outcome.INVALID_ANSWER, detail=answer.problem)
            return _Ending(answered, invalid)
        value, checks = policy.answer_checks(answer, tool)
        verdicts = await self._validators.check_value(value, checks)
        left = policy.bytes_left(call.live.task)
        result = policy.release(tool, answer, checks, verdicts, bytes_left=left)
        return _Ending(answered, result, verdicts)

    def _enqueue(
        self, live: Live, call_id: str, ending: _Ending, wide: Mapping[str, object]
    ) -> Ticket:
        """Give the call its one end, or raise and have given it none."""
        task = live.task.state.id
        body = self._ledger.seal(task, ending.result)
        record = entries.outcome(
            task,
            call_id,
            ending.result,
            ending.answered,
            ending.verdicts,
            at=self._ledger.now(),
            body=body.ref,
            cancelled=_why(live.running.get(call_id), ending),
        )
        ticket = self._ledger.append(live, [record], [body])
        _log.info("call", **{**wide, **entries.wide_outcome(record)}, record=ticket.sequence)
        return ticket

    async def _close(self, call: _Call) -> None:
        task = call.live.task.state.id
        word = await call.container.closed()
        body = self._ledger.seal(task, word)
        record = entries.closed(task, call.id, word, at=self._ledger.now(), body=body.ref)
        await self._ledger.append(call.live, [record], [body]).wait()

    def _closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled() and (fault := closing.exception()) is not None:
            _log.error("close_not_recorded", cause=type(fault).__name__)


async def _read(answer: bytes, tool: Tool) -> policy.ToolAnswer | policy.Invalid:
    """Read an answer; a large one in a thread, as it would hold up every other call."""
    if len(answer) <= _READ_AT_ONCE:
        return policy.read_answer(answer, tool)
    return await asyncio.to_thread(policy.read_answer, answer, tool)


def _nothing(outcome: Outcome, wall_ms: float = 0.0) -> Answered:
    return Answered(outcome=outcome, wall_ms=wall_ms, stages={})


def _why(running: Running | None, ending: _Ending) -> Cancellation | None:
    cancelled = running is not None and ending.result.outcome is Outcome.CANCELLED
    return running.cancelled if running is not None and cancelled else None


def _lost(call: _Call) -> _Ending:
    return _Ending(_nothing(Outcome.UNKNOWN, wall_ms=call.container.wall_ms), entries.LOST)
