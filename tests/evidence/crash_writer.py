"""Writes to the log at `argv[1]` until killed, and prints what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import Log, LogSettings

SETTINGS = LogSettings(segment_bytes=64 * 1024, headroom=0, reserve=0)


async def write(log: Log, bodies: Bodies, run: str, writer: int) -> None:
    for turn in range(1_000_000):
        sealed = bodies.seal("task", f"{run} {writer} {turn}".encode())
        said = {"run": run, "writer": writer, "turn": turn, "ref": sealed.ref.model_dump()}
        group = [json.dumps({**said, "part": part}).encode() for part in range(3)]
        sequence = await log.append(group, [sealed])
        sys.stdout.write(json.dumps({"sequence": sequence, **said}) + "\n")
        sys.stdout.flush()


async def main(root: Path, run: str) -> None:
    keys = Keys.begin(root / "keys")
    if not keys.has("task"):
        keys.create("task")
    async with Log.open(
        root, on_failure=lambda error: sys.exit(str(error)), settings=SETTINGS
    ) as log:
        bodies = Bodies(root=root, keys=keys, end=log.bodies_end)
        await asyncio.gather(*(write(log, bodies, run, writer) for writer in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
