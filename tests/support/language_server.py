"""An editor's side of a language server (LSP 3.17), with nobody at the keys."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 30.0
"""Seconds that an answer may take on a busy machine."""

CARET = "▮"
"""Stands in a text where the editor's caret is, and is no part of it."""

Message = dict[str, Any]

_CAN = {
    "workspace": {"configuration": True},
    "textDocument": {
        "completion": {"completionItem": {"documentationFormat": ["plaintext"]}},
        "hover": {"contentFormat": ["plaintext"]},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """What an editor underlines, and why. Lines and columns count from 0, as LSP has it."""

    text: str
    line: int
    first: int
    message: str


@dataclass(slots=True, kw_only=True)
class Editor:
    """An editor in which manifests are open."""

    server: asyncio.subprocess.Process
    settings: Mapping[str, Any]
    _asked: int = 0
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _published: dict[str, asyncio.Queue[list[Message]]] = field(default_factory=dict)

    async def flagged(self, path: Path, text: str) -> list[Flagged]:
        """Open a file with this text; return what the server underlines in it."""
        uri = path.as_uri()
        said = self._published[uri] = asyncio.Queue()
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": item}})
        found = await asyncio.wait_for(said.get(), PATIENCE)
        return [_flagged(text.splitlines(), each) for each in found]

    async def completions(self, path: Path, marked: str) -> dict[str, str]:
        """Return what is offered at a text's `CARET`: labels, and what is told of each."""
        text, place = _caret(path, marked)
        await self.flagged(path, text)
        found = await self._ask("textDocument/completion", place)
        items = found["items"] if isinstance(found, dict) else found or []
        return {item["label"]: _text(item.get("documentation", "")) for item in items}

    async def hover(self, path: Path, marked: str) -> str:
        """Return what is told of the word at a text's `CARET`."""
        text, place = _caret(path, marked)
        await self.flagged(path, text)
        found = await self._ask("textDocument/hover", place)
        return _text(found["contents"]) if found else ""

    async def greet(self, root: Path) -> None:
        """Say who asks, and that it is ready."""
        params = {"processId": None, "rootUri": root.as_uri(), "capabilities": _CAN}
        await self._ask("initialize", params)
        self._send({"method": "initialized", "params": {}})
        changed = {"settings": dict(self.settings)}
        self._send({"method": "workspace/didChangeConfiguration", "params": changed})

    async def listen(self) -> None:
        """Take what the server says, until it says nothing more."""
        assert self.server.stdout is not None
        while head := await self.server.stdout.readline():
            size = int(head.split(b":")[1])
            while (await self.server.stdout.readline()).strip():
                pass
            self._take(json.loads(await self.server.stdout.readexactly(size)))

    def _take(self, message: Message) -> None:
        method = message.get("method")
        if method is None:
            answer = self._waiting.pop(message["id"])
            answer.set_result(message.get("result"))
        elif method == "textDocument/publishDiagnostics":
            params = message["params"]
            if (said := self._published.get(params["uri"])) is not None:
                said.put_nowait(params["diagnostics"])
        elif "id" in message:
            self._send({"id": message["id"], "result": self._told(message)})

    def _told(self, message: Message) -> Any:  # noqa: ANN401 - whatever LSP asks for
        if message["method"] != "workspace/configuration":
            return None
        return [self.settings.get(item["section"]) for item in message["params"]["items"]]

    async def _ask(self, method: str, params: Message) -> Any:  # noqa: ANN401 - LSP's answer
        self._asked += 1
        answer = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        self._send({"id": self._asked, "method": method, "params": params})
        return await asyncio.wait_for(answer, PATIENCE)

    def _send(self, message: Message) -> None:
        assert self.server.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


@asynccontextmanager
async def editor(
    command: Sequence[str], root: Path, settings: Mapping[str, Any]
) -> AsyncIterator[Editor]:
    """Start a language server for the files below `root`; end it with the block."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, cwd=root, stdin=pipe, stdout=pipe)
    here = Editor(server=server, settings=settings)
    listening = asyncio.create_task(here.listen())
    try:
        await here.greet(root)
        yield here
    finally:
        server.kill()
        await server.wait()
        await listening


def _caret(path: Path, marked: str) -> tuple[str, Message]:
    before, _, after = marked.partition(CARET)
    position = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
    return before + after, {"textDocument": {"uri": path.as_uri()}, "position": position}


def _flagged(lines: list[str], said: Message) -> Flagged:
    start, end = said["range"]["start"], said["range"]["end"]
    line, last = start["line"], end["character"] if end["line"] == start["line"] else None
    text = lines[line][start["character"] : last]
    return Flagged(text=text, line=line, first=start["character"], message=said["message"])


def _text(said: str | Message) -> str:
    return said if isinstance(said, str) else str(said["value"])
