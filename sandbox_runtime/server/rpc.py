"""How does a request reach the broker, and how does what came of it reach the caller?

Law: this is the edge. Whatever goes wrong behind it leaves as a status made from the table in
`errors`; no exception's text passes. A cancelled request stays cancelled: that is what kills
its container.

    authenticate → not draining → understood → within its rate → the task's own token → broker
"""

# ruff: noqa: N802 - the proto names the methods

from __future__ import annotations

import asyncio
import functools
import secrets
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.server import incidents, standing, status, tools, wire
from sandbox_runtime.server.identity import Stranger, task_token
from sandbox_runtime.task import Phase
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceServicer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import grpc.aio
    from google.protobuf.message import Message
    from google.rpc import status_pb2

    from sandbox_runtime.broker import Broker
    from sandbox_runtime.ledger import Ledger, Live
    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.identity import Door
    from sandbox_runtime.server.rates import Buckets
    from sandbox_runtime.tending import Tending
    from sandbox_runtime.watching import Watching

    Context = grpc.aio.ServicerContext[Any, Any]

Q = TypeVar("Q", bound="Message")
A = TypeVar("A")

_log = structlog.get_logger("sandbox_broker.rpc")


@dataclass(slots=True, kw_only=True)
class Core:
    """What all listeners share."""

    broker: Broker
    tending: Tending
    watching: Watching
    ledger: Ledger
    attempts: Attempts
    subjects: Buckets
    tasks: Buckets
    opening: Buckets
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, with which credential of a task."""

    subject: str
    token: str


def _edge(
    method: Callable[[BrokerRpc, Q, Asked], Awaitable[A]],
) -> Callable[[BrokerRpc, Q, Context], Awaitable[A]]:
    """Let nothing but answers and statuses of the table out of `method`."""

    @functools.wraps(method)
    async def answer(self: BrokerRpc, request: Q, context: Context) -> A:
        doing = functools.partial(method, self, request)
        return await _guarded(method.__name__, lambda: doing(self.admit(request, context)), context)

    return answer


def _stream_edge(
    method: Callable[[BrokerRpc, Q, Asked], AsyncGenerator[Message, None]],
) -> Callable[[BrokerRpc, Q, Context], Any]:
    """Do the same for a method that answers again and again.

    It becomes a coroutine that writes, which grpc takes for a stream and its stubs do not know.
    """

    @functools.wraps(method)
    async def answer(self: BrokerRpc, request: Q, context: Context) -> None:
        async def write() -> None:
            async with aclosing(method(self, request, self.admit(request, context))) as answers:
                async for each in answers:
                    await context.write(each)

        await _guarded(method.__name__, write, context)

    return answer


async def _guarded(method: str, doing: Callable[[], Awaitable[A]], context: Context) -> A:
    try:
        return await doing()
    except Refusal as refusal:
        said = status.refusal(refusal)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not this request's: something behind it was cancelled. Passed on, it would leave
        # the caller waiting for ever (grpc/grpc#29248).
        said = _incident(method, error)
    except Exception as error:  # noqa: BLE001 - the one edge, see the module's law
        said = _incident(method, error)
    return await status.abort(context, said)


def _incident(method: str, error: BaseException) -> status_pb2.Status:
    incident = secrets.token_hex(8)
    reason = error.reason if isinstance(error, Fault) else Reason.INTERNAL
    _log.error(
        "failed", method=method, incident=incident, reason=reason, **incidents.described(error)
    )
    return status.fault(reason, incident)


class BrokerRpc(BrokerServiceServicer):
    """`BrokerService` behind one door."""

    def __init__(self, core: Core, door: Door) -> None:
        self._core, self._door = core, door

    def admit(self, request: Message, context: Context) -> Asked:
        """Return who asks, if the request may be looked at; raise `Refusal`."""
        metadata = context.invocation_metadata() or ()
        subject = self._door.subject(metadata)
        if self._core.draining:
            raise Refusal(status.SENTENCES[Reason.DRAINING], reason=Reason.DRAINING)
        wire.known(request)
        self._core.subjects.take(subject)
        return Asked(subject=subject, token=task_token(metadata))

    @_edge
    async def OpenTask(self, request: pb.OpenTaskRequest, asked: Asked) -> pb.OpenTaskResponse:
        """Open a task for the authenticated subject."""
        self._core.opening.take(asked.subject)
        opened = await self._core.broker.open_task(
            asked.subject,
            request.manifest,
            prompt=wire.prompt(request),
            variables=wire.variables(request),
            lifetime=wire.lifetime(request),
        )
        return wire.opened(opened)

    @_edge
    async def ListTools(self, request: pb.ListToolsRequest, asked: Asked) -> pb.ListToolsResponse:
        """Return what the task may call."""
        return tools.listed(self._task(request.task_id, asked).task)

    @_edge
    async def CheckCall(self, request: pb.CheckCallRequest, asked: Asked) -> pb.CheckCallResponse:
        """Decide and run nothing."""
        live = self._task(request.task_id, asked)
        call = wire.proposed(request.task_id, request.call, asked.subject)
        self._core.tasks.take(request.task_id)
        return wire.permitted(await self._core.broker.check_call(live, call))

    @_edge
    async def CallTool(self, request: pb.CallToolRequest, asked: Asked) -> pb.CallToolResponse:
        """Decide, run, and return the recorded end. Cancelled with its request, or detached."""
        live = self._task(request.task_id, asked)
        call = wire.proposed(request.task_id, request.call, asked.subject)
        self._core.tasks.take(request.task_id)
        broker = self._core.broker
        run = broker.detach_call if request.detach else broker.call_tool
        return wire.called(await run(live, call))

    @_edge
    async def GetCall(self, request: pb.GetCallRequest, asked: Asked) -> pb.GetCallResponse:
        """Return where a call stands, once that is durable."""
        live = self._task(request.task_id, asked)
        return await self._standing(live, wire.call_id(request.call_id))

    @_stream_edge
    async def WatchCall(
        self, request: pb.WatchCallRequest, asked: Asked
    ) -> AsyncGenerator[pb.WatchCallResponse, None]:
        """Tell what a call does, and its end."""
        live = self._task(request.task_id, asked)
        call_id = wire.call_id(request.call_id)
        self._core.tasks.take(request.task_id)
        await self._standing(live, call_id)
        if (running := live.running.get(call_id)) is not None:
            async with aclosing(self._core.watching.watch(running.feed)) as seen:
                async for each in seen:
                    yield wire.seen(each)
            running.end.result()
        yield pb.WatchCallResponse(finished=wire.end(self._core.broker.recorded(live, call_id)))

    @_edge
    async def CancelCall(
        self, request: pb.CancelCallRequest, asked: Asked
    ) -> pb.CancelCallResponse:
        """Kill a call's container, and return how it ended."""
        live = self._task(request.task_id, asked)
        call_id = wire.call_id(request.call_id)
        await self._core.broker.cancel_call(live, call_id)
        stands = await self._standing(live, call_id)
        return pb.CancelCallResponse(
            state=stands.state,
            end=stands.end if stands.HasField("end") else None,
            refusal=stands.refusal if stands.HasField("refusal") else None,
        )

    @_edge
    async def GetTask(self, request: pb.GetTaskRequest, asked: Asked) -> pb.GetTaskResponse:
        """Return where the task stands, once that is durable."""
        live = self._task(request.task_id, asked)
        answer, last = standing.told(live.task, self._core.ledger.now()), live.last
        if last is not None:
            await last.wait()
        return answer

    @_edge
    async def ExtendTask(
        self, request: pb.ExtendTaskRequest, asked: Asked
    ) -> pb.ExtendTaskResponse:
        """Let the task live longer, if its opener asks."""
        live = self._opened_by(request.task_id, asked)
        lifetime = wire.later_lifetime(request)
        self._core.tasks.take(request.task_id)
        until = await self._core.tending.extend(live, asked.subject, lifetime)
        return pb.ExtendTaskResponse(expires_at=wire.time(until))

    @_edge
    async def AddUserInput(
        self, request: pb.AddUserInputRequest, asked: Asked
    ) -> pb.AddUserInputResponse:
        """Add to the task's prompt, if its opener asks."""
        live = self._opened_by(request.task_id, asked)
        prompt = wire.added(request)
        self._core.tasks.take(request.task_id)
        record = await self._core.tending.add_input(live, asked.subject, prompt)
        return pb.AddUserInputResponse(record=record)

    @_edge
    async def RecordModelCall(
        self, request: pb.RecordModelCallRequest, asked: Asked
    ) -> pb.RecordModelCallResponse:
        """Record what the caller claims of a model."""
        live = self._task(request.task_id, asked)
        claimed = wire.claimed(request.call)
        self._core.tasks.take(request.task_id)
        record = await self._core.tending.claim(live, asked.subject, claimed)
        return pb.RecordModelCallResponse(record=record)

    @_edge
    async def CloseTask(self, request: pb.CloseTaskRequest, asked: Asked) -> pb.CloseTaskResponse:
        """End the task and what runs of it."""
        live = self._task(request.task_id, asked)
        cancelled = await self._core.broker.close_task(live, asked.subject)
        return pb.CloseTaskResponse(cancelled_calls=cancelled)

    def _task(self, task: str, asked: Asked) -> Live:
        try:
            return self._core.ledger.find(task, asked.token)
        except Refusal:
            self._core.attempts.count(Stranger.WRONG_TASK_TOKEN)
            raise

    def _opened_by(self, task: str, asked: Asked) -> Live:
        live = self._task(task, asked)
        if live.task.state.subject != asked.subject:  # `policy.opener` refuses; here it is counted
            self._core.attempts.count(Stranger.NOT_THE_OPENER)
        return live

    async def _standing(self, live: Live, call_id: str) -> pb.GetCallResponse:
        entry, last = live.task.state.calls.get(call_id), live.last
        if entry is None:  # nor is it looked for again: what is decided meanwhile is not durable
            raise Refusal("the task has no such call", reason=Reason.CALL_NOT_FOUND)
        if last is not None:
            await last.wait()
        if entry.phase is Phase.RUNNING:
            return pb.GetCallResponse(state=pb.CALL_STATE_RUNNING)
        if entry.phase is Phase.REFUSED:
            return self._refused(live, call_id)
        end = wire.end(self._core.broker.recorded(live, call_id))
        return pb.GetCallResponse(state=pb.CALL_STATE_ENDED, end=end)

    def _refused(self, live: Live, call_id: str) -> pb.GetCallResponse:
        try:
            self._core.broker.recorded(live, call_id)
        except Refusal as refusal:
            return wire.refused(refusal)
        raise Fault("a call is recorded as refused and has no refusal")
