"""Are engine, kernel and clock fit for a broker?

Law: facts in, findings out: whoever has the facts comes to the same findings. Pure.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox_runtime.cli.doctor.finding import ok, warning, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.cli.doctor.facts import Clock, Engine, Facts, Kernel
    from sandbox_runtime.cli.doctor.finding import Finding

LEAST_API: Final = (1, 41)
"""Of Engine 20.10."""
CONTROLLERS: Final = ("cpu", "memory", "pids")
ACTIONS: Final = ("errno", "kill_process")
SLOW_STORAGE: Final = frozenset({"vfs", "devicemapper"})
APART: Final = 0.05
"""Seconds that two clocks may differ over a moment."""
CAPABILITIES: Mapping[str, int] = MappingProxyType(
    {
        "CAP_SETGID": 6,
        "CAP_SETUID": 7,
        "CAP_SETPCAP": 8,
        "CAP_SYS_PTRACE": 19,
        "CAP_SYS_ADMIN": 21,
    }
)
"""What confining workers and reading walls back takes, by number (capability.h)."""
_ACCOUNTING: Final = "boot the kernel with `cgroup_enable=memory swapaccount=1`"


def of_machine(facts: Facts) -> Iterator[Finding]:
    """Yield what is to be said of the machine."""
    if facts.engine is None:
        said = facts.engine_trouble or "does not answer"
        mend = "start it (`docker info`), or name its socket as `engine` in the settings"
        yield wrong("engine", f"{facts.engine_socket}: {said}", mend)
    else:
        yield from _engine(facts.engine, facts.engine_socket)
    yield from _kernel(facts.kernel)
    yield from _clock(facts.clock)


def _engine(engine: Engine, socket: str) -> Iterator[Finding]:
    said = f"{engine.version} (API {engine.api}) at {socket}"
    other = _other(engine)
    if _numbers(engine.api) < LEAST_API:
        yield wrong("engine", said, "install Docker Engine 20.10 or newer")
    elif other is not None:
        kind, tried = other
        mend = f"use Docker Engine, run as root; {tried}, so heed the proof below"
        yield warning("engine", f"{said} is {kind}", mend)
    else:
        yield ok("engine", said)
    yield _limits(engine)
    yield _seccomp_of(engine)
    yield _runtimes(engine)
    yield _storage(engine)


def _other(engine: Engine) -> tuple[str, str] | None:
    """Return what this engine is, other than what tests run on, and what a trial of it showed."""
    if "podman" in engine.name.lower():
        return "Podman", "4.3 did not take our seccomp filter over its API"
    if any(what.startswith("name=rootless") for what in engine.security):
        return "rootless", "20.10 on cgroup version 1 set no limits"
    return None


def _limits(engine: Engine) -> Finding:
    missing = [name for name, held in engine.limits.items() if not held]
    if missing:
        return wrong("limits", f"the engine cannot limit {', '.join(missing)}", _ACCOUNTING)
    tried = "" if engine.cgroup_version == "1" else "; tests ran on 1, so heed the proof below"
    return ok(
        "limits", f"{', '.join(engine.limits)}, by cgroup version {engine.cgroup_version}{tried}"
    )


def _seccomp_of(engine: Engine) -> Finding:
    if any(word.startswith("name=seccomp") for word in engine.security):
        return ok("seccomp, engine", "takes our filter")
    mend = "use an engine built with seccomp"
    return wrong("seccomp, engine", "the engine applies no filter", mend)


def _runtimes(engine: Engine) -> Finding:
    if "runc" not in engine.runtimes:
        return wrong(
            "runtimes", "`runc` is not registered", "register it in the engine's daemon.json"
        )
    gvisor = (
        "; gVisor is there, and no manifest asks for it yet" if "runsc" in engine.runtimes else ""
    )
    return ok("runtimes", f"runc{gvisor}")


def _storage(engine: Engine) -> Finding:
    if engine.storage in SLOW_STORAGE:
        mend = "put the engine's root on a file system that overlay2 works on"
        return warning("storage", f"`{engine.storage}` makes every container slow", mend)
    return ok("storage", engine.storage)


def _kernel(kernel: Kernel) -> Iterator[Finding]:
    if missing := [name for name in CONTROLLERS if name not in kernel.controllers]:
        said = f"not mounted here: {', '.join(missing)}"
        yield wrong("cgroups", said, "mount them; inside a container, share the host's read-only")
    else:
        yield ok("cgroups", f"{', '.join(CONTROLLERS)} are mounted")
    if missing := [name for name in ACTIONS if name not in kernel.seccomp]:
        mend = "use a kernel with CONFIG_SECCOMP_FILTER"
        yield wrong("seccomp, kernel", f"filters cannot {', '.join(missing)}", mend)
    else:
        yield ok("seccomp, kernel", f"filters work, says Linux {kernel.release}")
    yield _modules(kernel)
    yield _powers(kernel)


def _modules(kernel: Kernel) -> Finding:
    if kernel.modules:
        return ok("security module", ", ".join(kernel.modules))
    mend = "turn AppArmor or SELinux on in the kernel and the engine, if you can"
    return warning("security module", "neither AppArmor nor SELinux: one wall less", mend)


def _powers(kernel: Kernel) -> Finding:
    if kernel.uid != 0:
        mend = "run this, and the broker, as root"
        return wrong("powers", "not root: no walls can be read back, no worker confined", mend)
    missing = [name for name, bit in CAPABILITIES.items() if not kernel.capabilities >> bit & 1]
    if missing:
        return wrong("powers", f"root without {', '.join(missing)}", "run the broker with them")
    return ok("powers", "root, and may read walls back")


def _clock(clock: Clock) -> Iterator[Finding]:
    if clock.apart > APART:
        said = f"wall clock and monotonic clock differ by {clock.apart:.3f} s over a moment"
        yield warning("clock", said, "see what sets the clock: it should slew and not step")
    elif clock.newest_record is not None and clock.newest_record > clock.now:
        ahead = (clock.newest_record - clock.now) / 1e6
        said = f"the log's newest record is {ahead:.0f} s ahead of it"
        yield warning("clock", said, "set the clock; records keep their order either way")
    else:
        yield ok("clock", "goes evenly")
    if clock.synchronised is False:
        mend = "run chrony or systemd-timesyncd; expiry and the log's times depend on it"
        yield warning("time service", "the kernel says that nothing keeps its clock", mend)
    elif clock.synchronised:
        yield ok("time service", "the kernel says that its clock is kept")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
