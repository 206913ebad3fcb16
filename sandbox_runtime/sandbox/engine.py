"""What do we ask of the Docker Engine, and what if it does not answer?

Law: every request has a time limit, and every failure, whatever its kind, is a
`SandboxUnavailable` made `from` its cause. Correctness never depends on a stream's end.
The API is spoken directly: the requests on the way of a call are few, and their timing
is ours. Reference: Engine API 1.41; HTTP by h11.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import h11
import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_pascal

from sandbox_runtime.errors import SandboxUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox_runtime.strict import Json

T = TypeVar("T")
SPOKEN = (1, 41)
"""The version of the API that this module is written for: Engine 20.10."""
CHUNK = 1 << 16
ANSWER_MAX = 16 << 20
FAILED = 400
NOT_FOUND = 404


class NoSuchContainer(SandboxUnavailable):
    """The engine knows no container of that id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A container's streams. `early` is what came together with the engine's answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    early: bytearray


class Said(BaseModel):
    """What the engine answers: of its JSON, the part that we read."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_pascal)


class Version(Said):
    """Which versions of the API it speaks."""

    least: str = Field(alias="MinAPIVersion")
    most: str = Field(alias="ApiVersion")


class Created(Said):
    """The container it made."""

    id: str


class State(Said):
    """How a container is."""

    running: bool
    pid: int
    exit_code: int
    oom_killed: bool = Field(alias="OOMKilled")


class Inspected(Said):
    """A container, looked at."""

    state: State


class Found(Said):
    """A container in a list."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name we gave it."""
        return self.names[0].lstrip("/")


class Connection:
    """One connection to the engine, for one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Write a whole request."""
        fields = [("Host", "engine"), ("Content-Length", str(len(body))), *headers.items()]
        for event in (
            h11.Request(method=method, target=target, headers=fields),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.writer.write(self.http.send(event) or b"")

    async def event(self) -> h11.Event | type[h11.PAUSED]:
        """Return the next thing the engine says."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(CHUNK))
        return event  # type: ignore[return-value] # h11 leaves the sentinels untyped

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """Return the head of the answer: an ordinary one, or the 101 of an upgrade."""
        event = await self.event()
        if isinstance(event, h11.Response | h11.InformationalResponse):
            return event
        raise h11.RemoteProtocolError("the connection ended before an answer")

    async def body(self) -> bytes:
        """Return the rest of the answer."""
        found = bytearray()
        while isinstance(event := await self.event(), h11.Data):
            found += event.data
            if len(found) > ANSWER_MAX:
                raise h11.RemoteProtocolError("the answer is too long")
        return bytes(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The Docker Engine behind a Unix socket. Made by `connect`."""

    socket: Path
    version: str
    timeout: float
    """Seconds that one request may take."""

    async def create(self, name: str, options: Mapping[str, Json]) -> str:
        """Make a container; return its id."""
        target = f"/containers/create?{urlencode({'name': name})}"
        return parsed(Created, await self.ask("POST", target, options)).id

    async def start(self, container: str) -> None:
        """Start it."""
        await self.ask("POST", f"/containers/{container}/start")

    async def inspect(self, container: str) -> State:
        """Ask how it is."""
        said = await self.ask("GET", f"/containers/{container}/json")
        return parsed(Inspected, said).state

    async def wait(self, container: str) -> None:
        """Return when it runs no more."""
        await self.ask("POST", f"/containers/{container}/wait?condition=not-running")

    async def remove(self, container: str) -> None:
        """Kill it if it runs, and remove it with its volumes. Gone already is well."""
        try:
            await self.ask("DELETE", f"/containers/{container}?force=1&v=1")
        except NoSuchContainer:
            return

    async def labelled(self, label: str) -> list[Found]:
        """Return all containers, running or not, that have `label`."""
        filters = orjson.dumps({"label": [label]}).decode()
        query = urlencode({"all": "1", "filters": filters})
        return list(parsed(tuple[Found, ...], await self.ask("GET", f"/containers/json?{query}")))

    async def attach(self, container: str) -> Attached:
        """Take hold of its streams. To be done before the start, or bytes are missed."""
        target = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        connection = await dial(self.socket, self.timeout)
        try:
            async with asyncio.timeout(self.timeout):
                connection.send("POST", f"/v{self.version}{target}", upgrade, b"")
                await self.upgraded(connection)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            connection.writer.close()
            raise SandboxUnavailable("the engine failed at attaching") from error
        except BaseException:
            connection.writer.close()
            raise
        early, _ = connection.http.trailing_data
        return Attached(reader=connection.reader, writer=connection.writer, early=bytearray(early))

    async def upgraded(self, connection: Connection) -> None:
        """Return once the connection is the container's; raise if it is refused."""
        head = await connection.head()
        if not isinstance(head, h11.InformationalResponse):
            raise_for(head.status_code, await connection.body())

    async def ask(self, method: str, target: str, body: Mapping[str, Json] | None = None) -> bytes:
        """Send one request; return its answer."""
        return await ask(self.socket, self.timeout, method, f"/v{self.version}{target}", body)


async def connect(socket: Path, *, timeout: float = 30.0) -> Engine:  # noqa: ASYNC109 - of each request
    """Return the engine behind `socket`, speaking a version that both understand."""
    said = parsed(Version, await ask(socket, timeout, "GET", "/version", None))
    least, most = numbers(said.least), numbers(said.most)
    if most < SPOKEN:
        raise SandboxUnavailable("the engine is older than 20.10 (API 1.41)")
    major, minor = max(least, SPOKEN)
    return Engine(socket=socket, version=f"{major}.{minor}", timeout=timeout)


def numbers(version: str) -> tuple[int, int]:
    """Return a version of the API as numbers."""
    major, _, minor = version.partition(".")
    try:
        return int(major), int(minor)
    except ValueError as error:
        raise SandboxUnavailable(f"the engine has a strange version: `{version}`") from error


def parsed(shape: type[T], text: bytes) -> T:
    """Return the engine's answer in its shape."""
    try:
        return TypeAdapter(shape).validate_json(text)
    except ValidationError as error:
        raise SandboxUnavailable("the engine's answer is not of the API's shape") from error


async def dial(socket: Path, limit: float) -> Connection:
    """Return a new connection to the engine."""
    try:
        async with asyncio.timeout(limit):
            return Connection(*await asyncio.open_unix_connection(socket))
    except (OSError, TimeoutError) as error:
        raise SandboxUnavailable("the engine's socket does not answer") from error


async def ask(
    socket: Path, limit: float, method: str, target: str, body: Mapping[str, Json] | None
) -> bytes:
    """Send one request on a connection of its own."""
    connection = await dial(socket, limit)
    try:
        async with asyncio.timeout(limit):
            sent = b"" if body is None else orjson.dumps(body)
            connection.send(method, target, {"Content-Type": "application/json"}, sent)
            head = await connection.head()
            text = await connection.body()
            raise_for(head.status_code, text)
            return text
    except (OSError, TimeoutError, h11.ProtocolError) as error:
        raise SandboxUnavailable(f"the engine failed at `{method} {target}`") from error
    finally:
        connection.writer.close()


def raise_for(status: int, text: bytes) -> None:
    """Raise what an answer's status stands for, with the engine's own words."""
    if status < FAILED:
        return
    problem = f"the engine said {status}: {text[:500].decode(errors='replace').strip()}"
    raise NoSuchContainer(problem) if status == NOT_FOUND else SandboxUnavailable(problem)
