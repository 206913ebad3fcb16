from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc
import pytest
from google.rpc import error_details_pb2

from sandbox_runtime.client import (
    BrokerFault,
    CallRefused,
    CallState,
    DeadlineExceeded,
    Model,
    Outcome,
    attached,
    typed,
)
from sandbox_runtime.errors import Fault, Mender, Reason, Retry, SandboxUnavailable
from sandbox_runtime.records import CallDecided, TaskOpened
from sandbox_runtime.server.attempts import Attempts
from sandbox_runtime.server.auditing import Auditing
from sandbox_runtime.server.caller import Caller, Role
from sandbox_runtime.server.edge import Core
from sandbox_runtime.server.identity import Reserved
from sandbox_runtime.server.listening import MAX_REQUEST
from sandbox_runtime.server.rates import Buckets, InProgress, Rate
from sandbox_runtime.server.rpc import BrokerRpc
from sandbox_runtime.server.settings import Audit, Rates
from sandbox_runtime.tending import Tending
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.watching import Watching
from tests.support.eventually import eventually
from tests.support.manifests import propose
from tests.support.pipeline import InProcess, Scripted, on_stage
from tests.support.serving import Stage, served
from tests.support.wire_calls import details, info, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from sandbox_runtime.call import Candidate, Check, Checked, Verdict
    from sandbox_runtime.client import AsyncTask
    from sandbox_runtime.strict import Json
    from tests.support.serving import Served

TEXT = "the text of an exception of ours"
ADA = {"name": "Ada"}

CALLER = Caller(subject="agent:tests", roles=frozenset({Role.AGENT}))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as broker:
        yield broker


@pytest.fixture
async def task(here: Served) -> AsyncIterator[AsyncTask]:
    async with here.client() as broker:
        yield await broker.open_task("greeting", variables={"friend": "Ada"})


def token(task: AsyncTask) -> tuple[tuple[str, str], ...]:
    return (("task-token", task.token),)


async def test_a_call_runs_from_end_to_end(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as here,
        here.client() as broker,
        await broker.open_task(
            "greeting", prompt=[typed("say hello"), attached("hi")], variables={"friend": "Ada"}
        ) as task,
    ):
        assert [tool.name for tool in await task.tools()] == ["greet"]
        end = await task.call("greet", ADA, model=Model(provider="p", input_tokens=7))
        assert (await task.get(end.call_id)).end == end
    assert end.outcome is Outcome.OK
    assert end.result == {"greeting": "hello"}
    assert end.grant == "friends"
    assert end.arguments == {"name": "Ada", "note": "", "tags": [], "times": 1}
    assert end.integrity == "untrusted"
    assert here.kinds() == [
        "operator.started",
        "manifest.loaded",
        "task.opened",
        "call.decided",
        "call.intent",
        "call.outcome",
        "call.closed",
        "task.closed",
        "operator.stopped",
    ]


async def test_what_is_left_of_a_tool_is_listed_and_a_check_takes_nothing_of_it(
    task: AsyncTask,
) -> None:
    assert [tool.calls_left for tool in await task.tools()] == [3]
    permission = await task.check("greet", ADA)
    assert permission.grant == "friends"
    assert [tool.calls_left for tool in await task.tools()] == [3]
    await task.call("greet", ADA)
    assert [tool.calls_left for tool in await task.tools()] == [2]


async def test_a_refusal_says_all_that_its_sender_may_know(here: Served, task: AsyncTask) -> None:
    with pytest.raises(CallRefused) as caught:
        await task.call("greet", {"name": "Eve"}, call_id="c-1")
    refusal = caught.value
    assert refusal.reason is Reason.ARGUMENT_NOT_ALLOWED
    assert refusal.pointer == "/name"
    assert (refusal.retry, refusal.mender) == (Retry.NEVER, Mender.AGENT)
    status = await task.get("c-1")
    assert status.state is CallState.REFUSED
    assert status.refusal is not None
    assert (status.refusal.reason, status.refusal.pointer) == (refusal.reason, "/name")
    call = pb.ToolCall(call_id="c-1", tool="greet", arguments_json='{"name":"Eve"}')
    request = pb.CallToolRequest(task_id=task.id, call=call)
    error = await refused(here.unix, "CallTool", request, token(task))
    violations = error_details_pb2.BadRequest()
    assert any(each.Unpack(violations) for each in details(error).details)
    assert violations.field_violations[0].field == "/name"
    assert "yaml" not in str(details(error))


async def test_the_same_call_again_has_the_same_end_and_runs_once(
    here: Served, task: AsyncTask
) -> None:
    first = await task.call("greet", ADA, call_id="c-1")
    assert await task.call("greet", ADA, call_id="c-1") == first
    assert len(here.sandbox.planned) == 1


async def test_a_call_id_with_other_bytes_is_refused(here: Served, task: AsyncTask) -> None:
    await task.call("greet", '{"name":"Ada"}', call_id="c-1")
    for tool, arguments in [("greet", '{"name": "Ada"}'), ("other", '{"name":"Ada"}')]:
        with pytest.raises(CallRefused) as caught:
            await task.call(tool, arguments, call_id="c-1")
        assert caught.value.reason is Reason.CALL_ID_REUSED
    assert len(here.sandbox.planned) == 1


async def test_two_clients_that_race_for_the_last_call_do_not_both_get_it(
    here: Served, task: AsyncTask
) -> None:
    await task.call("greet", {"name": "Ada"})
    async with here.client() as another:
        theirs = another.task(task.id, task.token)
        ends = await asyncio.gather(
            *[each.call("greet", ADA) for each in (task, theirs)], return_exceptions=True
        )
    won = [end for end in ends if not isinstance(end, BaseException)]
    (lost,) = [end for end in ends if isinstance(end, CallRefused)]
    assert len(won) == 1
    assert lost.reason is Reason.CALLS_SPENT
    assert len(here.sandbox.planned) == 2


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(pb.ToolCall(call_id="", tool="greet"), "call_id", id="no call id"),
        pytest.param(pb.ToolCall(call_id="a b", tool="greet"), "call_id", id="space in the id"),
        pytest.param(pb.ToolCall(call_id="a\n", tool="greet"), "call_id", id="newline in the id"),
        pytest.param(pb.ToolCall(call_id="x" * 129, tool="greet"), "call_id", id="long id"),
        pytest.param(pb.ToolCall(call_id="c", tool=""), "`tool`", id="no tool"),
        pytest.param(pb.ToolCall(call_id="c", tool="x" * 129), "`tool`", id="long tool"),
        pytest.param(
            pb.ToolCall(call_id="c", tool="t", arguments_json="x" * (1 << 20) + "x"),
            "arguments_json",
            id="long arguments",
        ),
        pytest.param(
            pb.ToolCall(call_id="c", tool="t", model=pb.ModelContext(provider="x" * 257)),
            "`model`",
            id="long claim",
        ),
        pytest.param(
            pb.ToolCall(call_id="c", tool="t", model=pb.ModelContext(input_tokens=2**63)),
            "tokens",
            id="tokens beyond what JSON can say",
        ),
    ],
)
async def test_a_malformed_call_is_refused_and_not_recorded(
    here: Served, task: AsyncTask, call: pb.ToolCall, says: str
) -> None:
    for method, request in [
        ("CallTool", pb.CallToolRequest(task_id=task.id, call=call)),
        ("CheckCall", pb.CheckCallRequest(task_id=task.id, call=call)),
    ]:
        error = await refused(here.unix, method, request, token(task))
        assert info(error).reason == "REQUEST_INVALID"
        assert says in (error.details() or "")
    assert "call.decided" not in here.kinds()


async def test_a_field_that_this_broker_does_not_know_is_refused(
    here: Served, task: AsyncTask
) -> None:
    request = pb.ListToolsRequest(task_id=task.id).SerializeToString()
    unknown = b"\xf8\x01\x01"  # field 31, of a later version
    error = await refused(here.unix, "ListTools", request + unknown, token(task))
    assert info(error).reason == "REQUEST_INVALID"
    call = pb.ToolCall(call_id="c", tool="greet").SerializeToString() + unknown
    inner = b"\x12" + bytes([len(call)]) + call
    error = await refused(here.unix, "CallTool", inner, token(task))
    assert info(error).reason == "REQUEST_INVALID"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(pb.OpenTaskRequest(variables_json="[]"), id="a list"),
        pytest.param(pb.OpenTaskRequest(variables_json='{"a":1,"a":2}'), id="a key twice"),
        pytest.param(pb.OpenTaskRequest(variables_json='{"a":NaN}'), id="not a number"),
        pytest.param(pb.OpenTaskRequest(variables_json="{"), id="half"),
        pytest.param(pb.OpenTaskRequest(variables_json="[" * 100_000), id="deep"),
        pytest.param(
            pb.OpenTaskRequest(prompt=[pb.PromptPart(text="who says?")]), id="prompt of no source"
        ),
        pytest.param(
            pb.OpenTaskRequest(prompt=[pb.PromptPart(source=99, text="x")]),  # type: ignore[arg-type]
            id="prompt of an unknown source",
        ),
        pytest.param(
            pb.OpenTaskRequest(prompt=[pb.PromptPart(source=pb.PromptPart.SOURCE_TYPED)] * 65),
            id="a prompt in too many parts",
        ),
        pytest.param(
            pb.OpenTaskRequest(lifetime={"seconds": 2**62}),  # type: ignore[arg-type]
            id="a lifetime beyond all dates",
        ),
    ],
)
async def test_a_task_is_opened_with_what_can_be_understood_only(
    here: Served, request_: pb.OpenTaskRequest
) -> None:
    request_.manifest = "greeting"
    error = await refused(here.unix, "OpenTask", request_)
    assert info(error).reason in {"REQUEST_INVALID", "VARIABLE_INVALID"}
    assert "task.opened" not in here.kinds()


async def test_a_message_beyond_the_limit_is_refused(here: Served, task: AsyncTask) -> None:
    call = pb.ToolCall(call_id="c", tool="t", arguments_json="x" * MAX_REQUEST)
    request = pb.CallToolRequest(task_id=task.id, call=call)
    error = await refused(here.unix, "CallTool", request, token(task))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await task.tools()


async def test_a_long_refusal_still_reaches_its_caller(here: Served) -> None:
    request = pb.OpenTaskRequest(manifest="greeting", variables_json=json.dumps({"é" * 8000: 1}))
    error = await refused(here.unix, "OpenTask", request)
    assert info(error).reason == "VARIABLE_INVALID"


async def test_asking_too_often_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    plenty = Rate(per_second=1000, burst=1000)
    rates = Rates(task=Rate(per_second=0.01, burst=2), subject=plenty)
    async with served(tmp_path, rates=rates) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        for _ in range(2):
            await task.check("greet", ADA)
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", ADA)
        assert caught.value.reason is Reason.RATE_LIMITED
        assert caught.value.retry is Retry.LATER
        assert caught.value.retry_after is not None
        assert 50 < caught.value.retry_after.total_seconds() <= 100
        assert len([r for r in here.records() if isinstance(r, CallDecided)]) == 2


async def test_opening_too_often_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    rates = Rates(opening=Rate(per_second=0.01, burst=2))
    async with served(tmp_path, rates=rates) as here, here.client() as broker:
        for _ in range(2):
            await broker.open_task("greeting", variables={"friend": "Ada"})
        with pytest.raises(CallRefused) as caught:
            await broker.open_task("greeting", variables={"friend": "Ada"})
        assert caught.value.reason is Reason.RATE_LIMITED
        assert len([r for r in here.records() if isinstance(r, TaskOpened)]) == 2


async def test_guessing_tokens_is_rate_limited_by_subject(tmp_path: Path) -> None:
    rates = Rates(subject=Rate(per_second=0.01, burst=3))
    async with served(tmp_path, rates=rates) as here:
        request = pb.ListToolsRequest(task_id="t-1")
        reasons = [info(await refused(here.unix, "ListTools", request)).reason for _ in range(4)]
    assert reasons == ["TASK_NOT_FOUND"] * 3 + ["RATE_LIMITED"]


class Failing(InProcess):
    """Validators that fail in a way of the test's."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def check(self, candidate: Candidate) -> Checked:  # noqa: ARG002 - never gets so far
        raise self.error


class Withholding(InProcess):
    """Validators that fail at the result."""

    async def check_value(
        self,
        value: Json,  # noqa: ARG002 - never gets so far
        checks: Sequence[Check],  # noqa: ARG002
    ) -> tuple[Verdict, ...]:
        raise RuntimeError(TEXT)


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (RuntimeError(TEXT), "INTERNAL", "INTERNAL"),
        (Fault(TEXT), "INTERNAL", "INTERNAL"),
        (SandboxUnavailable(TEXT), "UNAVAILABLE", "SANDBOX_UNAVAILABLE"),
        (KeyError(TEXT), "INTERNAL", "INTERNAL"),
        (TimeoutError(TEXT), "INTERNAL", "INTERNAL"),
        (asyncio.CancelledError(TEXT), "INTERNAL", "INTERNAL"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_nothing_of_an_exception_s_text_leaves(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    failure: BaseException,
    code: str,
    reason: str,
) -> None:
    stage = Stage(validators=Failing(failure))
    async with served(tmp_path, stage) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        call = pb.ToolCall(call_id="c", tool="greet", arguments_json='{"name":"Ada"}')
        request = pb.CallToolRequest(task_id=task.id, call=call)
        error = await refused(here.unix, "CallTool", request, token(task))
    assert error.code() is grpc.StatusCode[code]
    assert info(error).reason == reason
    incident = info(error).metadata["incident"]
    told = str(error) + str(details(error)) + repr(error.trailing_metadata())
    assert TEXT not in told
    assert type(failure).__name__ not in told
    said = "".join(capfd.readouterr())
    assert incident in said
    assert (TEXT in said) is isinstance(failure, Fault)


async def test_a_failure_after_the_container_started_leaks_nothing_either(tmp_path: Path) -> None:
    stage = Stage(validators=Withholding())
    async with served(tmp_path, stage) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        with pytest.raises(BrokerFault) as caught:
            await task.call("greet", ADA)
    assert TEXT not in caught.value.problem
    assert caught.value.incident


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, Stage(sandbox=Scripted(held=True))) as broker:
        yield broker


async def started(here: Served) -> None:
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)


async def test_a_deadline_reaches_the_container(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        with pytest.raises(DeadlineExceeded):
            await task.call("greet", ADA, call_id="c-1", timeout=1)
        await eventually(lambda: held.sandbox.planned[0].killed)
        await eventually(lambda: "call.outcome" in held.kinds())
        end = (await task.get("c-1")).end
    assert end is not None
    assert end.outcome is Outcome.CANCELLED


async def test_cancelling_reaches_the_container(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA))
        await started(held)
        calling.cancel()
        await eventually(lambda: held.sandbox.planned[0].killed)
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_a_dropped_connection_reaches_the_container(held: Served) -> None:
    async with held.client() as opener:
        task = await opener.open_task("greeting", variables={"friend": "Ada"})
        other = held.client()
        calling = asyncio.create_task(other.task(task.id, task.token).call("greet", ADA))
        await started(held)
        await other.close()
        await eventually(lambda: held.sandbox.planned[0].killed)
        await asyncio.gather(calling, return_exceptions=True)


async def test_closing_a_task_cancels_what_runs_of_it(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA))
        await started(held)
        assert await task.close() == 1
        assert (await calling).outcome is Outcome.CANCELLED
        assert await task.close() == 0
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", ADA)
    assert caught.value.reason is Reason.TASK_CLOSED


async def test_a_running_call_is_said_to_run(held: Served) -> None:
    async with held.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA, call_id="c-1"))
        await started(held)
        assert (await task.get("c-1")).state is CallState.RUNNING
        held.sandbox.planned[0].let_go.set()
        await calling
        assert (await task.get("c-1")).state is CallState.ENDED
        with pytest.raises(CallRefused) as caught:
            await task.get("c-2")
    assert caught.value.reason is Reason.CALL_NOT_FOUND


@dataclass(slots=True)
class Meanwhile:
    """A place in the log; while somebody waits for it, something else happens."""

    happens: Callable[[], Awaitable[object]]
    sequence: int = 0

    async def wait(self) -> None:
        await asyncio.gather(self.happens(), return_exceptions=True)


class Alone:
    """The context of a request that no wire brought."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("task-token", "secret"),)

    def peer(self) -> str:
        return "unix:"

    async def abort(self, _: grpc.StatusCode, said: str, __: object) -> NoReturn:
        raise LookupError(said)


async def test_a_call_that_is_decided_while_it_is_asked_for_is_not_told_of(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        live = await stage.open_task()
        fast = Buckets(Rate(per_second=1000, burst=1000), time.monotonic)
        attempts = Attempts(stage.ledger)
        core = Core(
            broker=stage.broker,
            tending=Tending(stage.ledger),
            housing=stage.housing,
            watching=Watching(InProcess()),
            ledger=stage.ledger,
            attempts=attempts,
            in_progress=InProgress(100),
            subjects=fast,
            tasks=fast,
            opening=fast,
            auditing=Auditing(tmp_path, lambda: 0, Audit()),
            filing=cast("Any", None),
        )
        live.last = Meanwhile(lambda: stage.broker.call_tool(live, propose("{}")))
        asked = pb.GetCallRequest(task_id=live.task.state.id, call_id="c-1")
        with pytest.raises(LookupError, match="no such call"):
            await BrokerRpc(core, Reserved(CALLER)).GetCall(asked, cast("Any", Alone()))
