"""What of this machine does a broker use, beside its disk?

Law: what is not there as the settings say is refused before anything listens. Whatever is
started here ends with the broker.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from sandbox_runtime.errors import Fault, SandboxUnavailable
from sandbox_runtime.sandbox import images
from sandbox_runtime.sandbox.calls import Sandbox as Containers
from sandbox_runtime.sandbox.launcher import Launcher
from sandbox_runtime.sandbox.tool_images import Kept
from sandbox_runtime.server import incidents
from sandbox_runtime.validators import Limits, Validators

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Coroutine,
        Iterator,
        Mapping,
    )

    from sandbox_runtime.deciding import Sandbox
    from sandbox_runtime.deciding import Validators as Checking
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.server.settings import Settings

_log = structlog.get_logger("sandbox_broker.server")


class SetupRefused(Fault):
    """The machine is not as the settings and manifests say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Containers, and the processes that check values."""

    sandbox: Sandbox
    validators: Checking
    images: Callable[[Catalogue], Awaitable[Mapping[str, str]]]
    """Finds the image of each tool of these manifests. Raises `Fault` unless all is there that
    they ask for; changes nothing."""
    bring: Callable[[Catalogue, Mapping[str, str]], None]
    """Has tasks opened from now on run their tools in these images."""


class Start(Protocol):
    """Starts what a broker uses; `machine` is the real one."""

    def __call__(
        self, settings: Settings, tree: Catalogue, broker_id: str
    ) -> AbstractAsyncContextManager[Machine]:
        """Return the machine for these manifests; raise `Fault` where it cannot be had."""
        ...


@asynccontextmanager
async def machine(settings: Settings, tree: Catalogue, broker_id: str) -> AsyncIterator[Machine]:
    """Start validators, find engine and images, and remove what an earlier broker left."""
    finds, kept = partial(_images, settings), Kept()
    await finds(tree)  # or it is refused before anything starts
    async with AsyncExitStack() as stack:
        launcher = await Launcher.open(Path(settings.engine), broker_id)
        stack.push_async_callback(launcher.aclose)
        await _sweep(launcher)
        stack.enter_context(beside(_keep_sweeping(launcher, settings.sweep_every.total_seconds())))
        validators = Validators(_limits(settings))
        await validators.start()
        stack.push_async_callback(validators.aclose)
        containers = Containers(
            launcher=launcher,
            images=kept,
            data={name: Path(path) for name, path in settings.data.items()},
            seconds=time.time,
            monotonic=time.monotonic,
        )
        yield Machine(
            sandbox=containers,
            validators=validators,
            images=finds,
            bring=lambda tree, found: kept.bring(tree.tools, found),
        )


async def _images(settings: Settings, tree: Catalogue) -> Mapping[str, str]:
    _sourced(tree, settings.data)
    locked = await asyncio.to_thread(images.locked, settings.lock)
    _built(tree, locked)
    return {name: locked[name] for name in tree.tools}


@contextmanager
def beside(work: Coroutine[None, None, None]) -> Iterator[None]:
    """Have `work` done in the background until the block ends. Where it fails, that is told."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell)
    try:
        yield
    finally:
        task.cancel()


def _tell(work: asyncio.Task[None]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        _log.critical("background_work_failed", **incidents.described(error))


async def _keep_sweeping(launcher: Launcher, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            await _sweep(launcher)
        except SandboxUnavailable as error:
            _log.error("sweep_failed", cause=str(error))


async def _sweep(launcher: Launcher) -> None:
    swept = await launcher.sweep()
    if swept.removed or swept.stuck:
        _log.warning("strays", removed=len(swept.removed), stuck=swept.stuck)


def _sourced(tree: Catalogue, data: Collection[str]) -> None:
    for tool in tree.tools.values():
        for index, mount in enumerate(tool.manifest.spec.data):
            if mount.name not in data:
                place = tool.place(("spec", "data", index, "name"))
                raise SetupRefused(
                    f"{place}: no source is set for data `{mount.name}`;"
                    f" add `data: {{{mount.name}: /its/path}}` to the broker's settings"
                )


def _built(tree: Catalogue, locked: Collection[str]) -> None:
    for name, tool in tree.tools.items():
        if name not in locked:
            raise SetupRefused(
                f"{tool.file}: `{name}` has no image; run `sandbox-broker tool build`"
            )


def _limits(settings: Settings) -> Limits:
    workers = settings.validators
    return Limits(
        workers=workers.count,
        first_uid=workers.first_uid,
        job_time=workers.time.total_seconds(),
    )
