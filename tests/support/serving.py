"""A broker that listens: real sockets, real log, containers that do what a test says."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_runtime.client import AsyncBroker
from sandbox_runtime.evidence import layout
from sandbox_runtime.records import parse
from sandbox_runtime.server.machine import Machine
from sandbox_runtime.server.rates import Rate
from sandbox_runtime.server.serving import Ready, serve
from sandbox_runtime.server.settings import Dev, Listen, Peer, Rates, Settings
from tests.support.manifests import SOURCES
from tests.support.pipeline import InProcess, Scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sandbox_runtime.deciding import Validators
    from sandbox_runtime.errors import Fault
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.records import Record

SUBJECT = "agent:tests"


def write_tree(directory: Path, sources: Mapping[str, str] = SOURCES) -> Path:
    """Write manifests as files; return their directory."""
    for name, text in sources.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def settings(directory: Path, **changes: object) -> Settings:
    """Return the settings of a broker that keeps everything below `directory`."""
    fast = Rate(per_second=10_000, burst=10_000)
    given: dict[str, object] = {
        "state_dir": str(directory / "state"),
        "manifests": str(write_tree(directory / "manifests")),
        "listen": Listen(socket=str(directory / "run/b.sock"), dev=Dev(port=0, subject=SUBJECT)),
        "peers": (Peer(uid=os.geteuid(), subject=SUBJECT),),
        "rates": Rates(subject=fast, task=fast),
        **changes,
    }
    return Settings.model_validate(given)


@dataclass(slots=True, kw_only=True)
class Served:
    """A broker that listens in this process."""

    settings: Settings
    ready: Ready
    sandbox: Scripted
    task: asyncio.Task[None]

    @property
    def unix(self) -> str:
        """Address of its Unix socket."""
        return f"unix:{self.ready.socket}"

    @property
    def loopback(self) -> str:
        """Address of its port."""
        return f"127.0.0.1:{self.ready.port}"

    @property
    def token(self) -> str:
        """The bearer token for its port."""
        assert self.ready.token_file is not None
        return self.ready.token_file.read_text().strip()

    def client(self) -> AsyncBroker:
        """Return a client on its Unix socket."""
        return AsyncBroker.connect(self.unix)

    def records(self) -> list[Record]:
        """Return what its log holds."""
        reader = layout.reader(Path(self.settings.state_dir))
        return [parse(leaf) for _, leaf in reader.read()]

    def kinds(self) -> list[str]:
        """Return the kinds of all records, in order."""
        return [record.kind for record in self.records()]

    async def stop(self) -> None:
        """Ask it to stop as an operator does, and wait until it has."""
        if not self.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
            await self.task


@dataclass(slots=True)
class Stage:
    """The machine of a test: scripted containers, and validators in this process."""

    sandbox: Scripted = field(default_factory=Scripted)
    validators: Validators = field(default_factory=InProcess)
    image: str = "sha256:" + "0" * 64
    """Of every tool."""
    unready: Fault | None = None
    """Why the images cannot be had, if they cannot."""
    brought: list[Mapping[str, str]] = field(default_factory=list)
    """Images that came into force, one after the other."""

    @asynccontextmanager
    async def __call__(
        self,
        settings: Settings,  # noqa: ARG002 - the real machine's signature
        tree: Catalogue,  # noqa: ARG002
        broker_id: str,  # noqa: ARG002
    ) -> AsyncIterator[Machine]:
        yield Machine(
            sandbox=self.sandbox,
            validators=self.validators,
            images=self._images,
            bring=lambda _, found: self.brought.append(found),
        )

    async def _images(self, tree: Catalogue) -> dict[str, str]:
        if self.unready is not None:
            raise self.unready
        return dict.fromkeys(tree.tools, self.image)


@asynccontextmanager
async def served(
    directory: Path, stage: Stage | None = None, **changes: object
) -> AsyncIterator[Served]:
    """Serve below `directory`, until stopped or the block ends."""
    stage, chosen = stage or Stage(), settings(directory, **changes)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Ready] = loop.create_future()
    task = asyncio.create_task(serve(chosen, ready=ready.set_result, start=stage))
    first: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await task
    here = Served(settings=chosen, ready=await ready, sandbox=stage.sandbox, task=task)
    try:
        yield here
    finally:
        await here.stop()
