"""What does each request look like on the wire, and what does each answer mean?

Law: pure, and the only place that knows both the generated messages and our values. The
blocking and the asynchronous client differ in how they send, and in nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from google.protobuf.duration_pb2 import Duration

from sandbox_runtime.client import standing
from sandbox_runtime.client.values import (
    Artifact,
    CallEnd,
    CallLog,
    CallProgress,
    CallStarted,
    CallState,
    CallStatus,
    CallWithheld,
    Model,
    OpenedTask,
    Outcome,
    Permission,
    RecordedRefusal,
    ToolDefinition,
    ToolError,
)
from sandbox_runtime.v1 import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.message import Message

    from sandbox_runtime.client.values import CallEvent, Json, ModelCall, Prompt, TaskStatus

A = TypeVar("A")

_SOURCES = {
    "typed": pb.PromptPart.SOURCE_TYPED,
    "attached": pb.PromptPart.SOURCE_ATTACHED,
}


_VALIDATIONS = {
    None: pb.VALIDATION_UNSPECIFIED,
    True: pb.VALIDATION_ACCEPTED,
    False: pb.VALIDATION_REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Generic[A]):
    """One request, and how to read its answer."""

    method: str
    service: Literal["BrokerService", "AuditService"] = "BrokerService"
    request: Message
    read: Callable[[Any], A]
    repeatable: bool = True
    """Whether sending it twice leads to the same as sending it once."""


def open_task(
    manifest: str,
    prompt: Sequence[Prompt],
    variables: Mapping[str, Json],
    lifetime: timedelta | None,
) -> Exchange[OpenedTask]:
    """Ask for a task."""
    request = pb.OpenTaskRequest(
        manifest=manifest,
        prompt=_prompt(prompt),
        variables_json=printed(dict(variables)),
        lifetime=_duration(lifetime),
    )
    return Exchange(method="OpenTask", request=request, read=_opened, repeatable=False)


def list_tools(task: str) -> Exchange[tuple[ToolDefinition, ...]]:
    """Ask what the task may call."""
    return Exchange(method="ListTools", request=pb.ListToolsRequest(task_id=task), read=_tools)


def check_call(task: str, call: pb.ToolCall) -> Exchange[Permission]:
    """Ask for a decision."""
    request = pb.CheckCallRequest(task_id=task, call=call)
    return Exchange(method="CheckCall", request=request, read=_permission)


def call_tool(task: str, call: pb.ToolCall) -> Exchange[CallEnd]:
    """Propose a call. Repeatable: the call id makes it the same call."""
    request = pb.CallToolRequest(task_id=task, call=call)
    return Exchange(method="CallTool", request=request, read=lambda answer: end(answer.end))


def detach_call(task: str, call: pb.ToolCall) -> Exchange[CallStatus]:
    """Propose a call that runs by itself. Repeatable, as `call_tool`."""
    request = pb.CallToolRequest(task_id=task, call=call, detach=True)
    return Exchange(
        method="CallTool", request=request, read=partial(_detached, call_id=call.call_id)
    )


def get_call(task: str, call_id: str) -> Exchange[CallStatus]:
    """Ask where a call stands."""
    request = pb.GetCallRequest(task_id=task, call_id=call_id)
    return Exchange(method="GetCall", request=request, read=partial(_status, call_id=call_id))


def watch_call(task: str, call_id: str) -> Exchange[CallEvent | None]:
    """Ask what a call does; each answer is one event, None where this client does not know it."""
    request = pb.WatchCallRequest(task_id=task, call_id=call_id)
    return Exchange(method="WatchCall", request=request, read=_event, repeatable=False)


def cancel_call(task: str, call_id: str) -> Exchange[CallStatus]:
    """Kill a call's container; the answer is how the call ended."""
    request = pb.CancelCallRequest(task_id=task, call_id=call_id)
    return Exchange(method="CancelCall", request=request, read=partial(_status, call_id=call_id))


def get_task(task: str) -> Exchange[TaskStatus]:
    """Ask where the task stands."""
    return Exchange(
        method="GetTask", request=pb.GetTaskRequest(task_id=task), read=standing.task_status
    )


def extend_task(task: str, lifetime: timedelta) -> Exchange[datetime]:
    """Let the task live for `lifetime` from its opening; the answer is until when."""
    request = pb.ExtendTaskRequest(task_id=task, lifetime=_duration(lifetime))
    return Exchange(
        method="ExtendTask",
        request=request,
        read=lambda answer: answer.expires_at.ToDatetime(tzinfo=UTC),
    )


def add_user_input(task: str, prompt: Sequence[Prompt]) -> Exchange[int]:
    """Add to the task's prompt; the answer is its record's number in the log."""
    request = pb.AddUserInputRequest(task_id=task, prompt=_prompt(prompt))
    return Exchange(
        method="AddUserInput", request=request, read=lambda answer: answer.record, repeatable=False
    )


def record_model_call(task: str, call: ModelCall) -> Exchange[int]:
    """Claim that a model was called; the answer is the record's number in the log."""
    request = pb.RecordModelCallRequest(
        task_id=task,
        call=pb.ModelCall(
            provider=call.provider,
            model=call.model,
            version=call.version,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            latency=_duration(call.latency),
            finish_reason=call.finish_reason,
            prompt_digest=call.prompt_digest,
            validation=_VALIDATIONS[call.accepted],
        ),
    )
    return Exchange(
        method="RecordModelCall",
        request=request,
        read=lambda answer: answer.record,
        repeatable=False,
    )


def close_task(task: str) -> Exchange[int]:
    """End the task; the answer is how many calls that cancelled."""
    request = pb.CloseTaskRequest(task_id=task)
    return Exchange(method="CloseTask", request=request, read=lambda answer: answer.cancelled_calls)


def tool_call(
    call_id: str, tool: str, arguments: Mapping[str, Json] | str, model: Model | None
) -> pb.ToolCall:
    """Return a proposed call. `arguments` as text go out as the model wrote them."""
    text = arguments if isinstance(arguments, str) else printed(dict(arguments))
    return pb.ToolCall(call_id=call_id, tool=tool, arguments_json=text, model=claimed_model(model))


def claimed_model(model: Model | None) -> pb.ModelContext:
    """Return what a caller claims of a model."""
    claimed = model or Model()
    return pb.ModelContext(
        provider=claimed.provider,
        model=claimed.model,
        response_id=claimed.response_id,
        input_tokens=claimed.input_tokens,
        output_tokens=claimed.output_tokens,
    )


def end(answer: pb.CallEnd) -> CallEnd:
    """Return the recorded end of a call."""
    return CallEnd(
        call_id=answer.call_id,
        outcome=_outcome(answer.outcome),
        result=json.loads(answer.result_json) if answer.result_json else None,
        error=_tool_error(answer),
        artifacts=tuple(_artifact(each) for each in answer.artifacts),
        detail=answer.detail,
        arguments=json.loads(answer.arguments_json or "{}"),
        changes=tuple(answer.changes),
        grant=answer.grant,
        integrity=answer.integrity,
        confidentiality=answer.confidentiality,
        source=answer.source,
        wall_time=answer.wall_time.ToTimedelta(),
        record=answer.record,
    )


def _prompt(parts: Sequence[Prompt]) -> list[pb.PromptPart]:
    return [pb.PromptPart(source=_SOURCES[part.source], text=part.text) for part in parts]


def printed(value: Json) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _duration(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    duration = Duration()
    duration.FromTimedelta(value)
    return duration


def _opened(answer: pb.OpenTaskResponse) -> OpenedTask:
    return OpenedTask(
        id=answer.task_id,
        token=answer.task_token,
        expires_at=answer.expires_at.ToDatetime(tzinfo=UTC),
        manifest_digest=answer.manifest_digest,
    )


def _tools(answer: pb.ListToolsResponse) -> tuple[ToolDefinition, ...]:
    return tuple(
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters=json.loads(tool.parameters_json),
            calls_left=tool.calls_left,
        )
        for tool in answer.tools
    )


def _permission(answer: pb.CheckCallResponse) -> Permission:
    return Permission(
        grant=answer.grant,
        arguments=json.loads(answer.arguments_json),
        changes=tuple(answer.changes),
    )


def _detached(answer: pb.CallToolResponse, *, call_id: str) -> CallStatus:
    ended = end(answer.end) if answer.HasField("end") else None
    return CallStatus(call_id=call_id, state=_state(answer.state), end=ended, refusal=None)


def _status(answer: pb.GetCallResponse | pb.CancelCallResponse, *, call_id: str) -> CallStatus:
    refusal = answer.refusal
    return CallStatus(
        call_id=call_id,
        state=_state(answer.state),
        end=end(answer.end) if answer.HasField("end") else None,
        refusal=RecordedRefusal(reason=refusal.reason, pointer=refusal.pointer, code=refusal.code)
        if answer.HasField("refusal")
        else None,
    )


def _event(answer: pb.WatchCallResponse) -> CallEvent | None:
    match answer.WhichOneof("event"):
        case "started":
            return CallStarted(answer.started.missed_bytes)
        case "progress_json":
            return CallProgress(json.loads(answer.progress_json))
        case "log":
            return CallLog(answer.log.stream, answer.log.text)
        case "withheld":
            return CallWithheld(answer.withheld.code)
        case "finished":
            return end(answer.finished)
        case _:
            return None


def _outcome(number: int) -> Outcome:
    if number not in pb.Outcome.values():
        return Outcome.UNSPECIFIED
    name = pb.Outcome.Name(pb.Outcome.ValueType(number)).removeprefix("OUTCOME_")
    return Outcome(name) if name in Outcome.__members__ else Outcome.UNSPECIFIED


def _state(number: int) -> CallState:
    if number not in pb.CallState.values():
        return CallState.UNSPECIFIED
    name = pb.CallState.Name(pb.CallState.ValueType(number)).removeprefix("CALL_STATE_")
    return CallState(name) if name in CallState.__members__ else CallState.UNSPECIFIED


def _tool_error(answer: pb.CallEnd) -> ToolError | None:
    if not answer.HasField("error"):
        return None
    return ToolError(code=answer.error.code, message=answer.error.message)


def _artifact(artifact: pb.Artifact) -> Artifact:
    return Artifact(
        name=artifact.name,
        media_type=artifact.media_type,
        sha256=artifact.sha256,
        content=artifact.content,
    )
