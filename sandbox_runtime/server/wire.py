"""What does a request say, and how is an answer written?

Law: pure. A request is read strictly: what is too long, of no known kind or unknown to this
broker is refused, never ignored. `ProposedCall` is made here and nowhere else.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError

from sandbox_runtime.call import ModelContext, ProposedCall
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.ledger import PromptPart
from sandbox_runtime.output import ProposedOutput
from sandbox_runtime.records import ModelClaim
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.watching import Advanced, Logged, Started, Withheld

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from google.protobuf.message import Message

    from sandbox_runtime.answering import OutputEnd
    from sandbox_runtime.broker import CallEnd, Opened
    from sandbox_runtime.call import Artifact, CheckedResult, Permitted
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json
    from sandbox_runtime.watching import Seen

MAX_NAME: Final = 128
MAX_CLAIM: Final = 256
MAX_ARGUMENTS: Final = 1 << 20
MAX_PROMPT: Final = 1 << 20
MAX_PARTS: Final = 64
MAX_VARIABLES: Final = 64 << 10
VARIABLES_DEPTH: Final = 4

_CALL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SOURCES: Final[Mapping[int, Literal["typed", "attached"]]] = {
    pb.PromptPart.SOURCE_TYPED: "typed",
    pb.PromptPart.SOURCE_ATTACHED: "attached",
}


_VALIDATIONS: Final[Mapping[int, Literal["unspecified", "accepted", "rejected"]]] = {
    pb.VALIDATION_UNSPECIFIED: "unspecified",
    pb.VALIDATION_ACCEPTED: "accepted",
    pb.VALIDATION_REJECTED: "rejected",
}


def known(request: Message) -> None:
    """Raise where the request says something that this broker does not know of."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.DiscardUnknownFields()
    if bare.ByteSize() != request.ByteSize():
        raise _invalid("the request has a field that this broker does not know")


def proposed(task: str, call: pb.ToolCall, subject: str) -> ProposedCall:
    """Return the call as it came in."""
    text = call.arguments_json.encode()
    if len(text) > MAX_ARGUMENTS:
        raise _invalid(f"`arguments_json` is longer than {MAX_ARGUMENTS} bytes")
    if not 0 < len(call.tool) <= MAX_NAME:
        raise _invalid(f"`tool` is not a name of 1 to {MAX_NAME} characters")
    return ProposedCall(
        task_id=task,
        call_id=call_id(call.call_id),
        tool=call.tool,
        text=text,
        subject=subject,
        model=_model(call.model),
    )


def call_id(text: str) -> str:
    """Return a call's id."""
    return _id("call_id", text)


def _id(name: str, text: str) -> str:
    if _CALL_ID.fullmatch(text) is None:
        raise _invalid(f"`{name}` is not 1 to 128 letters, digits, `.`, `_` or `-`")
    return text


def proposed_output(request: pb.CheckOutputRequest, subject: str) -> ProposedOutput:
    """Return the final answer as it came in."""
    if not 0 < len(request.output) <= MAX_NAME:
        raise _invalid(f"`output` is not a name of 1 to {MAX_NAME} characters")
    form = request.WhichOneof("written")
    if form is None:
        raise _invalid("neither `value_json` nor `text` is there")
    written = (request.value_json if form == "value_json" else request.text).encode()
    if len(written) > MAX_ARGUMENTS:
        raise _invalid(f"`{form}` is longer than {MAX_ARGUMENTS} bytes")
    return ProposedOutput(
        task_id=request.task_id,
        output_id=_id("output_id", request.output_id),
        output=request.output,
        written=written,
        is_json=form == "value_json",
        subject=subject,
        model=_model(request.model),
    )


def checked_output(end: OutputEnd) -> pb.CheckOutputResponse:
    """Write the answer to CheckOutput."""
    return pb.CheckOutputResponse(value_json=end.value, changes=end.changes, record=end.record)


def prompt(request: pb.OpenTaskRequest | pb.AddUserInputRequest) -> tuple[PromptPart, ...]:
    """Return what whoever opens the task was asked to do, or hears of it later."""
    parts = request.prompt
    if len(parts) > MAX_PARTS or sum(len(part.text.encode()) for part in parts) > MAX_PROMPT:
        raise _invalid(f"`prompt` has more than {MAX_PARTS} parts or {MAX_PROMPT} bytes")
    return tuple(_part(part) for part in parts)


def variables(request: pb.OpenTaskRequest) -> dict[str, Json]:
    """Return the variables that whoever opens the task brings."""
    text = request.variables_json.encode() or b"{}"
    try:
        value = json_text.parse(text, max_bytes=MAX_VARIABLES, max_depth=VARIABLES_DEPTH)
    except Objection as objection:
        problem = f"`variables_json` cannot be read: {objection.problem}"
        raise Refusal(problem, reason=Reason.VARIABLE_INVALID) from objection
    if not isinstance(value, dict):
        raise Refusal("`variables_json` is no JSON object", reason=Reason.VARIABLE_INVALID)
    return value


def lifetime(request: pb.OpenTaskRequest | pb.ExtendTaskRequest) -> timedelta | None:
    """Return how long the task shall live; None where the request leaves that open."""
    if not request.HasField("lifetime"):
        return None
    try:
        return request.lifetime.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise _invalid("`lifetime` is no duration") from error


def opened(new: Opened) -> pb.OpenTaskResponse:
    """Write the answer to OpenTask."""
    state = new.live.task.state
    return pb.OpenTaskResponse(
        task_id=state.id,
        task_token=new.token,
        expires_at=time(state.expires_at),
        manifest_digest=state.manifest_digest,
    )


def later_lifetime(request: pb.ExtendTaskRequest) -> timedelta:
    """Return how long the task shall live from its opening."""
    wanted = lifetime(request)
    if wanted is None:
        raise _invalid("`lifetime` is missing")
    return wanted


def added(request: pb.AddUserInputRequest) -> tuple[PromptPart, ...]:
    """Return what the user said meanwhile."""
    if not request.prompt:
        raise _invalid("`prompt` has no part")
    return prompt(request)


def claimed(call: pb.ModelCall) -> ModelClaim:
    """Return what the caller says of a model's call."""
    try:
        return ModelClaim(
            provider=call.provider,
            model=call.model,
            version=call.version,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            latency_ms=call.latency.ToTimedelta() / timedelta(milliseconds=1),
            finish_reason=call.finish_reason,
            prompt_digest=call.prompt_digest,
            validation=_VALIDATIONS[call.validation],
        )
    except ValidationError as error:
        where = error.errors(include_input=False)[0]["loc"][0]
        raise _invalid(f"`{where}` of the model's call is not what it may be") from error
    except (KeyError, ValueError, OverflowError) as error:
        raise _invalid("the model's call has a value of no known kind") from error


def time(at: Micros) -> Timestamp:
    """Write a time."""
    stamp = Timestamp()
    stamp.FromMicroseconds(at)
    return stamp


def permitted(permission: Permitted) -> pb.CheckCallResponse:
    """Write the answer to CheckCall."""
    return pb.CheckCallResponse(
        grant=permission.grant,
        arguments_json=_printed(permission.shown),
        changes=permission.changes,
    )


def end(call: CallEnd) -> pb.CallEnd:
    """Write the recorded end of a call."""
    checked = call.checked
    wall = Duration()
    wall.FromTimedelta(timedelta(milliseconds=call.wall_ms))
    return pb.CallEnd(
        call_id=call.call_id,
        outcome=pb.Outcome.Value(f"OUTCOME_{checked.outcome}"),
        result_json=checked.result or "",
        error=_tool_error(checked),
        artifacts=[_artifact(each) for each in checked.artifacts],
        detail=checked.detail,
        arguments_json=_printed(call.arguments),
        changes=[*call.changes, *checked.changes],
        grant=call.grant,
        integrity=checked.integrity,
        confidentiality=checked.confidentiality or "",
        source=checked.source or "",
        wall_time=wall,
        record=call.record,
    )


def called(call: CallEnd | None) -> pb.CallToolResponse:
    """Write the answer to CallTool: the call's end, or that it runs on."""
    if call is None:
        return pb.CallToolResponse(state=pb.CALL_STATE_RUNNING)
    return pb.CallToolResponse(state=pb.CALL_STATE_ENDED, end=end(call))


def seen(event: Seen) -> pb.WatchCallResponse:
    """Write one thing that happened to a call."""
    match event:
        case Started():
            started = pb.WatchCallResponse.Started(missed_bytes=event.missed_bytes)
            return pb.WatchCallResponse(started=started)
        case Logged():
            log = pb.WatchCallResponse.Log(stream=event.stream, text=event.text)
            return pb.WatchCallResponse(log=log)
        case Advanced():
            return pb.WatchCallResponse(progress_json=json_text.canonical(event.value).decode())
        case Withheld():
            return pb.WatchCallResponse(withheld=pb.WatchCallResponse.Withheld(code=event.code))


def refused(refusal: Refusal) -> pb.GetCallResponse:
    """Write that the call was refused when it was decided."""
    return pb.GetCallResponse(
        state=pb.CALL_STATE_REFUSED,
        refusal=pb.RecordedRefusal(
            reason=refusal.why, pointer=refusal.pointer, code=refusal.code or ""
        ),
    )


def _printed(value: Mapping[str, Json]) -> str:
    return json_text.canonical(dict(value)).decode()


def _part(part: pb.PromptPart) -> PromptPart:
    source = _SOURCES.get(part.source)
    if source is None:
        raise _invalid("a part of `prompt` has no known source")
    return PromptPart(source=source, text=part.text)


def _model(claimed: pb.ModelContext) -> ModelContext:
    if max(len(claimed.provider), len(claimed.model), len(claimed.response_id)) > MAX_CLAIM:
        raise _invalid(f"a text of `model` is longer than {MAX_CLAIM} characters")
    if max(claimed.input_tokens, claimed.output_tokens) > json_text.MAX_SAFE_INTEGER:
        raise _invalid("a number of tokens in `model` is beyond 2^53 - 1")
    return ModelContext(
        provider=claimed.provider,
        model=claimed.model,
        response_id=claimed.response_id,
        input_tokens=claimed.input_tokens,
        output_tokens=claimed.output_tokens,
    )


def _tool_error(checked: CheckedResult) -> pb.ToolError | None:
    if checked.error is None:
        return None
    return pb.ToolError(code=checked.error.code, message=checked.error.message)


def _artifact(artifact: Artifact) -> pb.Artifact:
    return pb.Artifact(
        name=artifact.name,
        media_type=artifact.media_type,
        sha256=artifact.sha256,
        content=base64.b64decode(artifact.content, validate=True),
    )


def _invalid(problem: str) -> Refusal:
    return Refusal(problem, reason=Reason.REQUEST_INVALID)
