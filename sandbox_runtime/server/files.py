"""What does a request for a file say, and how is its answer written?

Law: pure but for waiting for what comes. A file comes and goes as one header and then its bytes in
pieces; anything else is refused.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox_runtime import policy
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.filing import Announced
from sandbox_runtime.server.wire import time
from sandbox_runtime.v1 import files_pb2 as pb
from sandbox_runtime.workspaces import paths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sandbox_runtime.filing import Lasting, Leaving, Put
    from sandbox_runtime.task import OpenTask
    from sandbox_runtime.workspaces.listing import Entry, Listing

MAX_CHUNK: Final = 1 << 20
_PIECE: Final = 256 << 10

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KINDS: Mapping[str, pb.FileKind.ValueType] = MappingProxyType(
    {
        "file": pb.FILE_KIND_FILE,
        "directory": pb.FILE_KIND_DIRECTORY,
        "link": pb.FILE_KIND_LINK,
    }
)


async def header(requests: AsyncIterator[pb.PutFileRequest]) -> pb.PutFileRequest.Header:
    """Return what comes first; raise `Refusal`."""
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "header":
        raise _invalid("the first message is no `header`")
    return first.header


def announced(header: pb.PutFileRequest.Header) -> Announced:
    """Return which file will come."""
    if _SHA256.fullmatch(header.sha256) is None:
        raise _invalid("`sha256` is not 64 hexadecimal digits")
    return Announced(path=header.path, size=header.size, sha256=header.sha256)


async def chunks(requests: AsyncIterator[pb.PutFileRequest]) -> AsyncIterator[bytes]:
    """Yield the bytes that come; raise `Refusal` at anything else."""
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise _invalid("a message after the first is no `chunk`")
        if len(request.chunk) > MAX_CHUNK:
            raise _invalid(f"a `chunk` has more than {MAX_CHUNK} bytes")
        yield request.chunk


def put(done: Put) -> pb.PutFileResponse:
    """Write that a file is in its place."""
    file = done.announced
    return pb.PutFileResponse(
        path=file.path, size=file.size, sha256=file.sha256, record=done.record
    )


def listed(found: Listing, task: OpenTask) -> pb.ListFilesResponse:
    """Write what stands in a living task's workspace."""
    keep = policy.workspace(task).keep
    return pb.ListFilesResponse(
        files=[_entry(entry, keep) for entry in found.entries],
        left_out=found.left_out,
        complete=found.complete,
    )


def lasting(found: Sequence[Lasting]) -> pb.ListFilesResponse:
    """Write what outlived a task."""
    return pb.ListFilesResponse(files=[_lasting(each) for each in found], complete=True)


def pieces(leaving: Leaving) -> Iterator[pb.GetFileResponse]:
    """Write a file on its way out."""
    file = leaving.file
    yield pb.GetFileResponse(
        header=pb.GetFileResponse.Header(
            path=leaving.path,
            size=len(file.content),
            sha256=file.sha256,
            media_type=file.media_type,
            changes=file.changes,
            record=leaving.record,
        )
    )
    for start in range(0, len(file.content), _PIECE):
        yield pb.GetFileResponse(chunk=file.content[start : start + _PIECE])


def _entry(entry: Entry, keep: Sequence[str]) -> pb.FileEntry:
    return pb.FileEntry(
        path=entry.path,
        kind=_KINDS.get(entry.kind, pb.FILE_KIND_SPECIAL),
        size=entry.size,
        modified_at=time(entry.modified_ns // 1000) if _datable(entry.modified_ns) else None,
        kept=entry.kind == "file" and paths.is_kept(entry.path, keep),
    )


def _datable(nanoseconds: int) -> bool:
    """Whether a time, which a tool may have set, is one that can be written."""
    return 0 <= nanoseconds < _YEAR_9999


_YEAR_9999: Final = 253_370_764_800 * 10**9


def _lasting(found: Lasting) -> pb.FileEntry:
    return pb.FileEntry(
        path=found.path,
        kind=pb.FILE_KIND_FILE,
        size=found.kept.size,
        kept=True,
        kept_until=time(found.kept.until),
    )


def _invalid(problem: str) -> Refusal:
    return Refusal(problem, reason=Reason.REQUEST_INVALID)
