"""What does a file look like on its way to the broker and back?

Law: a file that was sent is the one that was announced, and one that came is whole and has the
digest that the broker names, or it is not handed on. On disk it appears in one step.
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum, unique
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from sandbox_runtime.client.failures import FileDamaged
from sandbox_runtime.client.wire import Exchange
from sandbox_runtime.v1 import files_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    Progress = Callable[[int, int], None]
    """Told how many bytes are done, and of how many."""

_PIECE: Final = 256 << 10


@unique
class FileKind(StrEnum):
    """What stands in a workspace."""

    UNSPECIFIED = "UNSPECIFIED"
    """A newer broker said something that this client does not know."""
    FILE = "FILE"
    DIRECTORY = "DIRECTORY"
    LINK = "LINK"
    SPECIAL = "SPECIAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One thing that stands in a workspace, or one kept file. A tool may have chosen its path."""

    path: str
    kind: FileKind
    size: int
    modified_at: datetime | None
    kept: bool
    """Whether it outlives the task, or would if the task ended now."""
    kept_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListing:
    """What stands in a workspace, sorted by path."""

    entries: tuple[FileEntry, ...]
    left_out: int
    """Things whose names cannot be shown, or that lie too deep."""
    complete: bool
    """False where there is more than a listing holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFile:
    """A file that is in its place."""

    path: str
    size: int
    sha256: str
    record: int
    """Of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GotFile:
    """A file that came, whole."""

    path: str
    size: int
    sha256: str
    media_type: str
    changes: tuple[str, ...]
    """What the broker cleaned, in sentences."""
    record: int
    """Of the log."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be sent: its bytes, or where it lies."""

    content: bytes | Path

    @classmethod
    def of(cls, content: bytes | str | os.PathLike[str]) -> Source:
        """Return what to send; a text is a path."""
        return cls(content if isinstance(content, bytes) else Path(content))

    def announced(self, task: str, path: str) -> pb.PutFileRequest.Header:
        """Return what will come: its size and digest. Reads it once."""
        digest, size = sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        return pb.PutFileRequest.Header(
            task_id=task, path=path, size=size, sha256=digest.hexdigest()
        )

    def requests(
        self, header: pb.PutFileRequest.Header, progress: Progress | None
    ) -> Generator[pb.PutFileRequest, None, None]:
        """Yield the messages that bring it."""
        yield pb.PutFileRequest(header=header)
        done = 0
        with closing(self.pieces()) as pieces:
            for piece in pieces:
                yield pb.PutFileRequest(chunk=piece)
                done += len(piece)
                if progress is not None:
                    progress(done, header.size)

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield its bytes."""
        with self._opened() as file:
            while piece := file.read(_PIECE):
                yield piece

    def _opened(self) -> BinaryIO:
        return BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


def may_go_ahead(metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
    """Whether the broker takes what was announced."""
    return any(key == "go-ahead" for key, _ in metadata or ())


class Incoming:
    """A file that comes, piece by piece, into `sink`."""

    def __init__(self, sink: BinaryIO, progress: Progress | None) -> None:
        self._sink, self._progress = sink, progress
        self._digest, self._size = sha256(), 0
        self._header: pb.GetFileResponse.Header | None = None

    def take(self, answer: pb.GetFileResponse) -> None:
        """Take one message. Raises `FileDamaged`."""
        if answer.WhichOneof("part") == "header" and self._header is None:
            self._header = answer.header
            return
        if self._header is None or self._size + len(answer.chunk) > self._header.size:
            raise FileDamaged("the broker sent what it did not announce")
        self._sink.write(answer.chunk)
        self._digest.update(answer.chunk)
        self._size += len(answer.chunk)
        if self._progress is not None:
            self._progress(self._size, self._header.size)

    def whole(self) -> GotFile:
        """Return what came. Raises `FileDamaged` where it is not whole."""
        header = self._header
        if header is None or self._size != header.size:
            raise FileDamaged("the file did not come whole")
        if self._digest.hexdigest() != header.sha256:
            raise FileDamaged("the file that came has another digest than the broker named")
        return GotFile(
            path=header.path,
            size=header.size,
            sha256=header.sha256,
            media_type=header.media_type,
            changes=tuple(header.changes),
            record=header.record,
        )


@contextmanager
def appearing(to: Path) -> Iterator[BinaryIO]:
    """Yield a file that stands at `to` when the block has ended well, in one step, durably."""
    unfinished = to.with_name(f".{to.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)


def list_files(task: str) -> Exchange[FileListing]:
    """Ask which files there are."""
    return Exchange(method="ListFiles", request=pb.ListFilesRequest(task_id=task), read=_listing)


def placed(answer: pb.PutFileResponse) -> PutFile:
    """Return the file that is in its place."""
    return PutFile(path=answer.path, size=answer.size, sha256=answer.sha256, record=answer.record)


def _listing(answer: pb.ListFilesResponse) -> FileListing:
    return FileListing(
        entries=tuple(_entry(each) for each in answer.files),
        left_out=answer.left_out,
        complete=answer.complete,
    )


def _entry(entry: pb.FileEntry) -> FileEntry:
    return FileEntry(
        path=entry.path,
        kind=_kind(entry.kind),
        size=entry.size,
        modified_at=_time(entry.modified_at) if entry.HasField("modified_at") else None,
        kept=entry.kept,
        kept_until=_time(entry.kept_until) if entry.HasField("kept_until") else None,
    )


def _kind(number: int) -> FileKind:
    if number not in pb.FileKind.values():
        return FileKind.UNSPECIFIED
    name = pb.FileKind.Name(pb.FileKind.ValueType(number)).removeprefix("FILE_KIND_")
    return FileKind(name) if name in FileKind.__members__ else FileKind.UNSPECIFIED


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
