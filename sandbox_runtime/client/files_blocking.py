"""Files of a task, for code that blocks.

Law: the same surface as `files_asynchronous`. What can be sent or asked for again without doing
anything else is: a file that is put twice is the same file.
"""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc

from sandbox_runtime.client import files, sending
from sandbox_runtime.client.reading import failure
from sandbox_runtime.v1 import files_pb2 as pb

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import BinaryIO

    from sandbox_runtime.client.blocking import Broker
    from sandbox_runtime.client.files import FileListing, GotFile, Progress, PutFile

A = TypeVar("A")


class Files:
    """What a task can do with its files."""

    id: str
    token: str
    _broker: Broker

    def put_file(
        self,
        path: str,
        content: bytes | str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> PutFile:
        """Bring a file into the task's workspace, at `path`, whole or not at all.

        `content` is its bytes, or the path of a file here. What stood there is replaced.
        """
        source = files.Source.of(content)
        header = source.announced(self.id, path)

        def put(left: float | None) -> PutFile:
            requests = source.requests(header, progress)
            answer = self._broker.stub.PutFile(requests, timeout=left, metadata=self._shown())
            return files.placed(answer)

        return _again(put, timeout)

    def files(self, *, timeout: float | None = None) -> FileListing:
        """Return what stands in the workspace; of an ended task, what was kept."""
        asked = files.list_files(self.id)
        return self._broker.send(asked, task_token=self.token, timeout=timeout)

    def get_file(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return a file of the workspace as it may leave; raise `CallRefused` where it may not."""
        held = BytesIO()
        self._receive(path, held, timeout, None)
        return held.getvalue()

    def save_file(
        self,
        path: str,
        to: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> GotFile:
        """Do the same into a file here, which appears in one step; return what came."""
        with files.appearing(Path(to)) as sink:
            return self._receive(path, sink, timeout, progress)

    def _receive(
        self, path: str, sink: BinaryIO, timeout: float | None, progress: Progress | None
    ) -> GotFile:
        request = pb.GetFileRequest(task_id=self.id, path=path)

        def get(left: float | None) -> GotFile:
            sink.seek(0)
            sink.truncate()
            incoming = files.Incoming(sink, progress)
            answers = self._broker.stub.GetFile(request, timeout=left, metadata=self._shown())
            try:
                for answer in answers:
                    incoming.take(answer)
            finally:
                answers.cancel()
            return incoming.whole()

        return _again(get, timeout)

    def _shown(self) -> sending.Metadata:
        return self._broker.shown(self.token)


def _again(attempt: Callable[[float | None], A], timeout: float | None) -> A:
    patience = sending.Patience(timeout=timeout, repeatable=True, clock=time.monotonic)
    while True:
        try:
            return attempt(patience.left())
        except grpc.RpcError as error:
            said = failure(error.code(), error.details() or "", error.trailing_metadata() or ())
            time.sleep(patience.pause_after(said))
