"""Real containers of the real engine. Where it does not answer, these tests fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import docker
import pytest

from sandbox_runtime.sandbox.launcher import Launcher
from tests.support.rooms import BASE, SOCKET, Room, alone


@pytest.fixture(scope="session")
def base_image() -> str:
    """The id of the base that set-up built."""
    client = docker.DockerClient.from_env()
    try:
        return str(client.images.get(BASE).id)
    finally:
        client.close()


@pytest.fixture
async def room(base_image: str) -> AsyncIterator[Room]:
    """A launcher of this test's own, which must leave nothing."""
    launcher = await Launcher.open(SOCKET, f"test-{time.monotonic_ns()}")
    room = Room(launcher, base_image)
    yield room
    await launcher.aclose()
    left = await room.left()
    await launcher.sweep()
    assert left == 0


@pytest.fixture(scope="session")
def in_a_room(base_image: str) -> Callable[[str], Any]:
    """A function that runs one tool in a room of its own and returns its result."""
    return lambda code: asyncio.run(alone(base_image, code))
