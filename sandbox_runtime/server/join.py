"""How do the parts become one broker?

Law: everything that can be refused is refused before a word is written or heard: state,
manifests, images, data, engine, validators. Then the log says that a broker took over, calls
that an earlier one left behind end as `unknown`, and only then may anyone listen.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sandbox_runtime.admission import Admission
from sandbox_runtime.answering import Answering
from sandbox_runtime.broker import Broker
from sandbox_runtime.deciding import Deciding
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.blobs import Bodies
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import Log, LogSettings
from sandbox_runtime.housing import Housing
from sandbox_runtime.ledger import SYSTEM, Ledger
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.records import BrokerStarted, BrokerStopped
from sandbox_runtime.running import Runs
from sandbox_runtime.server import state
from sandbox_runtime.server.attempts import Attempts
from sandbox_runtime.server.auditing import Auditing
from sandbox_runtime.server.carrying import filing
from sandbox_runtime.server.edge import Core
from sandbox_runtime.server.evidence import KeptEvidence
from sandbox_runtime.server.issuing import book
from sandbox_runtime.server.issuing.honoured import Honoured, Recorded
from sandbox_runtime.server.machine import beside
from sandbox_runtime.server.rates import Buckets, InProgress
from sandbox_runtime.server.reloading import Reloading
from sandbox_runtime.tending import Tending
from sandbox_runtime.watching import Watching
from sandbox_runtime.workspaces import Place, Workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sandbox_runtime.errors import EvidenceUnavailable
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.server.machine import Machine, Start
    from sandbox_runtime.server.settings import Settings

_log = structlog.get_logger("sandbox_broker.join")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One broker, ready to be listened to."""

    id: str
    core: Core
    log: Log
    tree: Catalogue
    honoured: Honoured


@asynccontextmanager
async def joined(
    settings: Settings,
    start: Start,
    on_failure: Callable[[EvidenceUnavailable], None],
    reload_asked: asyncio.Event,
) -> AsyncIterator[Joined]:
    """Join a broker's parts. What it uses ends with the block; its last record is `stopped`.

    `on_failure` is called once if the log can no longer be written. Whenever `reload_asked` is
    set, manifests and images are read again. Raises `Fault` and `ManifestErrors`.
    """
    tree = load_tree(Path(settings.manifests))
    root = Path(settings.state_dir)
    state.prepare(root)
    async with Log.open(
        layout.log_directory(root), on_failure=on_failure, settings=_log_settings(settings)
    ) as log:
        broker_id = state.broker_id(root)
        ledger = _ledger(root, log)
        recorded = Recorded()
        ledger.restore(recorded.heard(layout.reader(root).read()))
        honoured = Honoured(book.place(root), ledger, recorded)
        auditing = Auditing(root, lambda: log.durable, settings.audit)
        async with (
            _housing(settings, ledger) as housing,
            start(settings, tree, broker_id) as machine,
            aclosing(auditing),
        ):
            core = _core(
                settings, tree, ledger, housing=housing, machine=machine, auditing=auditing
            )
            images = await machine.images(tree)
            machine.bring(tree, images)
            await _take_over(core, tree, images, log, broker_id)
            await honoured.refresh()
            reloading = Reloading(
                Path(settings.manifests), ledger=ledger, machine=machine, broker=core.broker
            )
            with (
                beside(core.attempts.keep_flushing(settings.strangers_every.total_seconds())),
                beside(honoured.keep_fresh()),
                beside(_keep_forgetting(ledger, settings)),
                beside(housing.keep_tidy(settings.sweep_every.total_seconds())),
                beside(core.filing.keeping.keep_tending(settings.sweep_every.total_seconds())),
                beside(reloading.keep_doing(reload_asked)),
            ):
                yield Joined(id=broker_id, core=core, log=log, tree=tree, honoured=honoured)
            await core.filing.putting.drain()
            await core.attempts.flush()
        await ledger.note(BrokerStopped(at=ledger.now(), broker=broker_id))


def _log_settings(settings: Settings) -> LogSettings:
    return LogSettings(reserve=settings.evidence.reserve, headroom=settings.evidence.headroom)


def _ledger(root: Path, log: Log) -> Ledger:
    keys = Keys.begin(layout.keys_directory(root))
    if not keys.has(SYSTEM):
        keys.create(SYSTEM)
    bodies = Bodies(root=layout.log_directory(root), keys=keys, end=log.bodies_end)
    return Ledger(KeptEvidence(log=log, bodies=bodies, keys=keys), _micros)


@asynccontextmanager
async def _housing(settings: Settings, ledger: Ledger) -> AsyncIterator[Housing]:
    """Yield what keeps the files of tasks; nothing of it is mounted afterwards."""
    of = settings.workspaces
    place = Place(
        folder=state.workspaces(Path(settings.state_dir)),
        uids=range(of.first_uid, of.first_uid + of.count),
        headroom=of.headroom,
    )
    known = Workspaces(place, ledger.allotments())
    housing = Housing(ledger, known, most_of_subject=of.count_per_subject)
    try:
        yield housing
    finally:
        await housing.rest()


def _core(
    settings: Settings,
    tree: Catalogue,
    ledger: Ledger,
    *,
    housing: Housing,
    machine: Machine,
    auditing: Auditing,
) -> Core:
    carrying = filing(settings, ledger, housing, machine.validators)
    housing.before_end(carrying.keeping.keep)
    runs = Runs(ledger=ledger, validators=machine.validators, monotonic=time.monotonic)
    deciding = Deciding(
        ledger=ledger,
        validators=machine.validators,
        sandbox=machine.sandbox,
        housing=housing,
        monotonic=time.monotonic,
    )
    answering = Answering(ledger=ledger, validators=machine.validators, monotonic=time.monotonic)
    broker = Broker(
        tree=tree,
        ledger=ledger,
        deciding=deciding,
        runs=runs,
        answering=answering,
        housing=housing,
        new_id=lambda: f"t-{secrets.token_hex(8)}",
        new_secret=lambda: secrets.token_urlsafe(32),
        admission=Admission(limits=settings.calls.limits(), clock=time.monotonic),
        most_detached=settings.calls.detached,
    )
    return Core(
        broker=broker,
        tending=Tending(ledger),
        housing=housing,
        watching=Watching(machine.validators, most=settings.calls.watchers),
        ledger=ledger,
        attempts=Attempts(ledger),
        subjects=Buckets(settings.rates.subject, time.monotonic),
        in_progress=InProgress(settings.calls.requests()),
        tasks=Buckets(settings.rates.task, time.monotonic),
        opening=Buckets(settings.rates.opening, time.monotonic),
        auditing=auditing,
        filing=carrying,
        patience=settings.patience.total_seconds(),
    )


async def _take_over(
    core: Core, tree: Catalogue, images: Mapping[str, str], log: Log, broker_id: str
) -> None:
    started = BrokerStarted(
        at=core.ledger.now(),
        broker=broker_id,
        version=_version(),
        cut_bytes=sum(cut.bytes_cut for cut in log.recovered),
    )
    await core.ledger.note(started)
    await core.broker.settle()
    await core.ledger.load(tree, images)
    await core.housing.tidy()
    await core.filing.keeping.clear()


async def _keep_forgetting(ledger: Ledger, settings: Settings) -> None:
    while True:
        if forgotten := ledger.forget(settings.calls.remembered):
            _log.info("tasks_forgotten", tasks=forgotten)
        await asyncio.sleep(settings.sweep_every.total_seconds())


def _version() -> str:
    try:
        return version("sandbox-broker")
    except PackageNotFoundError:
        return "not installed"


def _micros() -> int:
    return time.time_ns() // 1000
