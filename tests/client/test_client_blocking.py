from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    CallRefused,
    CallState,
    DeadlineExceeded,
    typed,
)
from sandbox_runtime.errors import Reason
from sandbox_runtime.records import CallOutcome
from tests.support.eventually import eventually
from tests.support.pipeline import Scripted
from tests.support.serving import Stage, served

if TYPE_CHECKING:
    from pathlib import Path

ADA = {"name": "Ada"}


def use(address: str, token: str | None) -> None:
    """Do all that a blocking client can do."""
    with (
        Broker.connect(address, token=token) as broker,
        broker.open_task(
            "greeting", prompt=[typed("hello")], variables={"friend": "Ada"}, timeout=10
        ) as task,
    ):
        assert task.expires_at is not None
        assert task.tools()[0].parameters["type"] == "object"
        assert task.check("greet", ADA).grant == "friends"
        end = task.call("greet", ADA, call_id="c-1")
        assert end.ok
        assert task.get("c-1").end == end
        with pytest.raises(CallRefused) as caught:
            task.call("greet", {"name": "Eve"})
        assert caught.value.pointer == "/name"
        same = broker.task(task.id, task.token)
        assert same.get("c-1").state is CallState.ENDED
    with Broker.connect(address, token=token) as broker, pytest.raises(CallRefused) as after:
        broker.task(task.id, task.token).call("greet", ADA)
    assert after.value.reason is Reason.TASK_CLOSED


async def test_a_blocking_client_does_what_the_other_does(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        await asyncio.to_thread(use, here.unix, None)
        await asyncio.to_thread(use, here.loopback, here.token)


async def test_a_blocking_call_s_timeout_kills_its_container(tmp_path: Path) -> None:
    def late(address: str) -> None:
        with Broker.connect(address) as broker:
            task = broker.open_task("greeting", variables={"friend": "Ada"})
            with pytest.raises(DeadlineExceeded):
                task.call("greet", ADA, call_id="c-1", timeout=0.5)

    async with served(tmp_path, Stage(sandbox=Scripted(held=True))) as here:
        await asyncio.to_thread(late, here.unix)
        await eventually(lambda: here.sandbox.planned[0].killed)


async def test_hanging_up_ends_a_blocking_call(tmp_path: Path) -> None:
    async with served(tmp_path, Stage(sandbox=Scripted(held=True))) as here:
        broker = Broker.connect(here.unix)
        opened = await asyncio.to_thread(broker.open_task, "greeting", variables={"friend": "Ada"})
        calling = asyncio.create_task(asyncio.to_thread(opened.call, "greet", ADA))
        await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
        broker.close()
        await eventually(lambda: here.sandbox.planned[0].killed)
        (ended,) = await asyncio.gather(calling, return_exceptions=True)
    assert isinstance(ended, BrokerError)


def test_where_no_broker_answers_it_says_so_in_time(tmp_path: Path) -> None:
    with (
        Broker.connect(f"unix:{tmp_path / 'none.sock'}") as broker,
        pytest.raises(BrokerUnavailable),
    ):
        broker.task("t", "x").call("greet", ADA, timeout=1)


async def test_an_interrupted_program_leaves_no_call_running(tmp_path: Path) -> None:
    """Ctrl-C in a blocking call kills the program, and the broker kills the container."""
    program = """if True:
        import sys
        from sandbox_runtime.client import Broker
        with Broker.connect(sys.argv[1]) as broker:
            task = broker.open_task("greeting", variables={"friend": "Ada"})
            task.call("greet", {"name": "Ada"}, call_id="c-1")
    """
    async with served(tmp_path, Stage(sandbox=Scripted(held=True))) as here:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, here.unix, stderr=subprocess.DEVNULL
        )
        await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
        process.send_signal(2)
        await asyncio.wait_for(process.wait(), 10)
        await eventually(lambda: here.sandbox.planned[0].killed)
        await eventually(lambda: "call.outcome" in here.kinds())
    outcomes = [r.outcome.value for r in here.records() if isinstance(r, CallOutcome)]
    assert outcomes == ["CANCELLED"]


def test_the_client_needs_nothing_of_the_server_s() -> None:
    program = """if True:
        import sys
        server_only = {
            "bleach", "click", "cryptography", "docker", "google_crc32c", "re2", "grpc_health",
            "grpc_reflection", "h11", "jsonschema_rs", "orjson", "rich", "ruamel", "sqlglot",
            "structlog",
        }
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in server_only:
                    raise ImportError(f"{name} is not of the base install")
        sys.meta_path.insert(0, Blocked())
        import sandbox_runtime.client
        ours = {name for name in sys.modules if name.startswith("sandbox_runtime.")}
        allowed = ("sandbox_runtime.client", "sandbox_runtime.v1", "sandbox_runtime.errors")
        sys.exit(", ".join(name for name in ours if not name.startswith(allowed)) or 0)
    """
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
