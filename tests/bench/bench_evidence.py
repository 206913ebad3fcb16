"""How many appends a second are durable, and what do the same bytes cost elsewhere?

Beside the log stand, in the same run and on the same disk, a bare loop of write and
fdatasync in one thread (a file for the record and, before it, one for the body, as in the
log), and SQLite in WAL mode with synchronous=FULL, one commit an insert.

Aims: one writer waits less than a millisecond for each append, which nobody notices beside
a container's start; 32 writers share syncs, and so are at least twice as fast as the loop.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import Log, LogSettings

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD: Final = b"r" * 600
BODY: Final = b"b" * 2048
ROUNDS: Final = 3
SETTINGS: Final = LogSettings(headroom=0, reserve=0)


def run() -> list[dict[str, Any]]:
    """Measure and return the rows of the table. Writes under `build/`, and cleans up."""
    return [_row(writers, body=body) for body in (b"", BODY) for writers in (1, 32)]


def _row(writers: int, *, body: bytes) -> dict[str, Any]:
    each = 1600 if writers == 1 else 100
    total = each * writers
    ours, loop, sqlite = _fastest(
        lambda path: asyncio.run(_log(path, writers, each, body)),
        lambda path: _bare_loop(path, total // 2, [body, RECORD] if body else [RECORD]),
        lambda path: _sqlite(path, writers, max(each // 4, 25), RECORD + body),
    )
    aim = 1000 if writers == 1 else loop * 2
    suffix = " with a 2 KiB body" if body else ""
    return {
        "name": f"durable appends, {writers} writer{'s' * (writers > 1)}{suffix}",
        "value": round(ours),
        "unit": "appends/s",
        "aim": round(aim),
        "met": ours >= aim,
        "peers": {"write + fdatasync, 1 thread": round(loop), "SQLite WAL FULL": round(sqlite)},
    }


def _fastest(*ways: Callable[[Path], float]) -> list[float]:
    """Run the ways in turn, several times, and return each one's best rate."""
    best = [0.0] * len(ways)
    Path("build").mkdir(exist_ok=True)
    for _ in range(ROUNDS):
        for at, way in enumerate(ways):
            with tempfile.TemporaryDirectory(dir="build") as directory:
                best[at] = max(best[at], way(Path(directory)))
    return best


async def _log(root: Path, writers: int, each: int, body: bytes) -> float:
    keys = Keys.begin(root / "keys")
    keys.create("task")
    async with Log.open(root, on_failure=_fail, settings=SETTINGS) as log:
        bodies = Bodies(root=root, keys=keys, end=log.bodies_end)

        async def write() -> None:
            for _ in range(each):
                await log.append([RECORD], [bodies.seal("task", body)] if body else ())

        began = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        return writers * each / (time.perf_counter() - began)


def _fail(error: Exception) -> None:
    raise error


def _bare_loop(root: Path, total: int, contents: list[bytes]) -> float:
    with ExitStack() as opened:
        files = [
            (opened.enter_context((root / str(at)).open("ab", buffering=0)), content)
            for at, content in enumerate(contents)
        ]
        began = time.perf_counter()
        for _ in range(total):
            for file, content in files:
                file.write(content)
                os.fdatasync(file)
        return total / (time.perf_counter() - began)


def _sqlite(root: Path, writers: int, each: int, content: bytes) -> float:
    path = root / "database"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, content BLOB)")
    database.close()

    def write(_: int) -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        connection.execute("PRAGMA synchronous=FULL")
        for _ in range(each):
            connection.execute("INSERT INTO log (content) VALUES (?)", (content,))
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    return writers * each / (time.perf_counter() - began)
