from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import CallState, DeadlineExceeded, Outcome, typed
from sandbox_runtime.records import CallClosed, CallIntent, CallOutcome
from tests.support.command import COMMAND, configured
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Start


OPEN_PLACE = {"socket": "/dev/shm/b.sock"}  # noqa: S108 - that is what is refused


async def test_a_call_runs_in_a_container_of_its_own_that_is_gone_afterwards(start: Start) -> None:
    async with (
        start() as broker,
        broker.client() as client,
        await client.open_task("probing", prompt=[typed("probe")]) as task,
    ):
        end = await task.call("probe-e2e", {"act": "echo", "text": "hello"}, timeout=60)
        assert end.outcome is Outcome.OK
        assert end.result == {"said": "hello"}
        await eventually(lambda: "call.closed" in broker.kinds())
        assert broker.containers() == []
    (intent,) = [r for r in broker.records() if isinstance(r, CallIntent)]
    (outcome,) = [r for r in broker.records() if isinstance(r, CallOutcome)]
    (closed,) = [r for r in broker.records() if isinstance(r, CallClosed)]
    assert intent.image.startswith("sha256:")
    assert outcome.walls_digest
    assert closed.container
    assert broker.kinds()[-1] == "operator.stopped"
    assert broker.process.returncode == 0


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        ("exit", Outcome.CRASHED),
        ("flood", Outcome.OUTPUT_LIMIT),
        ("fork", Outcome.PIDS_LIMIT),
        ("memory", Outcome.OUT_OF_MEMORY),
        ("wait", Outcome.TIMEOUT),
    ],
)
async def test_a_tool_that_misbehaves_is_contained(
    start: Start, act: str, outcome: Outcome
) -> None:
    async with start() as broker, broker.client() as client:
        task = await client.open_task("probing")
        end = await task.call("probe-e2e", {"act": act}, timeout=60)
        assert end.outcome is outcome
        assert end.result is None
        assert end.detail
        await eventually(lambda: broker.containers() == [])
        assert (await task.call("probe-e2e", {"act": "echo"}, timeout=60)).ok


async def test_a_deadline_kills_the_container(start: Start) -> None:
    async with start() as broker, broker.client() as client:
        task = await client.open_task("probing")
        with pytest.raises(DeadlineExceeded):
            await task.call("probe-e2e", {"act": "wait"}, call_id="c-1", timeout=2)
        await eventually(lambda: "call.outcome" in broker.kinds())
        await eventually(lambda: broker.containers() == [])
        assert (await task.get("c-1")).state is CallState.ENDED


async def test_a_client_that_goes_away_takes_its_container_with_it(start: Start) -> None:
    async with start() as broker, broker.client() as opener:
        task = await opener.open_task("probing")
        other = broker.client()
        calling = asyncio.create_task(
            other.task(task.id, task.token).call("probe-e2e", {"act": "wait"})
        )
        await eventually(broker.containers)
        await other.close()
        await asyncio.gather(calling, return_exceptions=True)
        await eventually(lambda: broker.containers() == [])


async def test_a_killed_broker_s_container_is_removed_and_its_call_is_unknown(
    start: Start,
) -> None:
    async with start() as first, first.client() as client:
        task = await client.open_task("probing")
        calling = asyncio.create_task(
            task.call("probe-e2e", {"act": "wait"}, call_id="c-1", timeout=5)
        )
        await eventually(first.containers)
        await eventually(lambda: "call.intent" in first.kinds())
        first.process.kill()
        await first.process.wait()
        await asyncio.gather(calling, return_exceptions=True)
        assert first.containers() != []
    async with start() as second, second.client() as client:
        assert second.id == first.id
        assert second.containers() == []
        again = await client.task(task.id, task.token).call(
            "probe-e2e", {"act": "wait"}, call_id="c-1"
        )
        assert again.outcome is Outcome.UNKNOWN


async def test_a_stop_drains_the_call_in_flight(start: Start) -> None:
    async with start(drain="30s") as broker, broker.client() as client:
        task = await client.open_task("probing")
        calling = asyncio.create_task(task.call("probe-e2e", {"act": "wait"}, timeout=60))
        await eventually(lambda: "call.intent" in broker.kinds())
        broker.process.terminate()
        assert (await calling).outcome is Outcome.TIMEOUT
        assert await broker.process.wait() == 0
    assert broker.kinds()[-1] == "operator.stopped"
    assert broker.containers() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"images_lock": "/nowhere.json"}, "sandbox-broker tool build", id="no lock"),
        pytest.param({"engine": "/nowhere.sock"}, "the engine", id="no engine"),
        pytest.param({"listen": OPEN_PLACE}, "replace the socket", id="open place"),
        pytest.param({"drian": "1s"}, "did you mean `drain`?", id="misspelt"),
    ],
)
def test_what_is_not_as_the_settings_say_is_refused_with_its_mend(
    tmp_path: Path, manifests: Path, change: dict[str, object], says: str
) -> None:
    file = configured(tmp_path, manifests, **change)
    done = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {1, 3}
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_data_without_a_source_is_refused_at_its_place(tmp_path: Path, manifests: Path) -> None:
    tree = tmp_path / "other"
    for file in manifests.rglob("*.*"):
        (tree / file.relative_to(manifests)).parent.mkdir(parents=True, exist_ok=True)
        (tree / file.relative_to(manifests)).write_bytes(file.read_bytes())
    with (tree / "probe/tool.yaml").open("a") as tool:
        tool.write("  data: [{name: sales, mount: /data/sales.db}]\n")
    done = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "serve", "--config", str(configured(tmp_path, tree))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert "probe/tool.yaml:11" in done.stderr
    assert "sales" in done.stderr
