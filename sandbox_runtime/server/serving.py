"""How does a broker run from its first word to its last?

Law: it says that it is ready when it is, and that it is not before it stops being. A stop lets
calls in flight end within the grace; a second one cancels them at once. A log that cannot be
written ends the process: callers are told, and whoever supervises it sees a failure.
"""

from __future__ import annotations

import asyncio
import grp
import signal
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime.server import descriptors, securing, state
from sandbox_runtime.server.join import joined
from sandbox_runtime.server.listening import Listeners
from sandbox_runtime.server.machine import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sandbox_runtime.errors import EvidenceUnavailable
    from sandbox_runtime.server.join import Joined
    from sandbox_runtime.server.machine import Start
    from sandbox_runtime.server.settings import Settings

_log = structlog.get_logger("sandbox_broker.server")
_LAST_ANSWERS = 2.0
"""Seconds in which answers that are ready still reach their callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where a broker that is ready listens."""

    broker: str
    socket: Path
    port: int | None
    """On 127.0.0.1; None where no port is open."""
    token_file: Path | None
    tls: str | None = None
    """Address of the port with TLS; None where none is open."""


@dataclass(slots=True)
class Ending:
    """Why and how urgently the broker is to stop."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)
    failure: EvidenceUnavailable | None = None

    def ask(self) -> None:
        """Stop; asked again, stop at once."""
        (self.hurried if self.asked.is_set() else self.asked).set()

    def fail(self, failure: EvidenceUnavailable) -> None:
        """Stop at once: nothing can be recorded any more."""
        _log.critical("log_failed", cause=str(failure))
        self.failure = failure
        self.asked.set()
        self.hurried.set()


async def serve(
    settings: Settings, *, ready: Callable[[Ready], None], start: Start = machine
) -> None:
    """Serve until SIGTERM or SIGINT; on SIGHUP read manifests and images again.

    Raises `Fault` and `ManifestErrors` where this broker cannot start, `ListenRefused` where
    it cannot listen, and `EvidenceUnavailable` when its log fails.
    """
    descriptors.raise_limit()
    ending = Ending()
    reload_asked = asyncio.Event()
    handlers = {
        signal.SIGTERM: ending.ask,
        signal.SIGINT: ending.ask,
        signal.SIGHUP: reload_asked.set,
    }
    with _signals(handlers):
        async with (
            joined(settings, start, ending.fail, reload_asked) as parts,
            AsyncExitStack() as stack,
        ):
            listeners = Listeners(core=parts.core, attempts=parts.core.attempts)
            stack.push_async_callback(listeners.close, _LAST_ANSWERS)
            where = await _listen(settings, parts, listeners)
            await listeners.serving()
            _log.info("ready", broker=parts.id, tasks=len(parts.core.ledger.tasks()))
            ready(where)
            await ending.asked.wait()
            await _drain(parts, listeners, ending, settings.drain.total_seconds())
    if ending.failure is not None:
        raise ending.failure


async def _listen(settings: Settings, parts: Joined, listeners: Listeners) -> Ready:
    root, listen = Path(settings.state_dir), settings.listen
    token_file = root / "dev-token" if listen.dev is not None else None
    port = None
    if listen.dev is not None and token_file is not None:
        port = await listeners.open_loopback(listen.dev.port, listen.dev.caller(), token_file)
    private = state.doors(root)
    await listeners.open_unix(
        Path(listen.socket),
        group=grp.getgrnam(listen.group).gr_gid if listen.group is not None else None,
        callers=settings.callers(),
        private=private,
    )
    tls = None
    if listen.tls is not None:
        guests = securing.guests(listen.tls, parts.honoured, parts.core.ledger.now)
        tls = await listeners.open_tls(listen.tls, guests, state=root, private=private)
    return Ready(
        broker=parts.id,
        socket=Path(listen.socket),
        port=port,
        token_file=token_file,
        tls=tls,
    )


async def _drain(parts: Joined, listeners: Listeners, ending: Ending, grace: float) -> None:
    """Take nothing new, and let what runs end, until it has or somebody is in a hurry."""
    parts.core.draining = True
    await listeners.not_serving()
    _log.info("draining", grace=grace)
    draining = asyncio.create_task(parts.core.broker.drain(grace))
    hurry = asyncio.create_task(ending.hurried.wait())
    await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not draining.done():
        draining.cancel()
        await parts.core.broker.drain(0)
    await asyncio.gather(draining, return_exceptions=True)


@contextmanager
def _signals(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
