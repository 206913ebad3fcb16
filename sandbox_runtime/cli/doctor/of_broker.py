"""Is what the settings name there, and as it must be?

Law: as in `of_machine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.cli.doctor import housing
from sandbox_runtime.cli.doctor.finding import ok, warning, wrong
from sandbox_runtime.manifests.units import print_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.cli.doctor.facts import Disk, Facts, Issued, Place, Proof, Source
    from sandbox_runtime.cli.doctor.finding import Finding

_OTHERS, _OTHERS_WRITE, _STICKY = 0o077, 0o002, 0o1000
_PLENTY = 4
"""Times the headroom that a disk should have when one begins."""


def of_broker(facts: Facts) -> Iterator[Finding]:
    """Yield what is to be said of this broker's own things."""
    yield _clash(facts.clash)
    yield _uids(facts)
    yield _validators(facts.validators_trouble)
    yield housing.finding(facts.housed)
    yield _private("state", facts.state, facts.kernel.uid)
    if facts.keys.there:
        yield _private("keys", facts.keys, facts.kernel.uid)
    if facts.issued.place.there or facts.issued.trouble or facts.issued.ending:
        yield from _issued(facts.issued, facts.kernel.uid)
    yield _doorway(facts.socket_folder)
    yield _disk(facts.disk)
    yield from _manifests(facts)
    yield from map(_source, facts.sources)
    yield ok("broker", "one is running on this state" if facts.running else "none is running")
    if facts.engine is None:
        yield wrong("proof", "no container could be brought up", "mend the engine first")
    else:
        yield _proof(facts.proof)


def _clash(version: str | None) -> Finding:
    if version is None:
        return ok("name", "no other package brings `sandbox_runtime`")
    said = f"the package `sandbox-runtime` {version} shares our import name"
    mend = "`pip uninstall sandbox-runtime`, and then install `sandbox-broker[server]` again"
    return wrong("name", said, mend)


def _uids(facts: Facts) -> Finding:
    first, last = facts.validator_uids[0], facts.validator_uids[-1]
    if not facts.accounts:
        return ok("validator uids", f"{first} to {last} are nobody's")
    taken = ", ".join(f"{uid} is {name}" for uid, name in facts.accounts.items())
    mend = "set `validators.first_uid` to where nobody has any"
    return wrong("validator uids", taken, mend)


def _validators(trouble: str | None) -> Finding:
    if trouble is None:
        return ok("validators", "a worker came up, and the kernel shows that it holds no power")
    mend = "run the broker as root, with all of root's capabilities"
    return wrong("validators", trouble, mend)


def _private(about: str, place: Place, uid: int) -> Finding:
    if not place.there:
        return ok(about, f"{place.path} will be made when a broker starts")
    if not place.folder or place.owner != uid:
        mend = f"`chown` it to the broker's user, or set another `state_dir`: {place.path}"
        return wrong(about, f"{place.path} is no directory of uid {uid}", mend)
    if place.mode & _OTHERS:
        said = f"others may enter {place.path} (mode {place.mode:o})"
        return wrong(about, said, f"chmod 700 {place.path}; renew keys that others could read")
    return ok(about, f"{place.path} is ours alone")


def _issued(issued: Issued, uid: int) -> Iterator[Finding]:
    yield _private("identity", issued.place, uid)
    if issued.trouble is not None:
        mend = "`chmod -R go=` the state's `identity`; what others could read, issue anew"
        yield wrong("identities", issued.trouble, mend)
    elif issued.ending:
        mend = "`sandbox-broker identity issue` new ones before that"
        yield warning("identities", f"end within a week: {', '.join(issued.ending)}", mend)
    else:
        yield ok("identities", f"{issued.valid} count, none ends within a week")


def _doorway(place: Place) -> Finding:
    if not place.there:
        return ok("socket", f"{place.path} will be made when a broker starts")
    if place.mode & _OTHERS_WRITE and not place.mode & _STICKY:
        said = f"anybody may put another socket into {place.path} (mode {place.mode:o})"
        return wrong("socket", said, f"chmod o-w {place.path}")
    return ok("socket", f"only its owner may put sockets into {place.path}")


def _disk(disk: Disk) -> Finding:
    needed = disk.headroom + max(disk.reserve - disk.reserved, 0)
    said = f"{print_size(disk.free >> 20 << 20 or 1)} free, {print_size(needed)} needed"
    if disk.free < needed:
        return wrong("disk", said, "make room, or set `state_dir` on another disk")
    if disk.free < _PLENTY * needed:
        return warning("disk", said, "make room: the log only grows")
    return ok("disk", said)


def _manifests(facts: Facts) -> Iterator[Finding]:
    if facts.manifests_trouble is not None:
        mend = f"`sandbox-broker manifest check {facts.manifests}`"
        yield wrong("manifests", facts.manifests_trouble, mend)
        return
    yield ok("manifests", f"{facts.manifests} loads, with {facts.tools} tools")
    if facts.engine is None:
        return
    if facts.images_trouble is not None:
        mend = f"`sandbox-broker tool build --manifests {facts.manifests}`"
        yield wrong("images", facts.images_trouble, mend)
    else:
        yield ok("images", "the engine has what the lock names")


def _source(source: Source) -> Finding:
    about = f"data `{source.name}`"
    if source.path is None:
        mend = f"add `data: {{{source.name}: /its/path}}` to the settings"
        return wrong(about, f"`{source.tool}` mounts it, and no setting says where it lies", mend)
    if not source.readable:
        said = f"the containers' user cannot read {source.path}"
        return wrong(about, said, f"chmod o+r {source.path}")
    return ok(about, f"{source.path} can be read by `{source.tool}`")


def _proof(proof: Proof) -> Finding:
    if proof.image is None:
        mend = "`make base`, then `sandbox-broker tool build`"
        return wrong("proof", proof.trouble or "the engine has no image to try", mend)
    if proof.trouble is not None or proof.walls is None:
        mend = "what differs is named; no call runs until engine and kernel apply it"
        return wrong("proof", proof.trouble or f"the container ended as {proof.outcome}", mend)
    if proof.outcome != "OK":
        said = f"walls stood, and the container ended as {proof.outcome}"
        return wrong("proof", said, "try a tool: `sandbox-broker tool try`")
    took = f"in {proof.took_ms:.0f} ms"
    return ok("proof", f"a container answered {took}; its walls were read back: {proof.walls[:16]}")
