"""Real containers of the real engine. Where it does not answer, these tests fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import docker
import pytest

from sandbox_runtime.manifests.model import Limits
from sandbox_runtime.sandbox.calls import RUNNER
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


@pytest.fixture(scope="session")
def base_image() -> str:
    """The id of the base that set-up built."""
    client = docker.DockerClient.from_env()
    try:
        return str(client.images.get(BASE).id)
    finally:
        client.close()


@dataclass
class Room:
    """Runs Python programs as tools."""

    launcher: Launcher
    image: str
    events: list[Event] = field(default_factory=list)

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
        return await self.launcher.run(
            self.plan(code, **limits),
            CallBytes(call_id="c", arguments=arguments),
            deadline=time.monotonic() + within,
            on_event=self.events.append,
        )

    async def result(self, code: str, **limits: object) -> Json:
        """What the tool answered."""
        done = await self.run(code, **limits)
        assert done.answer is not None, (done.ending, bytes(done.log.head))
        return done.answer.value["result"]

    async def left(self) -> int:
        """How many containers of this room there are."""
        return len(await self.launcher.engine.labelled(f"sandbox-broker={self.launcher.broker}"))


@pytest.fixture
async def room(base_image: str, request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """A launcher of this test's own, which must leave nothing."""
    launcher = await Launcher.open(SOCKET, f"test-{time.monotonic_ns()}")
    room = Room(launcher, base_image)
    yield room
    await launcher.aclose()
    left = await room.left()
    await launcher.sweep()
    assert left == 0


@pytest.fixture(scope="session")
def in_a_room(base_image: str) -> Callable[[str], Json]:
    """A function that runs one tool in a room of its own and returns its result."""

    async def run(code: str) -> Json:
        launcher = await Launcher.open(SOCKET, f"test-{time.monotonic_ns()}")
        try:
            return await Room(launcher, base_image).result(code)
        finally:
            await launcher.aclose()

    return lambda code: asyncio.run(run(code))
