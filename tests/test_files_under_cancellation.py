"""Whoever hangs up, whenever: no turn, no permit and no place for a file stays taken."""

from __future__ import annotations

import asyncio
import random
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.errors import Fault, Refusal
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.kept import KeptFiles
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.filing import Announced, Getting, Putting, Transfers
from sandbox_runtime.turns import Limits
from tests.support.filed import FILED
from tests.support.manifests import propose
from tests.support.pipeline import InProcess, Scripted, on_stage
from tests.support.traces import traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.ledger import Live
    from tests.support.pipeline import Stage

CONTENT = b"a line\n" * 100
FEW = Limits(
    running=2,
    running_per_subject=2,
    running_per_task=2,
    queued=100,
    queued_per_subject=100,
    queued_per_task=100,
)


class Crowd:
    """Calls, puts, gets and listings of one task, each given up at some moment."""

    def __init__(self, stage: Stage, live: Live, dice: random.Random) -> None:
        self._stage, self._live, self._dice = stage, live, dice
        self.transfers = Transfers(of_task=100, of_subject=100, of_all=100)
        staging = stage.state / "staging"
        staging.mkdir()
        kept = KeptFiles(
            directory=layout.kept_directory(stage.state),
            keys=Keys.open(layout.keys_directory(stage.state)),
        )
        self.putting = Putting(
            ledger=stage.ledger,
            housing=stage.housing,
            transfers=self.transfers,
            staging=staging,
            most=1 << 20,
            headroom=1,
        )
        self.getting = Getting(
            ledger=stage.ledger,
            housing=stage.housing,
            validators=InProcess(),
            transfers=self.transfers,
            kept=kept,
            most=1 << 20,
        )

    async def one(self, number: int) -> None:
        """Do one thing of many, and give it up at some moment or not."""
        doings = (self._call, self._put, self._get, self._list)
        doing = asyncio.create_task(self._dice.choice(doings)(number))
        await asyncio.wait({doing}, timeout=self._dice.uniform(0, 0.05))
        doing.cancel()
        await asyncio.wait({doing})
        if not doing.cancelled() and (ended := doing.exception()) is not None:
            assert isinstance(ended, Refusal | Fault), ended

    async def _call(self, number: int) -> None:
        call = propose('{"name": "Ada"}', tool="write", call_id=f"c-{number}")
        await self._stage.broker.call_tool(self._live, call)

    async def _put(self, number: int) -> None:
        announced = Announced(
            path=f"{number % 9}.txt", size=len(CONTENT), sha256=sha256(CONTENT).hexdigest()
        )
        await self.putting.put(self._live, "agent:tests", announced, _pieces())

    async def _get(self, number: int) -> None:
        leaving = self.getting.leaving(self._live, "agent:tests", f"{number % 9}.txt")
        async with leaving as found:
            assert found.file.content == CONTENT

    async def _list(self, _: int) -> None:
        await self.getting.listed(self._live)


async def _pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), 100):
        await asyncio.sleep(0)
        yield CONTENT[start : start + 100]


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_stays_taken_whoever_hangs_up_and_whenever(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same dice each time
    async with on_stage(tmp_path, Scripted(), FILED, limits=FEW) as stage:
        opened = await stage.broker.open_task(
            "agent:tests", "filing", prompt=[], variables={"friend": "Ada"}, lifetime=None
        )
        crowd = Crowd(stage, opened.live, dice)
        await asyncio.gather(*(crowd.one(number) for number in range(60)))
        await crowd.putting.drain()
        await stage.runs.closed()
        admission = stage.broker._admission  # noqa: SLF001 - what no caller can see
        async with asyncio.timeout(5):
            while admission.held:  # noqa: ASYNC110 - the engine's last word has no event
                await asyncio.sleep(0.01)
        assert (admission.held, admission.queued) == (0, 0)
        assert not crowd.transfers._under_way  # noqa: SLF001
        workspace = await stage.housing.of(opened.live)
        assert workspace is not None
        async with asyncio.timeout(5), workspace.turn() as root:
            assert [each.name for each in root.glob(".put-*")] == []
        assert opened.live.running == {}
        await stage.broker.close_task(opened.live, "agent:tests")
    assert traces(tmp_path) == []
