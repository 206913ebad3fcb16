"""What exactly will the engine be asked for, and what must the kernel then show?

Law: a plan is plain values, the same on every machine that reads it, and both answers
are made from it alone: `engine_options` is the whole request, `expected` the whole of
what read-back compares. Nothing of the host's environment is in either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sandbox_runtime.manifests.command import Element, Exits, Stdin, Stdout
from sandbox_runtime.sandbox import seccomp
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox_runtime.manifests.model import Limits

RUNNER_TARGET = "/run/sandbox/runner.py"
WORKSPACE = "/workspace"
PAGE = 4096
PERIOD = 100_000
"""Microseconds; what the engine divides processor time by."""
UID = GID = 10_000
SHM = 64 << 10
LABEL = "sandbox-broker"

ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

ImageId = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Absolute = Annotated[str, Field(pattern=r"^/[^\x00-\x1f:,]*$", max_length=4096)]
Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]
Positive = Annotated[int, Field(gt=0)]


class Mount(Strict):
    """A read-only bind of a file or folder of the host's."""

    source: Absolute
    target: Absolute


class Files(Strict):
    """The task's files: a mounted filesystem of the host's, which shows at `/workspace`.

    Whether it may be written to is the mount's own option, as all of its options are: the
    engine passes them on, and could not set them.
    """

    source: Absolute
    read_only: bool
    size: Positive
    """Bytes of the filesystem, as the kernel shows it."""
    inodes: Positive
    uid: Positive
    """Who owns it, and whom the container runs as."""


class Ceilings(Strict):
    """What the container may use at most. Bytes, seconds, processors."""

    memory: Positive
    """Swap included; pages of `/tmp` count."""
    cpu: Annotated[float, Field(gt=0)]
    wall_time: Annotated[float, Field(gt=0)]
    """Seconds from the container's start."""
    pids: Positive
    tmp: Annotated[int, Field(ge=PAGE)]
    tmp_inodes: Positive
    open_files: Positive
    file_size: Positive
    output: Positive
    """Bytes that leave the container, over both streams."""
    answer: Positive
    """Bytes of the longest line of an answer."""


class Spoken(Strict):
    """How a program is told and understood that knows nothing of this: `transport: command`."""

    argv: Annotated[tuple[Element, ...], Field(min_length=1)]
    stdin: Stdin | None
    stdout: Stdout
    exits: Exits


class Identity(Strict):
    """Whose container this is. It carries these as labels, for the sweep."""

    broker: Name
    task: Name
    call: Name
    deadline: Positive
    """Seconds since 1970 after which nobody can want it."""


class ContainerPlan(Strict):
    """One container, as the launcher gets it. Made by `plan`."""

    image_id: ImageId
    program: tuple[str, ...]
    """The tool's argument vector, run by the runner; empty where the call brings it."""
    spoken: Spoken | None = None
    """What the program prints is the answer; else it answers by itself."""
    mounts: tuple[Mount, ...]
    files: Files | None = None
    ceilings: Ceilings
    uid: Positive = UID
    gid: Positive = GID
    isolation: Literal["runc"] = "runc"
    identity: Identity


def plan(
    *,
    image_id: str,
    program: Sequence[str],
    limits: Limits,
    identity: Identity,
    runner: str,
    data: Mapping[str, str],
    spoken: Spoken | None = None,
    files: Files | None = None,
) -> ContainerPlan:
    """Return the plan for one call.

    `runner` is the host's path of the runner; `data` maps places in the container to the
    host's. With `spoken` the call brings the program's words, and `program` is empty.
    `files` are the task's, where the tool works on them.
    """
    binds = {**data, RUNNER_TARGET: runner}
    return ContainerPlan(
        image_id=image_id,
        program=tuple(program),
        spoken=spoken,
        mounts=tuple(Mount(source=binds[target], target=target) for target in sorted(binds)),
        files=files,
        ceilings=ceilings(limits),
        uid=files.uid if files is not None else UID,
        gid=files.uid if files is not None else GID,
        isolation=limits.isolation,
        identity=identity,
    )


def ceilings(limits: Limits) -> Ceilings:
    """Return the limits as the kernel counts them: whole pages, rounded down."""
    return Ceilings(
        memory=limits.memory // PAGE * PAGE,
        cpu=limits.cpu,
        wall_time=limits.wall_time.total_seconds(),
        pids=limits.pids,
        tmp=limits.tmp // PAGE * PAGE,
        tmp_inodes=limits.tmp_inodes,
        open_files=limits.open_files,
        file_size=limits.file_size,
        output=limits.output,
        answer=limits.output,
    )


def rlimits(plan: ContainerPlan) -> dict[str, int]:
    """Return the limits of each process, soft and hard alike, by the engine's names."""
    return {
        "core": 0,
        "fsize": plan.ceilings.file_size,
        "memlock": 0,
        "msgqueue": 0,
        "nice": 0,
        "nofile": plan.ceilings.open_files,
        "rtprio": 0,
        "sigpending": 1024,
    }


def nano_cpus(plan: ContainerPlan) -> int:
    """Return the share of processors in the engine's unit."""
    return round(plan.ceilings.cpu * 1e9)


def labels(identity: Identity) -> dict[str, str]:
    """Return the labels of this call's container: `sandbox-broker` names its broker."""
    return {
        LABEL: identity.broker,
        f"{LABEL}.task": identity.task,
        f"{LABEL}.call": identity.call,
        f"{LABEL}.deadline": str(identity.deadline),
    }


def engine_options(plan: ContainerPlan) -> dict[str, Json]:
    """Return the body of `POST /containers/create`."""
    runner = ["python3", "-I", "-S", "-B", RUNNER_TARGET, str(plan.ceilings.answer)]
    return {
        "Image": plan.image_id,
        "Entrypoint": [*runner, *plan.program],
        "Cmd": [],
        "Env": [f"{key}={value}" for key, value in sorted(ENVIRONMENT.items())],
        "User": f"{plan.uid}:{plan.gid}",
        "WorkingDir": "/tmp",  # noqa: S108 - the container's own
        "Hostname": "sandbox",
        "Domainname": "",
        "NetworkDisabled": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": {**labels(plan.identity)},
        "HostConfig": host_config(plan),
    }


def host_config(plan: ContainerPlan) -> dict[str, Json]:
    """Return the part of the request that the walls are made of."""
    have = plan.ceilings
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "CgroupnsMode": "private",
        "Runtime": plan.isolation,
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp.for_engine()}"],
        "MaskedPaths": list(MASKED),
        "ReadonlyPaths": list(READ_ONLY),
        "Mounts": mounts(plan),
        "Tmpfs": {"/tmp": tmpfs_options(have)},  # noqa: S108 - the container's own
        "ShmSize": SHM,
        "Memory": have.memory,
        "MemorySwap": have.memory,
        "MemorySwappiness": 0,
        "OomKillDisable": False,
        "OomScoreAdj": 0,
        "NanoCpus": nano_cpus(plan),
        "PidsLimit": have.pids,
        "Ulimits": [
            {"Name": name, "Soft": limit, "Hard": limit} for name, limit in rlimits(plan).items()
        ],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "Init": False,
    }


def mounts(plan: ContainerPlan) -> list[Json]:
    """Return what of the host's is mounted."""
    read_only: list[Json] = [bind(mount.source, mount.target) for mount in plan.mounts]
    if plan.files is None:
        return read_only
    return [*read_only, bind(plan.files.source, WORKSPACE, as_it_is=True)]


def bind(source: str, target: str, *, as_it_is: bool = False) -> dict[str, Json]:
    """Return one mount. Private: what the host mounts below it later does not appear."""
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": not as_it_is,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def tmpfs_options(have: Ceilings) -> str:
    """Return the options of `/tmp`."""
    return f"size={have.tmp},nr_inodes={have.tmp_inodes},mode=1777,noexec,nosuid,nodev"
