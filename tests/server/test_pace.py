"""A grant's order and rate, as an agent meets them over the wire."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import CallRefused
from sandbox_runtime.errors import Mender, Reason, Retry
from tests.support.manifests import SOURCES, TASK
from tests.support.serving import served, write_tree

if TYPE_CHECKING:
    from pathlib import Path

ADA, GRACE = {"name": "Ada"}, {"name": "Grace Hopper"}
PACED = TASK.replace("max_calls: 1\n", "after: [friends]\n").replace(
    "max_calls: 2\n", "max_calls: 9\n      rate: {calls: 2, per: 1h}\n"
)
GUARDED = TASK.replace("{exact: $friend}", '{regex: "[A-Z][a-z]+", not_one_of: [Mallory, $friend]}')


def manifests(directory: Path, task: str = PACED) -> str:
    sources = {**SOURCES, "tasks/greeting.yaml": task.replace("calls: 3,", "calls: 9,")}
    return str(write_tree(directory / "changed", sources))


async def test_an_agent_is_told_what_has_to_come_first(tmp_path: Path) -> None:
    async with served(tmp_path, manifests=manifests(tmp_path)) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", GRACE)
        early = caught.value
        assert (early.reason, early.retry) == (Reason.ORDER_NOT_MET, Retry.LATER)
        assert early.hint == "call `greet` under `friends` first; then send this as a new call"
        await task.call("greet", ADA)
        assert (await task.call("greet", GRACE)).grant == "colleagues"


async def test_an_agent_is_told_when_a_rate_leaves_room_again_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, manifests=manifests(tmp_path)) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        credentials = task.id, task.token
        for _ in range(2):
            await task.call("greet", ADA)
    async with served(tmp_path, manifests=manifests(tmp_path)) as here, here.client() as broker:
        with pytest.raises(CallRefused) as caught:
            await broker.task(*credentials).call("greet", ADA)
        late = caught.value
        assert (late.reason, late.retry, late.mender) == (
            Reason.RATE_EXCEEDED,
            Retry.LATER,
            Mender.AGENT,
        )
        assert late.retry_after is not None
        assert timedelta(minutes=59) < late.retry_after <= timedelta(hours=1)


async def test_what_a_grant_excludes_is_in_no_tool_list_and_no_refusal(tmp_path: Path) -> None:
    guarded = manifests(tmp_path, GUARDED)
    async with served(tmp_path, manifests=guarded) as here, here.client() as broker:
        task = await broker.open_task("greeting", variables={"friend": "Trudy"})
        (tool,) = await task.tools()
        shown = json.dumps(tool.parameters)
        for name in ("Mallory", "Trudy"):
            with pytest.raises(CallRefused) as caught:
                await task.call("greet", {"name": name})
            assert caught.value.code == "constraint.not_one_of"
            assert name not in f"{caught.value} {shown}"
