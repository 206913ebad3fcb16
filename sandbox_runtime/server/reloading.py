"""How do other manifests come into force while the broker runs?

Law: all or nothing. Manifests, data and images are looked at as on a start; what does not hold
leaves everything as it was, and that it was tried is recorded. What holds is recorded before
the first task is opened under it. Open tasks keep their manifests and their images.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from sandbox_runtime.errors import EvidenceUnavailable, Fault
from sandbox_runtime.ledger import digest_of_texts, text_digest
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.manifests.tree import collect
from sandbox_runtime.records import ManifestsRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.broker import Broker
    from sandbox_runtime.ledger import Ledger
    from sandbox_runtime.server.machine import Machine

_log = structlog.get_logger("sandbox_broker.server")
_TOLD = 100
"""Problems of one attempt that diagnostics tell; all are counted."""


class Reloading:
    """Reads manifests and images again when asked to."""

    def __init__(
        self, directory: Path, *, ledger: Ledger, machine: Machine, broker: Broker
    ) -> None:
        self._directory = directory
        self._ledger, self._machine, self._broker = ledger, machine, broker

    async def keep_doing(self, asked: asyncio.Event) -> None:
        """Do it whenever asked, until cancelled; asked meanwhile, do it once more."""
        while True:
            await asked.wait()
            asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Bring what lies in the directory into force, if it holds. Raises nothing of ours."""
        try:
            await self._load()
        except ManifestErrors as errors:
            await self._refused("manifests", [str(problem) for problem in errors.problems])
        except EvidenceUnavailable as fault:
            _log.error("reload_not_recorded", cause=str(fault))
        except Fault as fault:
            await self._refused("machine", [str(fault)])

    async def _load(self) -> None:
        tree = await asyncio.to_thread(load_tree, self._directory)
        images = await self._machine.images(tree)
        if self._ledger.is_in_force(tree, images):
            _log.info("manifests_unchanged", digest=text_digest(tree))
            return
        self._machine.bring(tree, images)
        await self._ledger.load(tree, images)
        self._broker.use(tree)
        _log.info("manifests_loaded", digest=text_digest(tree), tasks=len(tree.tasks))

    async def _refused(
        self, what: Literal["manifests", "machine"], problems: Sequence[str]
    ) -> None:
        _log.error("manifests_refused", problems=problems[:_TOLD], count=len(problems))
        found = await asyncio.to_thread(collect, self._directory)
        record = ManifestsRefused(
            at=self._ledger.now(),
            digest=digest_of_texts(found.texts),
            broken=what,
            problems=len(problems),
        )
        try:
            await self._ledger.note(record)
        except EvidenceUnavailable as fault:
            _log.error("reload_not_recorded", cause=str(fault))
