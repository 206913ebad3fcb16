"""How does a file come into a workspace?

Law: all of it or nothing, and recorded before it is there. What comes in waits beside the broker's
state until it is whole and the one that was announced; only then does it get the turn at the
workspace. So whoever sends slowly, or hangs up, keeps nobody from anything.

    granted → announced → received → the workspace's turn → copied → recorded → in its place
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Protocol

from sandbox_runtime import policy
from sandbox_runtime.errors import Reason, Refusal, SandboxUnavailable
from sandbox_runtime.filing.needs import Carried
from sandbox_runtime.records import FilePut
from sandbox_runtime.workspaces import beneath, paths, writing
from sandbox_runtime.workspaces.threads import to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.filing.needs import Housing, Workspace
    from sandbox_runtime.filing.transfers import Transfers
    from sandbox_runtime.ledger import Ledger, Live
    from sandbox_runtime.workspaces.paths import Steps


_SLOWEST = 64 << 10
"""Bytes a second that a file must come with, once it had `_BEFORE` seconds."""
_BEFORE = 60.0


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A file, as whoever sends it says beforehand."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A file that is in its place."""

    announced: Announced
    record: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """A file that is whole, and the workspace that it may go into."""

    subject: str
    announced: Announced
    steps: Steps
    spool: IO[bytes]
    workspace: Workspace


class Putting:
    """Brings files in."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        housing: Housing,
        transfers: Transfers,
        staging: Path,
        most: int,
        headroom: int,
    ) -> None:
        """`most` bytes may a file have; `headroom` bytes stay free where `staging` is."""
        self._ledger, self._housing, self._transfers = ledger, housing, transfers
        self._staging, self._most, self._headroom = staging, most, headroom
        self._placing: set[asyncio.Task[Put]] = set()

    async def put(
        self, live: Live, subject: str, announced: Announced, pieces: AsyncIterator[bytes]
    ) -> Put:
        """Bring in a file; raise `Refusal`.

        Cancelling this leaves nothing, until every piece is in and it has the workspace's turn;
        afterwards it changes nothing.
        """
        steps = paths.steps(announced.path)
        wanted = policy.carries(live.task, self._ledger.now())
        self._expect_size(announced, min(self._most, wanted.size))
        async with AsyncExitStack() as held:
            held.enter_context(self._transfers.one(live.task.state))
            spool = await to_its_end(self._spool, held, announced.size)
            async with _in_time(announced.size):
                await _receive(spool, announced, pieces)
            workspace = await self._workspace(live)
            await held.enter_async_context(workspace.turn())
            arrived = _Arrived(
                subject=subject,
                announced=announced,
                steps=steps,
                spool=spool,
                workspace=workspace,
            )
            placing = asyncio.create_task(self._placed(live, arrived, held.pop_all()))
        self._placing.add(placing)
        placing.add_done_callback(self._placing.discard)
        return await asyncio.shield(placing)

    async def drain(self) -> None:
        """Return once what is whole is in its place."""
        if self._placing:
            await asyncio.wait(self._placing)

    def _expect_size(self, announced: Announced, most: int) -> None:
        if announced.size > most:
            raise Refusal(
                f"the file has {announced.size} bytes, more than {most}",
                reason=Reason.FILE_TOO_LARGE,
                hint="send it in parts",
            )

    def _spool(self, held: AsyncExitStack, size: int) -> IO[bytes]:
        """Return a file without a name, its room on the disk taken; `held` closes it.

        It is gone with the broker, whatever becomes of that.
        """
        try:
            disk = os.statvfs(self._staging)
            if disk.f_bavail * disk.f_frsize < size + self._headroom:
                raise SandboxUnavailable("the disk has no room for a file on its way")
            return _taken(held, self._staging, size)
        except OSError as error:
            raise SandboxUnavailable(f"no file can be taken in: {error.strerror}") from error

    async def _workspace(self, live: Live) -> Workspace:
        found = await self._housing.of(live)
        if found is None:
            raise SandboxUnavailable("the task's workspace is not there")
        return found

    async def _placed(self, live: Live, arrived: _Arrived, held: AsyncExitStack) -> Put:
        async with held:
            with ExitStack() as files:
                staged = await asyncio.to_thread(files.enter_context, _staged(arrived, files))
                record = await self._recorded(live, arrived)
                await asyncio.to_thread(staged.appear)
        return Put(announced=arrived.announced, record=record)

    async def _recorded(self, live: Live, arrived: _Arrived) -> int:
        task, announced = live.task.state.id, arrived.announced
        carried = Carried(path=announced.path, sha256=announced.sha256)
        body, now = self._ledger.seal(task, carried), self._ledger.now()
        policy.carries(live.task, now)  # it may have been closed meanwhile
        record = FilePut(
            at=now,
            task=task,
            subject=arrived.subject,
            size=announced.size,
            body=body.ref,
        )
        ticket = self._ledger.append(live, [record], [body])
        await ticket.wait()
        return ticket.sequence


def _taken(held: AsyncExitStack, folder: Path, size: int) -> IO[bytes]:
    spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `held` closes it
    held.callback(spool.close)
    if size:
        os.posix_fallocate(spool.fileno(), 0, size)
    return spool


def _staged(arrived: _Arrived, files: ExitStack) -> writing.Staging:
    root = files.enter_context(beneath.opened_root(arrived.workspace.root))
    return writing.staged(root, arrived.steps, arrived.spool.fileno(), uid=arrived.workspace.uid)


@asynccontextmanager
async def _in_time(size: int) -> AsyncIterator[None]:
    """Raise `Refusal` where a file takes too long: it keeps its place and its room from others."""
    seconds = _BEFORE + size / _SLOWEST
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Refusal(
            f"the file was not there within {seconds:.0f} s",
            reason=Reason.TRANSFER_TOO_SLOW,
            hint="send it faster, or in parts",
        ) from error


async def _receive(spool: IO[bytes], announced: Announced, pieces: AsyncIterator[bytes]) -> None:
    digest, size = sha256(), 0
    async for piece in pieces:
        size += len(piece)
        if size > announced.size:
            raise _differs(f"more than the {announced.size} bytes that were announced came")
        await to_its_end(_take, spool, digest, piece)
    if size != announced.size:
        raise _differs(f"{size} bytes came, {announced.size} were announced")
    if digest.hexdigest() != announced.sha256:
        raise _differs("the bytes that came have another digest than was announced")


def _take(spool: IO[bytes], digest: _Digest, piece: bytes) -> None:
    digest.update(piece)
    try:
        writing.write_all(spool.fileno(), piece)
    except OSError as error:
        raise SandboxUnavailable(f"no file can be taken in: {error.strerror}") from error


def _differs(problem: str) -> Refusal:
    return Refusal(problem, reason=Reason.FILE_DIFFERS, hint="read the file anew and send it again")
