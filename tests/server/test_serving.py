from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sandbox_runtime.client import (
    AsyncBroker,
    BrokerUnavailable,
    CallRefused,
    CallState,
    Outcome,
)
from sandbox_runtime.errors import EvidenceUnavailable, Reason
from sandbox_runtime.evidence import layout
from sandbox_runtime.records import parse
from sandbox_runtime.server.listening import SERVICE, ListenRefused
from tests.support.eventually import eventually
from tests.support.pipeline import Scripted
from tests.support.serving import Stage, served, settings

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.serving import Served

ADA = {"name": "Ada"}
Health = health_pb2.HealthCheckResponse


async def health(address: str, service: str = "") -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=Health.FromString,
        )
        said: Health = await check(health_pb2.HealthCheckRequest(service=service))
        return said.status


async def started(here: Served) -> None:
    await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)


async def test_a_broker_that_serves_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert await health(here.unix) == Health.SERVING
        assert await health(here.unix, SERVICE) == Health.SERVING


async def test_a_stop_lets_calls_in_flight_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with (
        served(tmp_path, Stage(sandbox=Scripted(held=True))) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA))
        await started(here)
        os.kill(os.getpid(), signal.SIGTERM)
        while await health(here.unix) == Health.SERVING:
            pass
        with pytest.raises(BrokerUnavailable) as caught:
            await task.tools(timeout=0.1)
        assert caught.value.reason is Reason.DRAINING
        here.sandbox.planned[0].let_go.set()
        assert (await calling).ok
        await here.task
    assert here.kinds()[-3:] == ["call.outcome", "call.closed", "operator.stopped"]


async def test_calls_that_outlast_the_grace_are_cancelled(tmp_path: Path) -> None:
    stage = Stage(sandbox=Scripted(held=True))
    async with (
        served(tmp_path, stage, drain=timedelta(milliseconds=200)) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA))
        await started(here)
        await here.stop()
        assert (await calling).outcome is Outcome.CANCELLED
    assert here.sandbox.planned[0].killed
    assert here.kinds()[-1] == "operator.stopped"


async def test_a_second_stop_cancels_at_once(tmp_path: Path) -> None:
    stage = Stage(sandbox=Scripted(held=True))
    async with (
        served(tmp_path, stage, drain=timedelta(hours=1)) as here,
        here.client() as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA))
        await started(here)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert not here.sandbox.planned[0].killed
        os.kill(os.getpid(), signal.SIGINT)
        assert (await calling).outcome is Outcome.CANCELLED
        async with asyncio.timeout(10):
            await here.task


async def test_a_stopped_broker_leaves_no_socket_behind(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert here.ready.socket.exists()
    assert not here.ready.socket.exists()


async def test_a_log_that_cannot_be_written_turns_health_red_and_ends_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        seen: list[int] = []
        watching = asyncio.create_task(_watch(here.unix, seen))
        await eventually(lambda: seen == [Health.SERVING])
        monkeypatch.setattr(os, "fdatasync", _fail)
        with pytest.raises(BrokerUnavailable) as caught:
            await task.call("greet", ADA, timeout=0.05)
        assert caught.value.reason in {Reason.EVIDENCE_UNAVAILABLE, Reason.DRAINING}
        with pytest.raises(EvidenceUnavailable):
            await here.task
        await asyncio.gather(watching, return_exceptions=True)
    assert seen[-1] == Health.NOT_SERVING
    assert not any(container.started for container in here.sandbox.planned)


def _fail(_: int) -> None:
    raise OSError(5, "Input/output error")


async def _watch(address: str, seen: list[int]) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for said in stub.Watch(health_pb2.HealthCheckRequest()):
            seen.append(said.status)  # noqa: PERF401 - seen while it goes on


@asynccontextmanager
async def process(directory: Path, *, hold: bool = False) -> AsyncIterator[Process]:
    """Run a broker in a process of its own."""
    file = directory / "settings.json"
    file.write_text(settings(directory).model_dump_json())
    (directory / "hold").touch() if hold else (directory / "hold").unlink(missing_ok=True)
    broker = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.broker_process", str(file)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert broker.stdout is not None
    async with asyncio.timeout(30):
        assert await broker.stdout.readline()
    try:
        yield broker
    finally:
        if broker.returncode is None:
            broker.kill()
        await broker.wait()


async def test_after_a_kill_the_next_broker_stands_where_the_first_one_did(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'run/b.sock'}"
    async with process(tmp_path, hold=True) as first, AsyncBroker.connect(address) as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        with pytest.raises(CallRefused) as refusal:
            await task.call("greet", {"name": "Eve"}, call_id="refused")
        permission = await task.check("greet", ADA)
        left = [tool.calls_left for tool in await task.tools()]
        calling = asyncio.create_task(task.call("greet", ADA, call_id="interrupted", timeout=3))
        reader = layout.reader(tmp_path / "state")
        await eventually(lambda: "call.intent" in [parse(leaf).kind for _, leaf in reader.read()])
        first.kill()
        await first.wait()
        with pytest.raises(BrokerUnavailable):
            await calling

    async with process(tmp_path), AsyncBroker.connect(address) as client:
        task = client.task(task.id, task.token)
        assert await task.check("greet", ADA) == permission
        assert [tool.calls_left for tool in await task.tools()] == [left[0] - 1]
        interrupted = await task.call("greet", ADA, call_id="interrupted")
        assert interrupted.outcome is Outcome.UNKNOWN
        assert (await task.get("interrupted")).state is CallState.ENDED
        with pytest.raises(CallRefused) as again:
            await task.call("greet", {"name": "Eve"}, call_id="refused")
        assert (again.value.reason, again.value.pointer) == (
            refusal.value.reason,
            refusal.value.pointer,
        )
        assert (await task.call("greet", ADA)).ok


async def test_a_retried_call_survives_its_broker(tmp_path: Path) -> None:
    """The client sends the same call again until a broker answers, and it runs once."""
    address = f"unix:{tmp_path / 'run/b.sock'}"
    async with process(tmp_path, hold=True) as first, AsyncBroker.connect(address) as client:
        task = await client.open_task("greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(task.call("greet", ADA, timeout=60))
        reader = layout.reader(tmp_path / "state")
        await eventually(lambda: "call.intent" in [parse(leaf).kind for _, leaf in reader.read()])
        first.kill()
        await first.wait()
        async with process(tmp_path):
            assert (await calling).outcome is Outcome.UNKNOWN


async def test_a_log_has_one_broker(tmp_path: Path) -> None:
    async with process(tmp_path):
        with pytest.raises(EvidenceUnavailable, match="another process"):
            async with served(tmp_path):
                pass


async def test_a_state_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    with pytest.raises(EvidenceUnavailable, match="others may enter"):
        async with served(tmp_path):
            pass


async def test_where_nothing_can_listen_the_broker_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/b.sock").write_text("no socket")
    with pytest.raises(ListenRefused, match="no socket"):
        async with served(tmp_path):
            pass
