"""How does the ledger's evidence meet the log, its bodies and its keys?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.evidence.blobs import Sealed as KeptBody
from sandbox_runtime.records import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.evidence.blobs import Bodies
    from sandbox_runtime.evidence.keys import Keys
    from sandbox_runtime.evidence.log import Log, Ticket
    from sandbox_runtime.ledger import Sealed


@dataclass(frozen=True, slots=True)
class SealedBody:
    """A body on its way to the log, with what its leaf says of it."""

    kept: KeptBody
    ref: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvidence:
    """The one log of this broker, its bodies and its keys."""

    log: Log
    bodies: Bodies
    keys: Keys

    def create_key(self, task: str) -> None:
        """Make a new task's key, durably."""
        self.keys.create(task)

    def seal(self, task: str, body: bytes) -> SealedBody:
        """Encrypt `body` under the task's key."""
        kept = self.bodies.seal(task, body)
        ref = Body(commitment=kept.ref.commitment, size=kept.ref.size, at=kept.ref.at)
        return SealedBody(kept, ref)

    def open(self, task: str, ref: Body) -> bytes:
        """Return the body behind `ref`, compared with its commitment."""
        return self.bodies.open(task, ref)

    def mac(self, task: str, data: bytes) -> str:
        """Return the keyed digest of `data` under the task's key."""
        return self.bodies.mac(task, data)

    def enqueue(self, leaves: Sequence[bytes], bodies: Sequence[Sealed], *, urgent: bool) -> Ticket:
        """Take the next places in the log; bodies become durable before leaves."""
        return self.log.enqueue(leaves, [_kept(body) for body in bodies], urgent=urgent)


def _kept(body: Sealed) -> KeptBody:
    if not isinstance(body, SealedBody):
        raise TypeError("only what `seal` returned can be kept")
    return body.kept
