"""How does a file leave a workspace?

Law: as one stable copy, taken while nobody else has the turn, checked by its destination and
recorded before its first byte is sent. What was checked is what leaves.

    granted → the workspace's turn → copied → checked → recorded → sent
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from sandbox_runtime import policy
from sandbox_runtime.errors import Fault, Reason, Refusal, SandboxUnavailable
from sandbox_runtime.filing.needs import Carried, Stayed
from sandbox_runtime.records import FileGot, FileHeldBack
from sandbox_runtime.workspaces import beneath, listing, paths
from sandbox_runtime.workspaces.threads import to_its_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox_runtime.filing.needs import Housing, KeptFiles, Validators
    from sandbox_runtime.filing.transfers import Transfers
    from sandbox_runtime.ledger import Ledger, Live, Sealed
    from sandbox_runtime.policy import HeldBack
    from sandbox_runtime.records import FileKept, Record
    from sandbox_runtime.strict import Json
    from sandbox_runtime.workspaces.listing import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """A file as it may leave."""

    content: bytes
    media_type: str
    changes: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Its digest, in hexadecimal."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A file on its way out: recorded, and nothing can change it any more."""

    path: str
    file: Cleaned
    record: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """A file that outlives its task."""

    path: str
    kept: FileKept


class Getting:
    """Lets files out, and tells which there are."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        housing: Housing,
        validators: Validators,
        transfers: Transfers,
        kept: KeptFiles,
        most: int,
    ) -> None:
        """`most` bytes may a file have that leaves."""
        self._ledger, self._housing, self._validators = ledger, housing, validators
        self._transfers, self._kept, self._most = transfers, kept, most

    async def listed(self, live: Live) -> Listing:
        """Return what stands in the living task's workspace; raise `Refusal`."""
        policy.carries(live.task, self._ledger.now())
        with self._transfers.one(live.task.state):
            async with self._turn(live) as root:
                return await to_its_end(_listed, root)

    def lasting(self, live: Live, subject: str) -> list[Lasting]:
        """Return what outlives the ended task, by path; raise `Refusal`."""
        policy.inherits(live.task, subject)
        return sorted(self.outliving(live), key=lambda each: each.path)

    def ended(self, live: Live) -> bool:
        """Whether only what outlives the task can still be had of it."""
        return policy.has_ended(live.task, self._ledger.now())

    @asynccontextmanager
    async def leaving(self, live: Live, subject: str, path: str) -> AsyncIterator[Leaving]:
        """Let the file at `path` out, on its way while the block lasts; raise `Refusal`."""
        steps = paths.steps(path)
        with self._transfers.one(live.task.state):
            if self.ended(live):
                yield await self._inherited(live, subject, path)
                return
            policy.carries(live.task, self._ledger.now())
            async with self._turn(live) as root:
                found = await to_its_end(_read, root, steps, self._most)
            yield await self._let_out(live, subject, path, found)

    async def cleaned(self, live: Live, path: str, found: bytes) -> Cleaned | HeldBack:
        """Return a file of the workspace as it may leave, or why it stays."""
        sent: Json = {"path": path, "content": base64.b64encode(found).decode("ascii")}
        verdicts = await self._validators.check_value(sent, [policy.way_out(live.task)])
        verdict = policy.left(verdicts)
        if isinstance(verdict, policy.HeldBack):
            return verdict
        value, facts = verdict.value, verdict.facts
        if not isinstance(value, dict):
            raise Fault("a destination let something out that is no file")
        return Cleaned(
            content=base64.b64decode(str(value["content"]), validate=True),
            media_type=str(facts["media_type"]),
            changes=verdict.changes,
        )

    async def _let_out(self, live: Live, subject: str, path: str, found: bytes) -> Leaving:
        cleaned = await self.cleaned(live, path, found)
        if isinstance(cleaned, policy.HeldBack):
            await self.hold_back(live, subject, path, found, cleaned)
            raise cleaned.refusal()
        return await self._recorded(live, subject, path, cleaned, found=sha256(found).hexdigest())

    async def hold_back(
        self, live: Live, subject: str | None, path: str, found: bytes, why: HeldBack
    ) -> None:
        """Record that a file stays."""
        stayed = Stayed(path=path, sha256=sha256(found).hexdigest(), problem=why.problem)
        body = self._ledger.seal(live.task.state.id, stayed)
        record = FileHeldBack(
            at=self._ledger.now(),
            task=live.task.state.id,
            subject=subject,
            code=why.code,
            size=len(found),
            body=body.ref,
        )
        await self._append(live, record, body)

    async def _recorded(
        self,
        live: Live,
        subject: str,
        path: str,
        file: Cleaned,
        *,
        found: str = "",
        kept: str | None = None,
    ) -> Leaving:
        carried = Carried(path=path, sha256=file.sha256, found=found, changes=file.changes)
        body = self._ledger.seal(live.task.state.id, carried)
        record = FileGot(
            at=self._ledger.now(),
            task=live.task.state.id,
            subject=subject,
            size=len(file.content),
            media_type=file.media_type,
            kept=kept,
            body=body.ref,
        )
        return Leaving(path=path, file=file, record=await self._append(live, record, body))

    async def _append(self, live: Live, record: Record, body: Sealed) -> int:
        ticket = self._ledger.append(live, [record], [body])
        await ticket.wait()
        return ticket.sequence

    async def _inherited(self, live: Live, subject: str, path: str) -> Leaving:
        found = next((each for each in self.lasting(live, subject) if each.path == path), None)
        if found is None:
            raise Refusal(
                "the task has ended, and no such file of it was kept",
                reason=Reason.FILE_NOT_FOUND,
                pointer="/path",
                hint="list its files to see what was; `keep` in its manifest names them",
            )
        name = found.kept.file
        content = await asyncio.to_thread(self._kept.open, live.task.state.id, name)
        file = Cleaned(content=content, media_type=found.kept.media_type, changes=())
        return await self._recorded(live, subject, path, file, kept=name)

    def outliving(self, live: Live) -> list[Lasting]:
        """Return what of the task was kept, and may still be had."""
        state, now = live.task.state, self._ledger.now()
        return [
            Lasting(path=self._ledger.unseal(state.id, kept.body, Carried).path, kept=kept)
            for kept in state.kept.values()
            if now < kept.until
        ]

    @asynccontextmanager
    async def _turn(self, live: Live) -> AsyncIterator[Path]:
        workspace = await self._housing.of(live)
        if workspace is None:
            raise SandboxUnavailable("the task's workspace is not there")
        async with workspace.turn() as root:
            policy.carries(live.task, self._ledger.now())  # it may have been closed meanwhile
            yield root


def _listed(root: Path) -> Listing:
    with beneath.opened_root(root) as held:
        return listing.listed(held)


def _read(root: Path, steps: paths.Steps, most: int) -> bytes:
    with beneath.opened_root(root) as held:
        return beneath.read(held, steps, most=most)
