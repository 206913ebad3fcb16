"""How does an auditor read the log of a running broker?

Law: nothing here writes. Both methods are the auditor's alone: no opener and no agent reads them,
whatever token of a task it holds.
"""

# ruff: noqa: N802 - the proto names the methods

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.server import audit_wire, status
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.edge import Asked, Service, edge, stream_edge
from sandbox_runtime.v1 import audit_pb2 as pb
from sandbox_runtime.v1.audit_pb2_grpc import AuditServiceServicer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from sandbox_runtime.audit.pages import Page


class AuditRpc(Service, AuditServiceServicer):
    """`AuditService` behind one door."""

    @edge(Role.AUDITOR)
    async def Query(self, request: pb.QueryRequest, _: Asked) -> pb.QueryResponse:
        """Return a page of records."""
        page = await self._core.auditing.page(
            audit_wire.wanted(request.filter),
            audit_wire.first(request),
            audit_wire.limit(request.limit),
            opened=request.include_bodies,
        )
        return audit_wire.queried(page)

    @stream_edge(Role.AUDITOR)
    async def Tail(
        self, request: pb.TailRequest, _: Asked
    ) -> AsyncGenerator[pb.TailResponse, None]:
        """Return records and those to come, until the broker stops."""
        first = audit_wire.sequence(request.first) if request.HasField("first") else None
        pages = self._core.auditing.tail(
            audit_wire.wanted(request.filter),
            first,
            opened=request.include_bodies,
            ending=lambda: self._core.draining,
        )
        async with aclosing(pages) as coming:
            async for page in coming:
                for each in _told(page):
                    yield each
        raise Refusal(status.SENTENCES[Reason.DRAINING], reason=Reason.DRAINING)


def _told(page: Page) -> Iterator[pb.TailResponse]:
    for entry in page.entries:
        yield pb.TailResponse(record=audit_wire.stored(entry), next=entry.sequence + 1)
    if not page.entries or page.entries[-1].sequence + 1 < page.next:
        yield pb.TailResponse(next=page.next)
