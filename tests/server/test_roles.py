from __future__ import annotations

import os
from typing import TYPE_CHECKING

import grpc
import pytest

from sandbox_runtime.client import CallRefused
from sandbox_runtime.records import AuthRefused
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.settings import Peer
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceServicer
from tests.support.serving import SUBJECT, served
from tests.support.wire_calls import info, refused

if TYPE_CHECKING:
    from pathlib import Path

METHODS = [each.name for each in pb.DESCRIPTOR.services_by_name["BrokerService"].methods]


def as_(*roles: Role) -> tuple[Peer, ...]:
    return (Peer(uid=os.geteuid(), subject=SUBJECT, roles=roles),)


@pytest.mark.parametrize("method", METHODS)
async def test_no_method_is_served_to_who_has_another_role(tmp_path: Path, method: str) -> None:
    assert hasattr(BrokerServiceServicer, method)
    async with served(tmp_path, peers=as_(Role.APPROVER, Role.AUDITOR, Role.OPERATOR)) as here:
        error = await refused(here.unix, method, b"")
        await here.stop()
        (counted,) = [each for each in here.records() if isinstance(each, AuthRefused)]
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert info(error).reason == "ROLE_MISSING"
    assert counted.reasons == {"role_missing": 1}


async def test_an_agent_proposes_calls_and_opens_no_task(tmp_path: Path) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
    async with served(tmp_path, peers=as_(Role.AGENT)) as here, here.client() as broker:
        handed = broker.task(task.id, task.token)
        assert (await handed.call("greet", {"name": "Ada"})).ok
        with pytest.raises(CallRefused, match="role `opener`"):
            await broker.open_task("greeting", variables={"friend": "Ada"})


async def test_an_opener_opens_and_closes_a_task_and_proposes_no_call(tmp_path: Path) -> None:
    async with served(tmp_path, peers=as_(Role.OPENER)) as here, here.client() as broker:
        async with await broker.open_task("greeting", variables={"friend": "Ada"}) as task:
            assert (await task.status()).id == task.id
            with pytest.raises(CallRefused, match="role `agent`"):
                await task.call("greet", {"name": "Ada"})
        assert here.kinds().count("task.closed") == 1
