"""Files of a task, for code on an event loop.

Law: the same surface as `files_blocking`. What can be sent or asked for again without doing
anything else is: a file that is put twice is the same file.
"""

# ruff: noqa: ASYNC109 - a timeout here travels with the request, and ends it at the broker

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from sandbox_runtime.client import files, sending
from sandbox_runtime.client.reading import failure
from sandbox_runtime.v1 import files_pb2 as pb

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from typing import BinaryIO

    from sandbox_runtime.client.asynchronous import AsyncBroker
    from sandbox_runtime.client.files import FileListing, GotFile, Progress, PutFile

A = TypeVar("A")


class AsyncFiles:
    """What a task can do with its files."""

    id: str
    token: str
    _broker: AsyncBroker

    async def put_file(
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
        header = await asyncio.to_thread(source.announced, self.id, path)

        async def put(left: float | None) -> PutFile:
            with closing(source.requests(header, progress)) as parts:
                return await self._put(parts, left)

        return await _again(put, timeout)

    async def _put(self, parts: Iterator[pb.PutFileRequest], left: float | None) -> PutFile:
        async def requests() -> AsyncIterator[pb.PutFileRequest]:
            yield next(parts)
            if not files.may_go_ahead(await put.initial_metadata()):
                await put.code()  # whoever writes on may lose why it was refused
                return
            for part in parts:
                yield part

        put = self._broker.stub.PutFile(requests(), timeout=left, metadata=self._shown())
        return files.placed(await put)

    async def files(self, *, timeout: float | None = None) -> FileListing:
        """Return what stands in the workspace; of an ended task, what was kept."""
        asked = files.list_files(self.id)
        return await self._broker.send(asked, task_token=self.token, timeout=timeout)

    async def get_file(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return a file of the workspace as it may leave; raise `CallRefused` where it may not."""
        held = BytesIO()
        await self._receive(path, held, timeout, None)
        return held.getvalue()

    async def save_file(
        self,
        path: str,
        to: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> GotFile:
        """Do the same into a file here, which appears in one step; return what came."""
        with files.appearing(Path(to)) as sink:
            return await self._receive(path, sink, timeout, progress)

    async def _receive(
        self, path: str, sink: BinaryIO, timeout: float | None, progress: Progress | None
    ) -> GotFile:
        request = pb.GetFileRequest(task_id=self.id, path=path)

        async def get(left: float | None) -> GotFile:
            sink.seek(0)
            sink.truncate()
            incoming = files.Incoming(sink, progress)
            answers = self._broker.stub.GetFile(request, timeout=left, metadata=self._shown())
            try:
                async for answer in answers:
                    incoming.take(answer)
            finally:
                answers.cancel()
            return incoming.whole()

        return await _again(get, timeout)

    def _shown(self) -> sending.Metadata:
        return self._broker.shown(self.token)


async def _again(attempt: Callable[[float | None], Awaitable[A]], timeout: float | None) -> A:
    patience = sending.Patience(timeout=timeout, repeatable=True, clock=time.monotonic)
    while True:
        try:
            return await attempt(patience.left())
        except grpc.aio.AioRpcError as error:
            said = failure(error.code(), error.details() or "", error.trailing_metadata() or ())
            await asyncio.sleep(patience.pause_after(said))
