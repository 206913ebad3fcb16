"""How are all facts gathered that a broker with these settings depends on?

Law: one thing that cannot be had keeps no other from being looked at.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime import records
from sandbox_runtime.cli.doctor import asking, housing, issuing, machine
from sandbox_runtime.cli.doctor.facts import Engine, Facts, Source
from sandbox_runtime.errors import EvidenceUnavailable, Fault, SandboxUnavailable
from sandbox_runtime.evidence import layout
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.sandbox import images, lock
from sandbox_runtime.sandbox.plan import GID, UID
from sandbox_runtime.validators import Limits, Validators
from sandbox_runtime.validators.process import ValidatorsUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.server.settings import Settings

_CLASHING = "sandbox-runtime"
"""A distribution of others', which brings a package of our name."""


async def facts(settings: Settings) -> Facts:
    """Look at everything; bring up one worker, one workspace and one container."""
    state, socket = Path(settings.state_dir), Path(settings.engine)
    engine, engine_trouble = await _engine(socket)
    tree, manifests_trouble = _tree(Path(settings.manifests))
    locked, images_trouble = _images(settings.lock, tree)
    workers = settings.validators
    uids = tuple(range(workers.first_uid, workers.first_uid + workers.count))
    return Facts(
        engine=engine,
        engine_socket=str(socket),
        engine_trouble=engine_trouble,
        kernel=machine.kernel(),
        clock=machine.clock(_newest(state)),
        disk=machine.disk(state, settings.evidence),
        state=machine.place(state),
        keys=machine.place(layout.keys_directory(state)),
        socket_folder=machine.place(Path(settings.listen.socket).parent),
        issued=issuing.seen(settings),
        running=machine.is_held(layout.log_directory(state) / "lock"),
        validator_uids=uids,
        validators_trouble=await _validators(workers.first_uid),
        accounts=machine.accounts(uids),
        housed=await housing.housed(settings.workspaces, machine.nearest(state), tree),
        clash=machine.installed(_CLASHING),
        tools=len(tree.tools) if tree is not None else 0,
        manifests=settings.manifests,
        manifests_trouble=manifests_trouble,
        images_trouble=images_trouble,
        sources=tuple(_sources(tree, settings.data)) if tree is not None else (),
        proof=await asking.proven(socket, locked),
    )


async def _engine(socket: Path) -> tuple[Engine | None, str | None]:
    try:
        return await asking.described(socket), None
    except SandboxUnavailable as error:
        return None, str(error)


async def _validators(uid: int) -> str | None:
    """Bring up one worker; say why it would not be one."""
    validators = Validators(Limits(workers=1, first_uid=uid))
    try:
        await validators.start()
    except ValidatorsUnavailable as error:
        return str(error)
    finally:
        await validators.aclose()
    return None


def _tree(manifests: Path) -> tuple[Catalogue | None, str | None]:
    try:
        return load_tree(manifests, shown=manifests), None
    except ManifestErrors as errors:
        return None, str(errors)
    except OSError as error:
        return None, f"{manifests} cannot be read: {error.strerror}"


def _images(path: Path, tree: Catalogue | None) -> tuple[tuple[str, ...], str | None]:
    """Return the images that the lock names, and what is wrong with it."""
    try:
        made = lock.read(path)
    except (Fault, OSError) as error:
        return (), str(error)
    named = (*(entry.image for entry in made.tools.values()), made.base)
    unbuilt = [name for name in (tree.tools if tree is not None else ()) if name not in made.tools]
    if unbuilt:
        return named, f"no image is locked for {', '.join(unbuilt)}"
    try:
        images.verify(made)
    except Fault as error:
        return named, str(error)
    return named, None


def _newest(state: Path) -> int | None:
    """Return the time of the log's newest record."""
    try:
        leaf = layout.reader(state).newest()
        return records.parse(leaf).at if leaf is not None else None
    except (EvidenceUnavailable, ValueError):  # `log verify` says more
        return None


def _sources(tree: Catalogue, data: Mapping[str, str]) -> Iterator[Source]:
    for tool in tree.tools.values():
        for mount in tool.manifest.spec.data:
            path = data.get(mount.name)
            readable = path is not None and _readable(Path(path).stat())
            yield Source(name=mount.name, tool=tool.name, path=path, readable=readable)


def _readable(status: os.stat_result) -> bool:
    """Say whether a container's user may read the file: a mount shows it without its folders."""
    if status.st_uid == UID:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid == GID:
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)
