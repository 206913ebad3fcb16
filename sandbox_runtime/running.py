"""How does a permitted call run, and how does it end?

Law: the intent is durable before the container gets the call's bytes, and the outcome is
durable before anyone hears of it. Whatever happens in between, there is one outcome.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime import entries, policy
from sandbox_runtime.call import Answered, CheckedResult, Outcome
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.ledger import Running
from sandbox_runtime.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox_runtime.call import Permitted, Verdict
    from sandbox_runtime.deciding import Container, Validators
    from sandbox_runtime.ledger import Ledger, Live, Ticket

_log = structlog.get_logger("sandbox_broker.call")


@dataclass(frozen=True, slots=True)
class _Released:
    """A result that may go on, and what the destinations said of the answer."""

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

    def start(self, live: Live, permitted: Permitted, container: Container, ticket: Ticket) -> None:
        """Let the call run once `ticket` is durable. The caller holds the task's lock."""
        call_id = permitted.call.call_id
        answering = asyncio.create_task(_answer(container, ticket))
        end = asyncio.create_task(self._run(live, permitted, container, answering))
        live.running[call_id] = Running(container=answering, end=end)
        end.add_done_callback(lambda _: live.running.pop(call_id))

    async def join(self, running: Running, *, owner: bool) -> None:
        """Return when the call's end is durable; cancelling its owner kills the container."""
        try:
            await asyncio.wait({running.end})
        except asyncio.CancelledError:
            if owner:
                await self.cancel([running])
            raise
        running.end.result()

    async def cancel(self, running: Iterable[Running]) -> int:
        """Kill the containers of calls in flight; return how many when all have ended."""
        calls = list(running)
        for call in calls:
            call.container.cancel()
        await asyncio.gather(*(call.end for call in calls), return_exceptions=True)
        return len(calls)

    async def closed(self) -> None:
        """Return when the engine has had its last word on every container."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def end_unknown(self, live: Live, call_id: str) -> None:
        """Record that nobody knows how a call ended."""
        await self._record(
            live, call_id, _Released(entries.UNKNOWN), Answered(outcome=Outcome.UNKNOWN, stages={})
        )

    async def _run(
        self,
        live: Live,
        permitted: Permitted,
        container: Container,
        answering: asyncio.Task[Answered],
    ) -> None:
        answered, released = await self._settled(live, permitted, answering)
        await self._record(live, permitted.call.call_id, released, answered)
        closing = asyncio.create_task(self._close(live, permitted.call.call_id, container))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _settled(
        self, live: Live, permitted: Permitted, answering: asyncio.Task[Answered]
    ) -> tuple[Answered, _Released]:
        try:
            answered = await answering
        except asyncio.CancelledError:
            return Answered(outcome=Outcome.CANCELLED, stages={}), _Released(entries.CANCELLED)
        except SandboxUnavailable as fault:
            _log.error("sandbox_unavailable", call=permitted.call.call_id, cause=str(fault))
            nothing = Answered(outcome=Outcome.SANDBOX_UNAVAILABLE, stages={})
            return nothing, _Released(entries.UNAVAILABLE)
        if answered.outcome is not Outcome.OK:
            return answered, _Released(
                CheckedResult(outcome=answered.outcome, detail=answered.detail)
            )
        return answered, await self._release(live, permitted, answered)

    async def _release(self, live: Live, permitted: Permitted, answered: Answered) -> _Released:
        tool = permitted.tool.manifest
        answer = policy.read_answer(answered.answer, tool)
        if isinstance(answer, policy.Invalid):
            return _Released(
                CheckedResult(outcome=Outcome.INVALID_ANSWER, detail=answer.problem)
            )
        value, checks = policy.answer_checks(answer, tool)
        verdicts = await self._validators.check_value(value, checks)
        left = policy.bytes_left(live.task)
        return _Released(policy.release(tool, answer, checks, verdicts, bytes_left=left), verdicts)

    async def _record(
        self, live: Live, call_id: str, released: _Released, answered: Answered
    ) -> None:
        task = live.task.state.id
        body = self._ledger.seal(task, released.result)
        record = entries.outcome(
            task,
            call_id,
            released.result,
            answered,
            released.verdicts,
            at=self._ledger.now(),
            body=body.ref,
        )
        _log.info("ended", **entries.wide_outcome(record))
        await self._ledger.append(live, [record], [body]).wait()

    async def _close(self, live: Live, call_id: str, container: Container) -> None:
        task = live.task.state.id
        word = await container.closed()
        body = self._ledger.seal(task, word)
        record = entries.closed(task, call_id, word, at=self._ledger.now(), body=body.ref)
        await self._ledger.append(live, [record], [body]).wait()


async def _answer(container: Container, ticket: Ticket) -> Answered:
    await ticket.wait()
    return await container.answer()
