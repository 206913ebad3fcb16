"""Which tasks are there, and how does what happened get into log and state?

Law: records are the only source of truth. A record is enqueued and evolves the task's state in
one step; nobody outside hears of it before it is durable. The task's lock is for who looks at
the state, waits, and then appends: a decision.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import structlog
from pydantic import ValidationError

from sandbox_runtime import records
from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.errors import EvidenceUnavailable, Reason, Refusal
from sandbox_runtime.evidence.faults import Erased
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.strict import Json, Strict
from sandbox_runtime.task import OpenTask, begin, evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sandbox_runtime.call import Answered
    from sandbox_runtime.feed import Feed
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.records import Body, Micros, Record

_log = structlog.get_logger("sandbox_broker.ledger")

B = TypeVar("B", bound=Strict)

SYSTEM = "system"
"""The key under which bodies lie that belong to no task."""
_NO_MAC = "0" * 64
_MICROSECOND = timedelta(microseconds=1)


class Sealed(Protocol):
    """An encrypted body on its way to the log."""

    @property
    def ref(self) -> Body:
        """What a leaf says of it."""
        ...


class Ticket(Protocol):
    """A place in the log that is taken and not yet durable."""

    @property
    def sequence(self) -> int:
        """Sequence number of the append's first record."""
        ...

    async def wait(self) -> None:
        """Return when the records are durable; raise `EvidenceUnavailable` if they never are."""
        ...


class Evidence(Protocol):
    """Opaque bytes, kept safe. Every method returns at once."""

    def create_key(self, task: str) -> None:
        """Make a new task's key, durably."""
        ...

    def seal(self, task: str, body: bytes) -> Sealed:
        """Encrypt `body` under the task's key."""
        ...

    def open(self, task: str, ref: Body) -> bytes:
        """Return the body behind `ref`, decrypted and compared with its commitment."""
        ...

    def mac(self, task: str, data: bytes) -> str:
        """Return the keyed digest of `data` under the task's key."""
        ...

    def enqueue(self, leaves: Sequence[bytes], bodies: Sequence[Sealed], *, urgent: bool) -> Ticket:
        """Take the next places in the log; bodies become durable before leaves.

        `urgent` is for what ends something begun: it has a reserve on a nearly full disk.
        """
        ...


class PromptPart(Strict):
    """A piece of what the task was asked to do: typed is trusted, attached is not."""

    source: Literal["typed", "attached"]
    text: str


class Brought(Strict):
    """The body of `task.opened`: what whoever opened the task brought."""

    prompt: tuple[PromptPart, ...]
    variables: dict[str, Json]


class Said(Strict):
    """The body of `task.input`: what its opener added to the prompt."""

    prompt: tuple[PromptPart, ...]


class Files(Strict):
    """The body of `manifest.loaded`: every file of the tree, by its path."""

    files: dict[str, str]


@dataclass(slots=True)
class Running:
    """A call in flight. Cancelling `container` kills it; `end` is done when that is durable."""

    container: asyncio.Task[Answered]
    end: asyncio.Task[None]
    feed: Feed
    """What its tool says meanwhile."""
    detached: bool = False
    """Whether it runs on when who sent it hangs up."""
    cancelled: records.Cancellation | None = None
    """Why it was cancelled, by whoever was first."""

    def cancel(self, why: records.Cancellation) -> None:
        """Kill its container."""
        self.cancelled = self.cancelled or why
        self.container.cancel()


@dataclass(slots=True, kw_only=True)
class Live:
    """One task in memory: what deciding needs, its lock, and what runs of it."""

    task: OpenTask
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: dict[str, Running] = field(default_factory=dict)
    """By call id."""
    last: Ticket | None = None
    """Of the task's latest append: once it is durable, all before it are."""

    def forgettable(self, now: Micros, remembered: timedelta) -> bool:
        """Whether it ended longer than that ago, its files with it, and nothing of it runs."""
        workspace, state = self.task.manifest.manifest.spec.workspace, self.task.state
        kept = max(remembered, workspace.retain) if workspace is not None else remembered
        stays = state.kept or state.workspace is not None
        busy = self.running or state.running or stays
        return not busy and now >= state.ends_at + kept // _MICROSECOND


def credential(token: str, certificate: str | None) -> bytes:
    """Return what a task's keyed digest is of: its token, and the certificate it is bound to."""
    bound = f"\0{certificate}" if certificate is not None else ""
    return f"{token}{bound}".encode()


def text_digest(tree: Catalogue) -> str:
    """Return the digest of the tree's very text: places in it are part of what is recorded."""
    return digest_of_texts(tree.sources)


def digest_of_texts(texts: Mapping[str, str]) -> str:
    """Return the digest of files by their names."""
    return f"sha256:{sha256(canonical(dict(texts))).hexdigest()}"


class Ledger:
    """The tasks of one broker, folded from its log."""

    def __init__(self, evidence: Evidence, clock: Callable[[], Micros]) -> None:
        self._evidence = evidence
        self._clock = clock
        self._tasks: dict[str, Live] = {}
        self._trees: dict[str, Catalogue] = {}
        """By digest of their text."""
        self._orphans: dict[str, records.FileKept] = {}
        """By id. What a restart found kept of tasks that it could not restore."""
        self._in_force: str | None = None
        """Digest of the manifests' text."""
        self._images: dict[str, str] = {}
        """Of the tools in force, by their names."""
        self._latest: Micros = 0

    def now(self) -> Micros:
        """Return the broker's clock. It never goes back: what was over stays over."""
        self._latest = max(self._latest, self._clock())
        return self._latest

    def find(self, task: str, token: str, certificate: str | None = None) -> Live:
        """Return the task whose token this is, shown beside the right certificate.

        Unknown task, wrong token and another's certificate look alike, and cost as much.
        """
        live = self._tasks.get(task)
        if self._opens(live, token, certificate) and live is not None:
            return live
        raise Refusal(
            "no such task, or not its token",
            reason=Reason.TASK_NOT_FOUND,
            hint="send the token that OpenTask returned as metadata `task-token`",
        )

    def tasks(self) -> tuple[Live, ...]:
        """Return every task that this log holds."""
        return tuple(self._tasks.values())

    def forget(self, remembered: timedelta) -> int:
        """Drop what ended so long ago, or longer than its files are kept; return how many tasks.

        The log keeps them; nothing can be asked of them any more. What nothing needs of their
        manifests goes with them.
        """
        now = self.now()
        over = [task for task, live in self._tasks.items() if live.forgettable(now, remembered)]
        for task in over:
            del self._tasks[task]
        needed = {live.task.state.tree_digest for live in self._tasks.values()}
        for digest in self._trees.keys() - needed - {self._in_force}:
            del self._trees[digest]
        return len(over)

    def allotments(self) -> dict[str, records.Allotment]:
        """Return what tasks got for their files and still have, by task."""
        states = (live.task.state for live in self.tasks())
        return {state.id: state.workspace for state in states if state.workspace is not None}

    def is_in_force(self, tree: Catalogue, images: Mapping[str, str]) -> bool:
        """Say whether these very manifests and images are in force."""
        return (self._in_force, self._images) == (text_digest(tree), images)

    async def load(self, tree: Catalogue, images: Mapping[str, str]) -> None:
        """Bring manifests and their tools' images into force, recorded with their whole text."""
        digest = text_digest(tree)
        if not self.is_in_force(tree, images):
            await self._note_loaded(tree, digest, images)
            self._in_force, self._images = digest, dict(images)
        self._trees[digest] = tree

    async def open(
        self, record: records.TaskOpened, body: Sealed, brought: Brought, tree: Catalogue
    ) -> Live:
        """Record a new task under a manifest of `tree`, and know it once it is durable."""
        await self._enqueue([record], [body]).wait()
        self._trees.setdefault(record.tree_digest, tree)
        live = self._tasks[record.task] = Live(task=_hydrated(record, brought, tree))
        return live

    def append(
        self, live: Live, entries: Sequence[Record], bodies: Sequence[Sealed] = ()
    ) -> Ticket:
        """Enqueue `entries` as one append and evolve the task's state by them."""
        ticket = self._enqueue(entries, bodies)
        state = live.task.state
        for offset, entry in enumerate(entries):
            state = evolve(state, entry, ticket.sequence + offset)
        live.task, live.last = replace(live.task, state=state), ticket
        return ticket

    async def note(self, record: Record) -> None:
        """Record what belongs to no task."""
        await self._enqueue([record], []).wait()

    def create_key(self, task: str) -> None:
        """Make the key of a new task."""
        self._evidence.create_key(task)

    def seal(self, task: str, body: Strict) -> Sealed:
        """Encrypt a body under the task's key."""
        return self._evidence.seal(task, canonical(body.model_dump(mode="json")))

    def unseal(self, task: str, ref: Body, model: type[B]) -> B:
        """Return a body that `seal` encrypted and the log holds."""
        return model.model_validate_json(self._evidence.open(task, ref))

    def mac(self, task: str, data: bytes) -> str:
        """Return the keyed digest of `data` under the task's key."""
        return self._evidence.mac(task, data)

    def restore(self, stored: Iterable[tuple[int, bytes]]) -> None:
        """Fold the whole log: every task stands where it stood.

        But for those that were erased, and those under manifests that this version refuses:
        nothing can be asked of them.

        Raises `EvidenceUnavailable` where the log says what this version cannot understand.
        """
        for sequence, leaf in stored:
            record = _understood(sequence, leaf)
            self._latest = max(self._latest, record.at)
            if isinstance(record, records.ManifestsLoaded):
                self._restore_tree(record)
            elif isinstance(record, records.TaskOpened):
                self._restore_task(record)
            elif (live := self._tasks.get(getattr(record, "task", ""))) is not None:
                live.task = replace(live.task, state=evolve(live.task.state, record, sequence))
            elif isinstance(record, records.FileKept):
                self._orphans[record.file] = record
            elif isinstance(record, records.FileDeleted):
                self._orphans.pop(record.file, None)

    def orphans(self) -> tuple[records.FileKept, ...]:
        """Return the kept files of tasks of which nothing can be asked any more."""
        return tuple(self._orphans.values())

    async def delete_orphan(self, file: records.FileKept) -> None:
        """Record that the time of such a file is over."""
        await self.note(records.FileDeleted(at=self.now(), task=file.task, file=file.file))
        self._orphans.pop(file.file, None)

    async def _note_loaded(self, tree: Catalogue, digest: str, images: Mapping[str, str]) -> None:
        body = self.seal(SYSTEM, Files(files=dict(tree.sources)))
        record = records.ManifestsLoaded(
            at=self.now(),
            digest=digest,
            tools={name: tool.digest for name, tool in tree.tools.items()},
            tasks={name: task.digest for name, task in tree.tasks.items()},
            images=dict(images),
            body=body.ref,
        )
        await self._enqueue([record], [body]).wait()

    def _enqueue(self, entries: Sequence[Record], bodies: Sequence[Sealed]) -> Ticket:
        return self._evidence.enqueue(
            [records.leaf(entry) for entry in entries],
            bodies,
            urgent=all(isinstance(entry, records.ENDINGS) for entry in entries),
        )

    def _opens(self, live: Live | None, token: str, certificate: str | None) -> bool:
        key, expected, bound = SYSTEM, _NO_MAC, certificate
        if live is not None:
            state = live.task.state
            key, expected, bound = state.id, state.token_mac, state.certificate and certificate
        try:
            mac = self.mac(key, credential(token, bound))
        except Erased:
            return False
        return compare_digest(mac, expected) and live is not None

    def _restore_task(self, record: records.TaskOpened) -> None:
        if record.tree_digest not in self._trees:
            return
        with suppress(Erased):  # nobody can show its token any more, nor be told anything of it
            brought = self.unseal(record.task, record.body, Brought)
            self._tasks[record.task] = Live(
                task=_hydrated(record, brought, self._trees[record.tree_digest])
            )

    def _restore_tree(self, record: records.ManifestsLoaded) -> None:
        self._in_force, self._images = record.digest, record.images
        if record.digest not in self._trees:
            files = self.unseal(SYSTEM, record.body, Files).files
            try:
                self._trees[record.digest] = load_texts(files)
            except ManifestErrors as errors:  # written under rules that have become stricter
                _log.warning("old_manifests_unreadable", digest=record.digest, why=str(errors))


def _hydrated(record: records.TaskOpened, brought: Brought, tree: Catalogue) -> OpenTask:
    manifest = tree.tasks[record.manifest]
    return OpenTask(
        state=begin(record, manifest.manifest.spec.grants),
        manifest=manifest,
        tools=tree.tools,
        variables=brought.variables,
    )


def _understood(sequence: int, leaf: bytes) -> Record:
    try:
        return records.parse(leaf)
    except ValidationError as error:
        raise EvidenceUnavailable(
            f"record {sequence} of the log is of no kind that this version knows;"
            " a newer one wrote it, so run that one"
        ) from error
