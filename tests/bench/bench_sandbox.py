"""What does our way of running a call cost over the container itself?

The peer is the same container by raw API calls, with the very same options: create,
attach, start, frames, kill, remove, and none of the checks. Both are measured in one run,
by turns, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import docker

from sandbox_runtime.manifests.model import Limits
from sandbox_runtime.sandbox.calls import RUNNER
from sandbox_runtime.sandbox.launcher import CallBytes, Launcher
from sandbox_runtime.sandbox.plan import ContainerPlan, Identity, engine_options, plan

SOCKET = Path("/var/run/docker.sock")
BASE = "sandbox-broker/base:local"
ROUNDS = 25
WARM_UP = 3
AIM = 1.15
CALL = CallBytes(call_id="bench", arguments={})
TOOL = """import os, sys; sys.stdin.readline(); os.write(3, b'{"result": 1}\\n')"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Milliseconds of one call: to its answer, and until its container was gone."""

    answer: float
    gone: float


class Raw(http.client.HTTPConnection):
    """HTTP over the engine's Unix socket, blocking."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(SOCKET))

    def ask(self, method: str, target: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        headers = {"Content-Type": "application/json"}
        self.request(method, f"/v1.41{target}", json.dumps(body) if body else None, headers)
        text = self.getresponse().read()
        return json.loads(text) if text else None


def attach(container: str) -> socket.socket:
    """Take hold of a container's streams."""
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(str(SOCKET))
    target = f"/v1.41/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    head = f"POST {target} HTTP/1.1\r\nHost: e\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    stream.sendall(head.encode())
    while not stream.recv(4096).endswith(b"\r\n\r\n"):
        continue
    return stream


def raw_call(made: ContainerPlan) -> Took:
    """Run one call with nothing but what the engine needs."""
    begin = time.perf_counter()
    with closing(Raw("engine")) as engine:
        container = engine.ask("POST", "/containers/create", engine_options(made))["Id"]
        with closing(attach(container)) as stream:
            engine.ask("POST", f"/containers/{container}/start")
            stream.sendall(CALL.frame)
            said = b""
            while b'{"result": 1}' not in said:
                said += stream.recv(1 << 16)
            answer = time.perf_counter()
            engine.ask("POST", f"/containers/{container}/kill")
            engine.ask("DELETE", f"/containers/{container}?force=1&v=1")
    return Took(answer=(answer - begin) * 1e3, gone=(time.perf_counter() - begin) * 1e3)


async def our_call(launcher: Launcher, made: ContainerPlan) -> Took:
    """Run one call as the broker does."""
    begin = time.perf_counter()
    deadline = time.monotonic() + 30
    done = await launcher.run(made, CALL, deadline=deadline, on_event=lambda _: None)
    answer = time.perf_counter()
    if not done.answered:
        raise RuntimeError(done.detail)
    await done.closed
    return Took(answer=(answer - begin) * 1e3, gone=(time.perf_counter() - begin) * 1e3)


def planned() -> ContainerPlan:
    """Return a plan for the smallest tool, on the base image."""
    with closing(docker.DockerClient.from_env()) as client:
        image = str(client.images.get(BASE).id)
    identity = Identity(broker="bench", task="t", call="c", deadline=int(time.time()) + 600)
    return plan(
        image_id=image,
        program=("/usr/bin/python3", "-I", "-S", "-c", TOOL),
        limits=Limits().model_copy(update={"cpu": 1.0, "wall_time": timedelta(seconds=30)}),
        runner=str(RUNNER),
        data={},
        identity=identity,
    )


async def measured() -> tuple[list[Took], list[Took]]:
    """Return our calls and the raw ones."""
    launcher, made = await Launcher.open(SOCKET, "bench"), planned()
    ours, raw = [], []
    for _ in range(WARM_UP + ROUNDS):
        ours.append(await our_call(launcher, made))
        raw.append(await asyncio.to_thread(raw_call, made))
    await launcher.aclose()
    return ours[WARM_UP:], raw[WARM_UP:]


def run() -> list[dict[str, Any]]:
    """Return the measures: what it took, beside its peer, and the aim."""
    ours, raw = asyncio.run(measured())
    return [
        compared("cold call to its answer, p50", [t.answer for t in ours], [t.answer for t in raw]),
        compared("cold call to its removal, p50", [t.gone for t in ours], [t.gone for t in raw]),
    ]


def compared(name: str, ours: list[float], raw: list[float]) -> dict[str, Any]:
    """Return one measure as a ratio."""
    mine, theirs = statistics.median(ours), statistics.median(raw)
    return {
        "name": f"{name}, over raw API calls",
        "value": round(mine / theirs, 3),
        "unit": "ratio",
        "aim": f"≤ {AIM}",
        "met": mine / theirs <= AIM,
        "peers": {"ours_ms": round(mine, 1), "raw_api_ms": round(theirs, 1), "rounds": len(ours)},
    }
