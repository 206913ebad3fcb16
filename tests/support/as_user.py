"""Runs as another user and says in JSON what a broker made of it: `as_user UID ADDRESS`."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from sandbox_runtime.client import AsyncBroker, BrokerError


async def _open(address: str) -> dict[str, str | None]:
    async with AsyncBroker.connect(address) as broker:
        try:
            task = await broker.open_task("greeting", variables={"friend": "Ada"}, timeout=5)
        except BrokerError as error:
            return {"error": type(error).__name__, "reason": error.reason, "says": error.problem}
        return {"task": task.id}


if __name__ == "__main__":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
    sys.stdout.write(json.dumps(asyncio.run(_open(sys.argv[2]))))
