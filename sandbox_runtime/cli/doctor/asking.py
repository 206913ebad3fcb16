"""What does the engine say of itself, and does one container of ours come up behind walls?

Law: the container is brought up by the launcher that brings up a call's, and taken down by
it. It gets no data, and a program of ours.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sandbox_runtime.cli.doctor.facts import Engine, Proof
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.model import Limits
from sandbox_runtime.sandbox import engine as engines
from sandbox_runtime.sandbox.calls import GRACE, RUNNER, unheard
from sandbox_runtime.sandbox.container import CallBytes
from sandbox_runtime.sandbox.launcher import Launcher
from sandbox_runtime.sandbox.plan import Identity, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_runtime.sandbox.launcher import Finished
    from sandbox_runtime.sandbox.plan import ContainerPlan

_PATIENCE = 10.0
_BASE = "sandbox-broker/base:local"
_PROGRAM = ("python3", "-I", "-S", "-c", 'import os; os.write(3, b\'{"result": "here"}\\n\')')


class _Component(engines.Said):
    name: str


class _Version(engines.Said):
    version: str
    components: tuple[_Component, ...] = ()
    api: str = Field(alias="ApiVersion")


class _Info(engines.Said):
    cgroup_version: str = "1"
    driver: str = ""
    runtimes: dict[str, Any] = Field(default={})
    security_options: tuple[str, ...] | None = None
    memory_limit: bool = False
    swap_limit: bool = False
    pids_limit: bool = False
    cpu_quota: bool = Field(default=False, alias="CpuCfsQuota")


class _Image(engines.Said):
    id: str


async def described(socket: Path) -> Engine:
    """Ask the engine what it is. Raises `SandboxUnavailable`."""
    said = await _ask(socket, "/version")
    version = engines.parsed(_Version, said)
    info = engines.parsed(_Info, await _ask(socket, "/info"))
    return Engine(
        name=version.components[0].name if version.components else "Engine",
        version=version.version,
        api=version.api,
        cgroup_version=info.cgroup_version,
        storage=info.driver,
        runtimes=tuple(sorted(info.runtimes)),
        security=info.security_options or (),
        limits={
            "memory": info.memory_limit,
            "swap": info.swap_limit,
            "pids": info.pids_limit,
            "cpu": info.cpu_quota,
        },
    )


async def proven(socket: Path, images: Iterable[str]) -> Proof:
    """Bring up one container of the first of `images` that is there, or of the base image."""
    try:
        image = await _first(socket, (*images, _BASE))
    except SandboxUnavailable as error:
        return Proof(image=None, trouble=str(error))
    if image is None:
        return Proof(image=None)
    try:
        done = await _run(socket, image)
    except SandboxUnavailable as error:
        return Proof(image=image, trouble=str(error))
    return Proof(image=image, walls=done.walls, outcome=done.ending, took_ms=done.wall_ms)


async def _first(socket: Path, images: Iterable[str]) -> str | None:
    """Return the id of the first image that the engine has."""
    for image in images:
        try:
            return engines.parsed(_Image, await _ask(socket, f"/images/{image}/json")).id
        except engines.NoSuchContainer:  # it says 404 for images, too
            continue
    return None


async def _run(socket: Path, image: str) -> Finished:
    launcher = await Launcher.open(socket, "doctor")
    planned = _plan(image)
    deadline = time.monotonic() + launcher.patience + planned.ceilings.wall_time
    call = CallBytes(call_id="doctor", arguments={})
    try:
        done = await launcher.run(planned, call, deadline=deadline, on_event=unheard)
        await asyncio.shield(done.closed)
    finally:
        await launcher.aclose()
    return done


def _plan(image: str) -> ContainerPlan:
    limits = Limits()
    deadline = int(time.time() + limits.wall_time.total_seconds() + GRACE)
    return plan(
        image_id=image,
        program=_PROGRAM,
        limits=limits,
        identity=Identity(broker="doctor", task="doctor", call="doctor", deadline=deadline),
        runner=str(RUNNER),
        data={},
    )


async def _ask(socket: Path, target: str) -> bytes:
    return await engines.ask(socket, _PATIENCE, "GET", target, None)
