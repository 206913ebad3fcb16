"""What did we see of this machine?

Law: facts are what was read, without a word on whether that is well. They can be recorded,
and judged elsewhere.
"""

from __future__ import annotations

from sandbox_runtime.strict import Strict


class Engine(Strict):
    """The container engine, as it describes itself."""

    name: str
    """`Engine`, or `Podman Engine`."""
    version: str
    api: str
    """The newest version of its API, `1.41`."""
    cgroup_version: str
    storage: str
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    """Its words for them: `name=seccomp,profile=default`."""
    limits: dict[str, bool]
    """Whether it can hold a container to each: memory, swap, pids, cpu."""


class Kernel(Strict):
    """What the kernel shows to this process."""

    release: str
    controllers: tuple[str, ...]
    """Cgroup controllers that are mounted here."""
    seccomp: tuple[str, ...]
    """What a filter may do: `errno`, `kill_process`."""
    modules: tuple[str, ...]
    """Of AppArmor and SELinux, those that are on."""
    uid: int
    """This process's."""
    capabilities: int
    """In effect for this process, as bits."""


class Clock(Strict):
    """How time goes by here."""

    synchronised: bool | None
    """The kernel's word; None: it would not say."""
    apart: float
    """Seconds by which wall clock and monotonic clock differ over a moment."""
    now: int
    """Microseconds since 1970."""
    newest_record: int | None
    """When the log's newest record was written, by the clock of then."""


class Place(Strict):
    """A file or folder."""

    path: str
    there: bool
    folder: bool = False
    owner: int = -1
    mode: int = 0


class Disk(Strict):
    """Room where the state directory is, or will be."""

    free: int
    """Bytes."""
    reserved: int
    """Bytes that the log holds in its reserve already."""
    reserve: int
    headroom: int


class Source(Strict):
    """Data that a tool mounts."""

    name: str
    tool: str
    path: str | None
    """None: the settings name none."""
    readable: bool = False
    """By a container's user."""


class Housed(Strict):
    """Whether tasks can have files of their own here."""

    wanted: bool
    """Whether some task's manifest asks for them."""
    first_uid: int
    last_uid: int
    accounts: dict[int, str]
    """Of these user and group ids, those that somebody has."""
    trouble: str | None
    """Why no workspace could be had; None: one could."""


class Proof(Strict):
    """One container, brought up and looked at as a call's would be."""

    image: str | None
    """None: the engine has none of ours."""
    walls: str | None = None
    """Digest of the walls that were read back."""
    outcome: str = ""
    trouble: str | None = None
    took_ms: float = 0.0


class Issued(Strict):
    """Who was issued a certificate or a token."""

    place: Place
    trouble: str | None = None
    """Why the book cannot be used."""
    valid: int = 0
    ending: tuple[str, ...] = ()
    """What ends within the week, in words."""


class Facts(Strict):
    """Everything that was seen."""

    engine: Engine | None
    engine_socket: str
    engine_trouble: str | None
    kernel: Kernel
    clock: Clock
    disk: Disk
    state: Place
    keys: Place
    socket_folder: Place
    issued: Issued
    running: bool
    """Whether a broker holds the log."""
    validator_uids: tuple[int, ...]
    validators_trouble: str | None
    """Why no worker came up confined; None: one did."""
    accounts: dict[int, str]
    """Of the validators' user and group ids, those that somebody has."""
    housed: Housed
    clash: str | None
    """Version of the distribution `sandbox-runtime`, if that is installed."""
    tools: int
    manifests: str
    manifests_trouble: str | None
    images_trouble: str | None
    sources: tuple[Source, ...]
    proof: Proof
