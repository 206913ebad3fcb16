"""How does a request reach the broker, and how does what came of it reach the caller?

Law: behind the edge, a task is found by the credential that was sent for it, and its state is
told once it is durable.
"""

# ruff: noqa: N802 - the proto names the methods

from __future__ import annotations

from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from sandbox_runtime import policy
from sandbox_runtime.broker import Shown
from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.server import files, standing, tools, wire
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.edge import Asked, Service, edge, inflow_edge, stream_edge
from sandbox_runtime.server.identity import Stranger
from sandbox_runtime.task import Phase
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1 import files_pb2 as files_pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceServicer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from sandbox_runtime.ledger import Live


class BrokerRpc(Service, BrokerServiceServicer):
    """`BrokerService` behind one door."""

    @edge(Role.OPENER)
    async def OpenTask(self, request: pb.OpenTaskRequest, asked: Asked) -> pb.OpenTaskResponse:
        """Open a task for the authenticated subject."""
        self._core.opening.take(asked.subject)
        with self._delegates_counted():
            opened = await self._core.broker.open_task(
                asked.subject if asked.behalf is None else asked.behalf,
                request.manifest,
                prompt=wire.prompt(request),
                variables=wire.variables(request),
                lifetime=wire.lifetime(request),
                shown=_shown(asked),
            )
        return wire.opened(opened)

    @edge(Role.AGENT)
    async def ListTools(self, request: pb.ListToolsRequest, asked: Asked) -> pb.ListToolsResponse:
        """Return what the task may call."""
        return tools.listed(self._task(request.task_id, asked).task)

    @edge(Role.AGENT)
    async def CheckCall(self, request: pb.CheckCallRequest, asked: Asked) -> pb.CheckCallResponse:
        """Decide and run nothing."""
        live = self._task(request.task_id, asked)
        call = wire.proposed(request.task_id, request.call, asked.subject)
        self._core.tasks.take(request.task_id)
        return wire.permitted(await self._core.broker.check_call(live, call))

    @edge(Role.AGENT)
    async def CallTool(self, request: pb.CallToolRequest, asked: Asked) -> pb.CallToolResponse:
        """Decide, run, and return the recorded end. Cancelled with its request, or detached."""
        live = self._task(request.task_id, asked)
        call = wire.proposed(request.task_id, request.call, asked.subject)
        self._core.tasks.take(request.task_id)
        broker = self._core.broker
        run = broker.detach_call if request.detach else broker.call_tool
        return wire.called(await run(live, call))

    @edge(Role.AGENT)
    async def GetCall(self, request: pb.GetCallRequest, asked: Asked) -> pb.GetCallResponse:
        """Return where a call stands, once that is durable."""
        live = self._task(request.task_id, asked)
        return await self._standing(live, wire.call_id(request.call_id))

    @stream_edge(Role.AGENT)
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

    @edge(Role.AGENT)
    async def CancelCall(
        self, request: pb.CancelCallRequest, asked: Asked
    ) -> pb.CancelCallResponse:
        """Kill a call's container, and return how it ended."""
        live = self._task(request.task_id, asked)
        call_id = wire.call_id(request.call_id)
        await self._core.broker.cancel_call(live, call_id, asked.subject)
        stands = await self._standing(live, call_id)
        return pb.CancelCallResponse(
            state=stands.state,
            end=stands.end if stands.HasField("end") else None,
            refusal=stands.refusal if stands.HasField("refusal") else None,
        )

    @edge(Role.OPENER, Role.AGENT)
    async def GetTask(self, request: pb.GetTaskRequest, asked: Asked) -> pb.GetTaskResponse:
        """Return where the task stands, once that is durable."""
        live = self._task(request.task_id, asked)
        answer, last = standing.told(live.task, self._core.ledger.now()), live.last
        if last is not None:
            await last.wait()
        return answer

    @edge(Role.OPENER)
    async def ExtendTask(
        self, request: pb.ExtendTaskRequest, asked: Asked
    ) -> pb.ExtendTaskResponse:
        """Let the task live longer, if its opener asks."""
        live = self._opened_by(request.task_id, asked)
        lifetime = wire.later_lifetime(request)
        self._core.tasks.take(request.task_id)
        until = await self._core.tending.extend(live, asked.subject, lifetime)
        return pb.ExtendTaskResponse(expires_at=wire.time(until))

    @edge(Role.OPENER)
    async def AddUserInput(
        self, request: pb.AddUserInputRequest, asked: Asked
    ) -> pb.AddUserInputResponse:
        """Add to the task's prompt, if its opener asks."""
        live = self._opened_by(request.task_id, asked)
        prompt = wire.added(request)
        self._core.tasks.take(request.task_id)
        record = await self._core.tending.add_input(live, asked.subject, prompt)
        return pb.AddUserInputResponse(record=record)

    @edge(Role.AGENT)
    async def RecordModelCall(
        self, request: pb.RecordModelCallRequest, asked: Asked
    ) -> pb.RecordModelCallResponse:
        """Record what the caller claims of a model."""
        live = self._task(request.task_id, asked)
        claimed = wire.claimed(request.call)
        self._core.tasks.take(request.task_id)
        record = await self._core.tending.claim(live, asked.subject, claimed)
        return pb.RecordModelCallResponse(record=record)

    @edge(Role.AGENT)
    async def ListOutputs(
        self, request: pb.ListOutputsRequest, asked: Asked
    ) -> pb.ListOutputsResponse:
        """Return which final answers the task may give."""
        return tools.outputs(self._task(request.task_id, asked).task)

    @edge(Role.AGENT)
    async def CheckOutput(
        self, request: pb.CheckOutputRequest, asked: Asked
    ) -> pb.CheckOutputResponse:
        """Decide whether a final answer may go out."""
        live = self._task(request.task_id, asked)
        proposed = wire.proposed_output(request, asked.subject)
        self._core.tasks.take(request.task_id)
        return wire.checked_output(await self._core.broker.check_output(live, proposed))

    @inflow_edge(Role.OPENER, Role.AGENT)
    async def PutFile(
        self, requests: AsyncIterator[files_pb.PutFileRequest], asked: Asked
    ) -> files_pb.PutFileResponse:
        """Bring a file into the task's workspace."""
        header = await files.header(requests)
        live = self._task(header.task_id, asked)
        announced = files.announced(header)
        self._core.tasks.take(header.task_id)
        putting = self._core.filing.putting
        return files.put(await putting.put(live, asked.subject, announced, files.chunks(requests)))

    @edge(Role.OPENER, Role.AGENT)
    async def ListFiles(
        self, request: files_pb.ListFilesRequest, asked: Asked
    ) -> files_pb.ListFilesResponse:
        """Return what stands in the task's workspace, or what outlived it."""
        live = self._task(request.task_id, asked)
        self._core.tasks.take(request.task_id)
        getting = self._core.filing.getting
        if getting.ended(live):
            self._opened_by(request.task_id, asked)
            return files.lasting(getting.lasting(live, asked.subject))
        return files.listed(await getting.listed(live), live.task)

    @stream_edge(Role.OPENER, Role.AGENT)
    async def GetFile(
        self, request: files_pb.GetFileRequest, asked: Asked
    ) -> AsyncGenerator[files_pb.GetFileResponse, None]:
        """Let a file out."""
        live = self._task(request.task_id, asked)
        self._core.tasks.take(request.task_id)
        if self._core.filing.getting.ended(live):
            self._opened_by(request.task_id, asked)
        leaving = self._core.filing.getting.leaving(live, asked.subject, request.path)
        async with leaving as found:
            for piece in files.pieces(found):
                yield piece

    @edge(Role.OPENER, Role.AGENT)
    async def CloseTask(self, request: pb.CloseTaskRequest, asked: Asked) -> pb.CloseTaskResponse:
        """End the task and what runs of it."""
        live = self._task(request.task_id, asked)
        cancelled = await self._core.broker.close_task(live, asked.subject)
        return pb.CloseTaskResponse(cancelled_calls=cancelled)

    def _task(self, task: str, asked: Asked) -> Live:
        try:
            live = self._core.ledger.find(task, asked.token, asked.caller.certificate)
        except Refusal:
            self._core.attempts.count(Stranger.WRONG_TASK_TOKEN)
            raise
        if asked.behalf is not None:
            with self._delegates_counted():
                policy.stands_in(live.task.state, asked.subject, asked.behalf)
        return live

    @contextmanager
    def _delegates_counted(self) -> Iterator[None]:
        try:
            yield
        except policy.DelegateNotAllowed:
            self._core.attempts.count(Stranger.NOT_THE_DELEGATE)
            raise

    def _opened_by(self, task: str, asked: Asked) -> Live:
        live = self._task(task, asked)
        if (
            asked.subject not in live.task.state.openers
        ):  # `policy.opener` refuses; here it is counted
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


def _shown(asked: Asked) -> Shown:
    caller, itself = asked.caller, asked.behalf is None
    return Shown(
        delegate=None if itself else caller.subject,
        identity=caller.identity,
        certificate=caller.certificate,
        claims=dict(caller.claims) if itself else {},
    )
