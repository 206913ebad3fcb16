from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.client import Outcome, typed
from tests.support.serving import served

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_call_runs_from_end_to_end(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as here,
        here.client() as broker,
        await broker.open_task(
            "greeting", prompt=[typed("say hello")], variables={"friend": "Ada"}
        ) as task,
    ):
        assert [tool.name for tool in await task.tools()] == ["greet"]
        end = await task.call("greet", {"name": "Ada"})
    assert end.outcome is Outcome.OK
    assert end.result == {"greeting": "hello"}
    assert end.grant == "friends"
