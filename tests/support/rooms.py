"""Python programs as tools, in real containers of the real engine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox_runtime.manifests.model import Limits
from sandbox_runtime.sandbox.calls import RUNNER
from sandbox_runtime.sandbox.cgroups import Counted
from sandbox_runtime.sandbox.container import Given
from sandbox_runtime.sandbox.launcher import CallBytes, Finished, Launcher
from sandbox_runtime.sandbox.plan import ContainerPlan, Identity, plan
from sandbox_runtime.sandbox.streams import Event
from sandbox_runtime.strict import Json

SOCKET = Path("/var/run/docker.sock")
BASE = "sandbox-broker/base:local"
PRELUDE = """
import json, os, sys, time
def answer(value):
    os.write(3, json.dumps({"result": value}).encode() + b"\\n")
def attempt(what):
    try:
        return repr(what())
    except BaseException as error:
        return f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()
"""
LIMITS = Limits().model_copy(
    update={
        "memory": 64 << 20,
        "cpu": 1.0,
        "wall_time": timedelta(seconds=8),
        "pids": 32,
        "tmp": 1 << 20,
        "tmp_inodes": 64,
        "open_files": 64,
        "file_size": 1 << 20,
        "output": 64 << 10,
    }
)


@dataclass
class Room:
    """Runs Python programs as tools."""

    launcher: Launcher
    image: str
    events: list[Event] = field(default_factory=list)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a tool has been started and given its call."""

    def plan(self, code: str, **limits: object) -> ContainerPlan:
        return plan(
            image_id=self.image,
            program=("/usr/bin/python3", "-c", PRELUDE + code),
            limits=LIMITS.model_copy(update=limits),
            runner=str(RUNNER),
            data={},
            identity=Identity(
                broker=self.launcher.broker, task="t", call="c", deadline=int(time.time()) + 60
            ),
        )

    async def run(
        self, code: str, *, arguments: Json = None, within: float = 30, **limits: object
    ) -> Finished:
        return await self.carry_out(self.plan(code, **limits), arguments=arguments, within=within)

    async def carry_out(
        self, plan: ContainerPlan, *, arguments: Json = None, within: float = 30
    ) -> Finished:
        return await self.give(plan, CallBytes(call_id="c", arguments=arguments), within=within)

    async def give(self, plan: ContainerPlan, call: Given, *, within: float = 30) -> Finished:
        return await self.launcher.run(
            plan,
            call,
            deadline=time.monotonic() + within,
            on_event=self.hear,
        )

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self.up.set()

    async def result(self, code: str, **limits: Any) -> Any:  # noqa: ANN401 - any JSON, any limit
        """What the tool answered."""
        done = await self.run(code, **limits)
        return answered(done)

    async def left(self) -> int:
        """How many containers of this room there are."""
        return len(await self.launcher.engine.labelled(f"sandbox-broker={self.launcher.broker}"))


def answered(done: Finished) -> Any:  # noqa: ANN401 - any JSON
    """The result that the tool gave."""
    assert done.answer is not None, (done.ending, bytes(done.log.head))
    return done.answer.value["result"]


def counters(done: Finished) -> Counted:
    """What the kernel counted."""
    assert done.counted is not None
    return done.counted


async def alone(image: str, code: str) -> Any:  # noqa: ANN401 - any JSON
    """Run one tool in a room of its own; return its result."""
    launcher = await Launcher.open(SOCKET, f"test-{time.monotonic_ns()}")
    try:
        return await Room(launcher, image).result(code)
    finally:
        await launcher.aclose()
