from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.records import AuthRefused
from sandbox_runtime.server.caller import Caller, Role
from sandbox_runtime.server.identity import Bearer, Stranger, Unauthenticated
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.eventually import eventually
from tests.support.serving import served
from tests.support.wire_calls import info, refused, send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.wire_calls import Metadata

DEV = Caller(subject="agent:dev", roles=frozenset({Role.OPENER}))
HEALTH = "/grpc.health.v1.Health/Check"
OPEN = pb.OpenTaskRequest(manifest="greeting", variables_json='{"friend":"Ada"}')


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param((), id="nothing"),
        pytest.param((("authorization", "Bearer wrong"),), id="another token"),
        pytest.param((("authorization", "Bearer "),), id="an empty token"),
        pytest.param((("authorization", "Basic {token}"),), id="another scheme"),
        pytest.param((("authorization", "Bearer {token}x"),), id="a longer token"),
        pytest.param((("authorization", "Bearer {token}"),) * 2, id="the token twice"),
    ],
)
@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("OpenTask", OPEN),
        ("CallTool", pb.CallToolRequest(task_id="t-1")),
        (HEALTH, health_pb2.HealthCheckRequest()),
        ("/not.there/AtAll", b""),
    ],
)
async def test_nobody_without_the_token_is_served_on_loopback(
    tmp_path: Path, method: str, request_: pb.OpenTaskRequest, metadata: Metadata
) -> None:
    async with served(tmp_path) as here:
        sent = tuple((key, value.format(token=here.token)) for key, value in metadata)
        error = await refused(here.loopback, method, request_, sent)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert info(error).reason == "UNAUTHENTICATED"


async def test_a_stranger_s_message_is_not_even_parsed(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        error = await refused(here.loopback, "OpenTask", b"\xff\xff no protobuf")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_whoever_has_the_token_is_served_on_loopback(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as here,
        AsyncBroker.connect(here.loopback, token=here.token) as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        assert (await task.call("greet", {"name": "Ada"})).ok


async def test_reflection_lists_the_services_to_those_it_knows_only(tmp_path: Path) -> None:
    async def listed(address: str, metadata: Metadata) -> set[str]:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type] # for both kinds of channel
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            async for said in stub.ServerReflectionInfo(iter([asked]), metadata=metadata):
                return {service.name for service in said.list_services_response.service}
        return set()

    async with served(tmp_path) as here:
        known = await listed(here.loopback, (("authorization", f"Bearer {here.token}"),))
        assert "sandbox_runtime.v1.BrokerService" in known
        assert known == await listed(here.unix, ())
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await listed(here.loopback, ())
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_many_strangers_become_one_record(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        for _ in range(20):
            await refused(here.loopback, "OpenTask", OPEN)
        await refused(here.loopback, "OpenTask", OPEN, (("authorization", "Bearer no"),))
        await refused(here.unix, "ListTools", pb.ListToolsRequest(task_id="t-0"))
        await here.stop()
        (found,) = [record for record in here.records() if isinstance(record, AuthRefused)]
    assert found.count == 22
    assert found.reasons == {
        Stranger.NO_TOKEN: 20,
        Stranger.WRONG_TOKEN: 1,
        Stranger.WRONG_TASK_TOKEN: 1,
    }


async def test_strangers_are_recorded_while_the_broker_runs(tmp_path: Path) -> None:
    async with served(tmp_path, strangers_every=timedelta(milliseconds=100)) as here:
        await refused(here.loopback, "OpenTask", OPEN)
        await eventually(lambda: "auth.refused" in here.kinds())


async def test_the_token_lies_where_only_the_broker_can_read_it(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert here.ready.token_file is not None
        assert here.ready.token_file.stat().st_mode & 0o777 == 0o600
        assert here.token not in repr(Bearer(known=DEV, token=here.token))
    assert not here.ready.token_file.exists()


async def test_each_start_makes_another_token(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        first = here.token
    async with served(tmp_path) as here:
        assert here.token != first
        error = await refused(
            here.loopback, "OpenTask", OPEN, (("authorization", f"Bearer {first}"),)
        )
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_unknown_task_and_a_wrong_token_look_alike(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        seen = []
        for task_id, token in [
            (task.id, "wrong"),
            ("t-0123456789abcdef", task.token),
            ("t-0123456789abcdef", "wrong"),
            (task.id, ""),
        ]:
            request = pb.GetCallRequest(task_id=task_id, call_id="c-1")
            error = await refused(here.unix, "GetCall", request, (("task-token", token),))
            seen.append((error.code(), error.details(), tuple(error.trailing_metadata())))
    assert len(set(seen)) == 1
    assert seen[0][0] is grpc.StatusCode.NOT_FOUND


async def test_one_task_s_token_opens_no_other_task(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        one = await broker.open_task("greeting", variables={"friend": "Ada"})
        other = await broker.open_task("greeting", variables={"friend": "Eve"})
        request = pb.ListToolsRequest(task_id=one.id)
        error = await refused(here.unix, "ListTools", request, (("task-token", other.token),))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        answer = await send(here.unix, "ListTools", request, (("task-token", one.token),))
    assert isinstance(answer, bytes)


def test_comparing_no_token_at_all_lets_nobody_in() -> None:
    door = Bearer(known=DEV, token="t")  # noqa: S106 - made up
    with pytest.raises(Unauthenticated):
        door.caller((), "")
    with pytest.raises(Unauthenticated):
        door.caller((("authorization", "Bearer \u00e9"),), "")
    assert door.caller((("authorization", "Bearer t"),), "") == DEV
