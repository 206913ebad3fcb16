"""Races for the last unit of each budget, and answers too large for who asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from sandbox_runtime.client import AsyncBroker, CallRefused, Outcome
from sandbox_runtime.errors import Reason
from sandbox_runtime.v1 import broker_pb2 as pb
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceStub
from tests.support.eventually import eventually
from tests.support.manifests import SOURCES, TASK
from tests.support.pipeline import Scripted, ok
from tests.support.serving import Stage, served, write_tree

if TYPE_CHECKING:
    from pathlib import Path

ADA = {"name": "Ada"}
BUDGETS = "budgets: {calls: 3, wall_time: 10s, result_bytes: 1Ki, refusals: 5, checks: 5}"


def manifests(directory: Path, budgets: str) -> str:
    """Write manifests with these budgets, and more calls under the grant than they allow."""
    assert BUDGETS in TASK
    text = TASK.replace(BUDGETS, budgets).replace("max_calls: 2", "max_calls: 20")
    return str(write_tree(directory / "own", {**SOURCES, "tasks/greeting.yaml": text}))


@pytest.mark.parametrize("budgets", ["budgets: {calls: 1}", "budgets: {wall_time: 1s}"])
async def test_of_two_clients_that_race_for_the_last_unit_of_a_budget_one_gets_it(
    tmp_path: Path, budgets: str
) -> None:
    stage = Stage(sandbox=Scripted(held=True))
    async with (
        served(tmp_path, stage, manifests=manifests(tmp_path, budgets)) as here,
        here.client() as one,
        AsyncBroker.connect(here.loopback, token=here.token) as another,
    ):
        task = await one.open_task("greeting", variables={"friend": "Ada"})
        racing = [
            asyncio.create_task(client.task(task.id, task.token).call("greet", ADA))
            for client in (one, another)
            for _ in range(5)
        ]
        await eventually(lambda: sum(each.done() for each in racing) == len(racing) - 1)
        here.sandbox.planned[0].let_go.set()
        ends = await asyncio.gather(*racing, return_exceptions=True)
    lost = [end.reason for end in ends if isinstance(end, CallRefused)]
    (won,) = [end for end in ends if not isinstance(end, BaseException)]
    assert won.outcome is Outcome.OK
    assert lost == [Reason.BUDGET_SPENT] * (len(racing) - 1)
    assert len(here.sandbox.planned) == 1


async def test_an_answer_too_large_for_its_caller_is_kept_for_one_who_takes_it(
    tmp_path: Path,
) -> None:
    large = "x" * 8000
    stage = Stage(
        sandbox=Scripted(answers=[ok(f'{{"result": {{"greeting": "{large}"}}}}'.encode())])
    )
    own = manifests(tmp_path, "budgets: {result_bytes: 1Mi}")
    async with served(tmp_path, stage, manifests=own) as here, here.client() as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        options = (("grpc.max_receive_message_length", 4096),)
        async with grpc.aio.insecure_channel(here.unix, options) as channel:
            call = pb.ToolCall(call_id="c-1", tool="greet", arguments_json='{"name":"Ada"}')
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await BrokerServiceStub(channel).CallTool(
                    pb.CallToolRequest(task_id=task.id, call=call),
                    metadata=(("task-token", task.token),),
                    timeout=10,
                )
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        end = await task.call("greet", '{"name":"Ada"}', call_id="c-1")
    assert end.result == {"greeting": large}
    assert len(here.sandbox.planned) == 1
