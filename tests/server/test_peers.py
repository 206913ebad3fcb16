from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.records import AuthRefused, TaskOpened
from sandbox_runtime.server.listening import ListenRefused, bind
from sandbox_runtime.server.peers import Porch, peer_uid
from sandbox_runtime.server.settings import Listen, Peer
from tests.support.eventually import eventually
from tests.support.serving import SUBJECT, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from enum import StrEnum

NOBODY = 65534
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Yield a directory that other users can enter."""
    with tempfile.TemporaryDirectory(prefix="sb-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def as_nobody(address: str) -> dict[str, str | None]:
    """Open a task as the user `nobody`; return what came of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.as_user", str(NOBODY), address, stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    found: dict[str, str | None] = json.loads(said)
    return found


async def test_a_user_that_no_setting_names_is_hung_up_on_and_counted(
    tmp_path: Path, open_place: Path
) -> None:
    listen = Listen(socket=str(open_place / "run/b.sock"), group="nogroup")
    async with served(tmp_path, listen=listen) as here:
        came_of_it = await as_nobody(here.unix)
        await here.stop()
        refused = [record for record in here.records() if isinstance(record, AuthRefused)]
    assert came_of_it["error"] == "BrokerUnavailable"
    assert refused[0].reasons.keys() == {"unknown_uid"}
    assert "task.opened" not in here.kinds()


async def test_a_user_is_who_the_settings_say(tmp_path: Path, open_place: Path) -> None:
    listen = Listen(socket=str(open_place / "run/b.sock"), group="nogroup")
    peers = (Peer(uid=0, subject="uid:0"), Peer(uid=NOBODY, subject=SUBJECT))
    async with served(tmp_path, listen=listen, peers=peers) as here:
        assert "task" in await as_nobody(here.unix)
        (opened,) = [record for record in here.records() if isinstance(record, TaskOpened)]
        assert opened.subject == SUBJECT
        async with here.client() as broker:
            with pytest.raises(Exception, match="`uid:0` may not open"):
                await broker.open_task("greeting", variables={"friend": "Ada"})


async def test_a_user_outside_the_group_cannot_even_connect(
    tmp_path: Path, open_place: Path
) -> None:
    peers = (Peer(uid=NOBODY, subject=SUBJECT),)
    listen = Listen(socket=str(open_place / "run/b.sock"))
    async with served(tmp_path, listen=listen, peers=peers) as here:
        assert (await as_nobody(here.unix))["error"] == "BrokerUnavailable"
        assert here.ready.socket.stat().st_mode & 0o777 == 0o660
        assert here.ready.socket.parent.stat().st_mode & 0o777 == 0o750


async def test_the_private_sockets_lie_where_nobody_else_can_enter(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        doors = Path(here.settings.state_dir) / "doors"
        assert [each.name for each in doors.iterdir()] == ["0.sock"]
        assert doors.stat().st_mode & 0o777 == 0o700
        assert doors.stat().st_uid == os.geteuid()


async def test_connections_of_one_user_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_runtime.server.peers.MAX_CONNECTIONS", 2)
    async with served(tmp_path) as here:
        path = str(here.ready.socket)
        held = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for reader, writer in held:
            writer.write(PREFACE)
            assert await reader.read(1)
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        held[0][1].close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(PREFACE)
        assert await reader.read(1)
        writer.close()
        held[1][1].close()


class Counted:
    """Stands for `Attempts`."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def count(self, reason: StrEnum) -> None:
        """Remember it."""
        self.seen.append(reason.value)


class Echo:
    """A private listener that a test talks to through a porch."""

    def __init__(self) -> None:
        self.readers: list[asyncio.StreamReader] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.readers.append(reader)
        self.writers.append(writer)


@pytest.fixture
async def spliced(
    tmp_path: Path,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Echo]]:
    echo = Echo()
    inner = await asyncio.start_unix_server(echo.met, str(tmp_path / "in.sock"))
    porch = Porch({os.geteuid(): tmp_path / "in.sock"}, Counted())  # type: ignore[arg-type]
    await porch.open(bind(tmp_path / "out.sock", None))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "out.sock"))
    await eventually(lambda: echo.readers)
    yield reader, writer, echo
    writer.close()
    for each in echo.writers:
        each.close()
    await porch.close()
    inner.close()


Splice = tuple[asyncio.StreamReader, asyncio.StreamWriter, Echo]


async def test_bytes_pass_both_ways_unchanged(spliced: Splice) -> None:
    reader, writer, echo = spliced
    sent = os.urandom(3 << 20)
    writer.write(sent)
    assert await echo.readers[0].readexactly(len(sent)) == sent
    echo.writers[0].write(sent[::-1])
    assert await reader.readexactly(len(sent)) == sent[::-1]


async def test_a_side_that_has_said_all_still_hears(spliced: Splice) -> None:
    reader, writer, echo = spliced
    writer.write(b"all")
    writer.write_eof()
    assert await echo.readers[0].read() == b"all"
    echo.writers[0].write(b"and so?")
    echo.writers[0].write_eof()
    assert await reader.read() == b"and so?"


async def test_a_caller_that_hangs_up_is_hung_up_on_inside(spliced: Splice) -> None:
    _, writer, echo = spliced
    writer.transport.abort()
    assert await echo.readers[0].read() == b""


async def test_what_was_said_before_hanging_up_arrives(spliced: Splice) -> None:
    reader, _, echo = spliced
    echo.writers[0].write(b"x" * 1_000_000)
    echo.writers[0].close()
    assert await reader.read() == b"x" * 1_000_000


async def test_a_side_that_does_not_listen_makes_the_other_wait(spliced: Splice) -> None:
    _, writer, _ = spliced
    taken: list[int] = []

    async def talk() -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            taken.append(65536)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(talk(), 2)
    assert 0 < sum(taken) < 4 << 20


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_uid(one) == os.getuid()


def test_a_socket_of_a_living_broker_is_not_taken(tmp_path: Path) -> None:
    with bind(tmp_path / "b.sock", None) as first:
        first.listen()
        with pytest.raises(ListenRefused, match="another broker"):
            bind(tmp_path / "b.sock", None)


def test_a_dead_broker_s_socket_is_replaced(tmp_path: Path) -> None:
    bind(tmp_path / "b.sock", None).close()
    with bind(tmp_path / "b.sock", None) as listener:
        assert listener.getsockname() == str(tmp_path / "b.sock")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b.sock").write_text("mine")
    with pytest.raises(ListenRefused, match="no socket"):
        bind(tmp_path / "b.sock", None)
    assert (tmp_path / "b.sock").read_text() == "mine"


def test_a_socket_is_not_put_where_others_could_replace_it(tmp_path: Path) -> None:
    for name, mode, owner in [("open", 0o777, 0), ("group", 0o770, 0), ("theirs", 0o755, NOBODY)]:
        place = tmp_path / name
        place.mkdir()
        place.chmod(mode)
        os.chown(place, owner, owner)
        with pytest.raises(ListenRefused, match="others could replace"):
            bind(place / "b.sock", None)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ListenRefused, match="others could replace"):
        bind(tmp_path / "link/b.sock", None)
