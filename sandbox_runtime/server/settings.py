"""How is this broker set up?

Law: what is misspelt, missing or not there on this machine is an error. No setting is a secret:
a secret lies in a file, and a setting names the file.
"""

from __future__ import annotations

import grp
import os
import stat
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from sandbox_runtime.manifests.constraint import Scalar
from sandbox_runtime.manifests.model import Name, Subject, VariableName
from sandbox_runtime.manifests.units import Duration, Size, durations, sizes
from sandbox_runtime.server.caller import Caller, Role
from sandbox_runtime.server.rates import Rate
from sandbox_runtime.strict import Strict
from sandbox_runtime.turns import Limits

_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path; `sun_path` ends with a zero (unix(7))."""
_ROOM = 20
"""What our own names add to the path of `state_dir`."""
_BESIDE = 64
"""Requests of one subject beside its calls: it may always look and cancel."""
_FOR_EACH = 256 << 20
"""Bytes of memory that are counted for one container."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\x00" in path:
        raise ValueError("expected an absolute path")
    return os.path.normpath(path)


def _fits(room: int) -> AfterValidator:
    def short(path: str) -> str:
        if len(os.fsencode(path)) > _LONGEST_SOCKET - room:
            raise ValueError(f"expected a path of at most {_LONGEST_SOCKET - room} bytes")
        return path

    return AfterValidator(short)


def _known_group(name: str) -> str:
    try:
        grp.getgrnam(name)
    except KeyError as error:
        raise ValueError(f"there is no group `{name}` on this machine") from error
    return name


def _regular(path: str) -> str:
    try:
        if stat.S_ISREG(os.lstat(path).st_mode):
            return path
    except OSError as error:
        raise ValueError(f"cannot be used: {error.strerror}") from error
    raise ValueError("expected a regular file, and no link to one")


def _each_once(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    if len(set(roles)) != len(roles):
        raise ValueError("expected each role once")
    return roles


def _ip_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise ValueError("expected an address like `0.0.0.0`, `::` or `192.0.2.7`") from error


PathText = Annotated[str, AfterValidator(_absolute)]
Uid = Annotated[int, Field(ge=0, lt=2**32 - 1)]
Roles = Annotated[tuple[Role, ...], Field(min_length=1), AfterValidator(_each_once)]


class Known(Strict):
    """Who a caller is to the manifests, and what it may do."""

    subject: Subject
    roles: Roles = (Role.OPENER, Role.AGENT)
    claims: dict[VariableName, Scalar] = Field(default={}, max_length=32)
    """What else is known of it: variables with `source: identity_claim` are taken from here."""

    def caller(self) -> Caller:
        """Return who that is, once authenticated."""
        claims = MappingProxyType(dict(self.claims))
        return Caller(subject=self.subject, roles=frozenset(self.roles), claims=claims)


class Peer(Known):
    """Who a user of this machine is."""

    uid: Uid


class Dev(Known):
    """Loopback with a token: for one developer on one machine."""

    port: Annotated[int, Field(ge=0, le=65535)] = 7443
    """0 takes any that is free."""
    subject: Subject = "agent:dev"


class Client(Known):
    """Whom a certificate of the operator's own authority stands for."""

    uri: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*:[!-~]+$", max_length=512)]
    """Of its subject alternative names, like `spiffe://example.com/reporting`."""


class Clients(Strict):
    """Callers whose certificates others issue."""

    ca: Annotated[PathText, AfterValidator(_regular)]
    identities: Annotated[tuple[Client, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_uri_once(self) -> Self:
        uris = [one.uri for one in self.identities]
        if len(set(uris)) != len(uris):
            raise ValueError("a URI stands in `identities` twice")
        return self


class Tls(Strict):
    """A port for other machines: TLS 1.3, with a certificate of the caller's or a token."""

    address: Annotated[str, AfterValidator(_ip_address)]
    port: Annotated[int, Field(ge=0, le=65535)] = 8443
    """0 takes any that is free."""
    certificate: Annotated[PathText, AfterValidator(_regular)] | None = None
    """The broker's. Left out with its key: made by the broker's own authority, for `names`."""
    key: Annotated[PathText, AfterValidator(_regular)] | None = None
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$", max_length=253)], ...] = ()
    """Host names and addresses by which callers reach the broker; left out: `address`."""
    tokens: bool = False
    """Whether an issued token is enough, without a certificate."""
    clients: Clients | None = None
    """Left out: certificates that `sandbox-broker identity issue` made."""

    @model_validator(mode="after")
    def _a_certificate_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        return self


class Listen(Strict):
    """Where callers come in."""

    socket: Annotated[PathText, _fits(0)] = "/run/sandbox-broker/broker.sock"
    """Mode 0660; its directory is made with mode 0750 where there is none."""
    group: Annotated[str, AfterValidator(_known_group)] | None = None
    """The group that may connect, beside the broker's own user."""
    dev: Dev | None = None
    """127.0.0.1 with a bearer token. Left out: no port is open."""
    tls: Tls | None = None
    """For other machines. Left out: no port is open."""


class Workers(Strict):
    """The processes that check values."""

    count: Annotated[int, Field(ge=1, le=64)] = 3
    time: Annotated[Duration, durations("10ms", "60s")] = timedelta(seconds=2)
    """From handing out a value to the last verdict on it."""
    first_uid: Annotated[int, Field(ge=1, lt=2**31)] = 64100
    """Their user ids start here; no account may have them."""


class Rates(Strict):
    """How often somebody may ask."""

    subject: Rate = Rate(per_second=200, burst=400)
    """All requests of one subject."""
    task: Rate = Rate(per_second=50, burst=100)
    """Decisions for one task."""
    opening: Rate = Rate(per_second=5, burst=50)
    """Tasks that one subject opens."""


class Calls(Strict):
    """How many calls may run, and how many may wait for that."""

    running: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Containers at a time. Left out: as many as this machine's processors and memory allow."""
    running_per_subject: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Left out: no fewer than `running`."""
    running_per_task: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Left out: no fewer than `running`."""
    queued: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Calls that wait until they may run. They are served by turns."""
    queued_per_subject: Annotated[int, Field(ge=0, le=100_000)] = 200
    queued_per_task: Annotated[int, Field(ge=0, le=100_000)] = 100
    detached: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Of one task at a time, after who sent them was answered."""
    watchers: Annotated[int, Field(ge=1, le=1000)] = 8
    """Of one call at a time."""
    remembered: Annotated[Duration, durations("1m", "30d")] = timedelta(days=1)
    """How long after its task's end a call's end is still told. The log keeps it for good."""

    def limits(self) -> Limits:
        """Return these on this machine."""
        running = _fitting() if self.running is None else self.running
        return Limits(
            running=running,
            running_per_subject=self.running_per_subject or running,
            running_per_task=self.running_per_task or running,
            queued=self.queued,
            queued_per_subject=self.queued_per_subject,
            queued_per_task=self.queued_per_task,
        )

    def requests(self) -> int:
        """Return how many requests of a subject may be in progress: its calls, and some beside."""
        limits = self.limits()
        return limits.running_per_subject + limits.queued_per_subject + _BESIDE


def _fitting() -> int:
    """Return how many containers fit: four a processor, and a quarter GiB of memory for each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(4 * len(os.sched_getaffinity(0)), memory // _FOR_EACH))


class Audit(Strict):
    """How many may read the log over the wire."""

    readers: Annotated[int, Field(ge=1, le=16)] = 2
    """Threads that read for them."""
    tails: Annotated[int, Field(ge=1, le=256)] = 16
    """Tails at a time."""


class Workspaces(Strict):
    """The filesystems of tasks that work on files."""

    first_uid: Annotated[int, Field(ge=1, lt=2**31)] = 70_000
    """Each belongs to a user of its own; their ids start here, and no account may have them."""
    count: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many there may be at a time."""
    count_per_subject: Annotated[int, Field(ge=1, le=100_000)] = 250
    """How many of these one subject's tasks may have."""
    headroom: Annotated[Size, sizes("1Mi", "1024Gi")] = 256 << 20
    """With less than this free beside it, none is made."""


class Files(Strict):
    """Files on their way into tasks' workspaces and out of them."""

    put: Annotated[Size, sizes("1B", "4Gi")] = 64 << 20
    """The most that one file may have on its way in. Each waits on the disk of `state_dir`."""
    get: Annotated[Size, sizes("1B", "11Mi")] = 8 << 20
    """The most on its way out, or kept: all of it passes a validator worker in one piece."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 4
    """Of one task."""
    subject_at_once: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Of one subject's tasks together."""
    all_at_once: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Of all tasks together."""


class Evidence(Strict):
    """Room for the log on its disk."""

    reserve: Annotated[Size, sizes("1Mi", "1Gi")] = 16 << 20
    """Held back for the last words on a full disk."""
    headroom: Annotated[Size, sizes("1Mi", "64Gi")] = 64 << 20
    """With less than this free, nothing new is begun."""


class Settings(Strict):
    """One broker."""

    state_dir: Annotated[PathText, _fits(_ROOM)] = "/var/lib/sandbox-broker"
    """Its log, keys and identity. Nobody else may read it."""
    manifests: PathText
    images_lock: PathText | None = None
    """Left out: `images.lock.json` beside the manifests."""
    engine: Annotated[PathText, _fits(0)] = "/var/run/docker.sock"
    listen: Listen = Listen()
    peers: tuple[Peer, ...] = ()
    """Left out: the broker's own user alone, as `uid:<n>`."""
    data: dict[Name, Annotated[PathText, AfterValidator(_regular)]] = Field(default={})
    """Where the data that tools mount lies on this machine, by its name in their manifests."""
    validators: Workers = Workers()
    rates: Rates = Rates()
    calls: Calls = Calls()
    workspaces: Workspaces = Workspaces()
    files: Files = Files()
    evidence: Evidence = Evidence()
    audit: Audit = Audit()
    patience: Annotated[Duration, durations("10ms", "1h")] = timedelta(seconds=15)
    """An answer of a stream that nobody reads for so long ends the stream."""
    strangers_every: Annotated[Duration, durations("100ms", "1h")] = timedelta(seconds=10)
    """Refused attempts to authenticate become one record an interval."""
    drain: Annotated[Duration, durations("1ms", "1h")] = timedelta(seconds=20)
    """On a stop, calls in flight have this long to end."""
    sweep_every: Annotated[Duration, durations("1s", "1h")] = timedelta(minutes=1)
    """How often containers that nobody wants are looked for."""

    @model_validator(mode="after")
    def _each_uid_once(self) -> Self:
        uids = [peer.uid for peer in self.peers]
        if len(set(uids)) != len(uids):
            raise ValueError("a uid stands in `peers` twice")
        return self

    @model_validator(mode="after")
    def _users_apart(self) -> Self:
        files, workers = self.workspaces, self.validators
        if (
            workers.first_uid < files.first_uid + files.count
            and files.first_uid < workers.first_uid + workers.count
        ):
            raise ValueError("`workspaces` and `validators` share user ids")
        return self

    @property
    def lock(self) -> Path:
        """Where the images' lock lies."""
        beside = Path(self.manifests) / "images.lock.json"
        return beside if self.images_lock is None else Path(self.images_lock)

    def peers_in_force(self) -> tuple[Peer, ...]:
        """Return who may connect over the Unix socket."""
        own = os.geteuid()
        return self.peers or (Peer(uid=own, subject=f"uid:{own}"),)

    def callers(self) -> dict[int, Caller]:
        """Return the same, by uid."""
        return {peer.uid: peer.caller() for peer in self.peers_in_force()}
