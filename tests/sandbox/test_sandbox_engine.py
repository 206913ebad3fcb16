"""An engine that is absent, old, slow, wrong, or lost in the middle of a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox import engine
from sandbox_runtime.sandbox.engine import Engine, NoSuchContainer
from tests.support.rooms import Room

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REAL = Path("/var/run/docker.sock")


@asynccontextmanager
async def listening(folder: Path, serve: Serve) -> AsyncIterator[Path]:
    """An engine of the test's making."""
    socket = folder / "engine.sock"

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_unix_server(served, socket):
        yield socket


def saying(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


def json(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def hanging(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


class Proxy:
    """The real engine, but some requests hang, and streams can be cut."""

    def __init__(self, hang: bytes = b"\0") -> None:
        self.hang = hang
        self.cut = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if self.hang in head.split(b"\r\n")[0]:
            await asyncio.wait([asyncio.create_task(reader.read())], timeout=10)
            return
        back, forth = await asyncio.open_unix_connection(REAL)
        forth.write(head)
        pumps = [asyncio.create_task(pump(reader, forth)), asyncio.create_task(pump(back, writer))]
        if b"/attach" in head:
            pumps.append(asyncio.create_task(until(self.cut)))
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        forth.close()
        await forth.wait_closed()


async def until(event: asyncio.Event) -> None:
    await event.wait()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def test_no_engine_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="does not answer"):
        await engine.connect(tmp_path / "nothing.sock")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="a closed connection"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", id="half an answer"),
        pytest.param(json(b"<html>"), id="no JSON"),
        pytest.param(json(b"oops", b"500 Internal Server Error"), id="an error"),
        pytest.param(json(b'{"ApiVersion": "1.40", "MinAPIVersion": "1.12"}'), id="too old"),
        pytest.param(json(b"{}"), id="no version"),
    ],
)
async def test_whatever_an_engine_says_wrong_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    async with listening(tmp_path, saying(answer)) as socket:
        with pytest.raises(SandboxUnavailable):
            await engine.connect(socket, timeout=2)


async def test_a_hanging_engine_is_unavailable_in_bounded_time(tmp_path: Path) -> None:
    async with listening(tmp_path, hanging) as socket:
        before = time.monotonic()
        with pytest.raises(SandboxUnavailable):
            await engine.connect(socket, timeout=0.2)
        assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("least", "most", "spoken"),
    [("1.12", "1.41", "1.41"), ("1.24", "1.50", "1.41"), ("1.44", "1.51", "1.44")],
)
async def test_the_version_is_one_that_both_understand(
    tmp_path: Path, least: str, most: str, spoken: str
) -> None:
    said = b'{"ApiVersion": "%s", "MinAPIVersion": "%s"}' % (most.encode(), least.encode())
    async with listening(tmp_path, saying(json(said))) as socket:
        assert (await engine.connect(socket)).version == spoken


async def test_an_unknown_container_is_told_apart(room: Room) -> None:
    with pytest.raises(NoSuchContainer):
        await room.launcher.engine.inspect("0" * 64)


async def test_an_image_that_is_not_there_is_unavailable_and_never_pulled(room: Room) -> None:
    room.image = "sha256:" + "0" * 64
    with pytest.raises(SandboxUnavailable, match="404"):
        await room.run("answer(1)")


@pytest.mark.parametrize("step", [b"/create", b"/attach", b"/start", b"/json HTTP"])
async def test_an_engine_that_hangs_on_the_way_up_leaves_nothing(
    room: Room, tmp_path: Path, step: bytes
) -> None:
    real, proxy = room.launcher.engine, Proxy(hang=step)
    async with listening(tmp_path, proxy.serve) as socket:
        room.launcher.engine = Engine(socket=socket, version=real.version, timeout=1.0)
        before = time.monotonic()
        with pytest.raises(SandboxUnavailable):
            await room.run("answer(1)")
        assert time.monotonic() - before < 6
    room.launcher.engine = real


async def test_an_engine_lost_during_the_call_is_said_and_the_container_dies(
    room: Room, tmp_path: Path
) -> None:
    real, proxy = room.launcher.engine, Proxy()
    async with listening(tmp_path, proxy.serve) as socket:
        room.launcher.engine = Engine(socket=socket, version=real.version, timeout=5.0)
        call = asyncio.create_task(room.run("time.sleep(60)"))
        await room.up.wait()
        proxy.cut.set()
        done = await call
        assert done.ending is Outcome.SANDBOX_UNAVAILABLE
        # Killed by us, or by the runner itself once its standard input had ended.
        assert (await done.closed).exit_code in (0, 137)
    room.launcher.engine = real


async def test_an_engine_that_will_not_remove_leaves_it_to_the_sweep(
    room: Room, tmp_path: Path
) -> None:
    real, proxy = room.launcher.engine, Proxy(hang=b"DELETE")
    async with listening(tmp_path, proxy.serve) as socket:
        room.launcher.engine = Engine(socket=socket, version=real.version, timeout=1.0)
        done = await room.run("answer(1)")
        assert done.ending is Outcome.OK
        await done.closed
        assert len((await room.launcher.sweep()).stuck) == 1
    room.launcher.engine = real
    assert len((await room.launcher.sweep()).removed) == 1
