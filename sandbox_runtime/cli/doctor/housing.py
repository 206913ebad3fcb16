"""Can the files of tasks be had on this machine?

Law: proved by one workspace, made, looked at and removed again where a broker's would lie.
"""

from __future__ import annotations

import grp
import pwd
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sandbox_runtime.cli.doctor.facts import Housed
from sandbox_runtime.cli.doctor.finding import Finding, ok, warning, wrong
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.workspaces import Place, Workspaces

if TYPE_CHECKING:
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.server.settings import Workspaces as Users

_SMALLEST = Wanted.model_validate({"size": "1Mi"})


async def housed(users: Users, nearest: Path, tree: Catalogue | None) -> Housed:
    """Make a workspace below `nearest`, a folder that is there, and say how it went."""
    uids = range(users.first_uid, users.first_uid + users.count)
    tasks = tree.tasks.values() if tree is not None else ()
    return Housed(
        wanted=any(task.manifest.spec.workspace is not None for task in tasks),
        first_uid=uids.start,
        last_uid=uids.stop - 1,
        accounts=_accounts(uids),
        trouble=await _trouble(uids, nearest, users.headroom),
    )


def finding(seen: Housed) -> Finding:
    """Return what is to be said of it. Who asks for no files can do without."""
    worse = wrong if seen.wanted else warning
    if seen.trouble is not None:
        mend = "run the broker as root, on a kernel with loop devices and with e2fsprogs"
        return worse("workspaces", seen.trouble, mend)
    if seen.accounts:
        taken = ", ".join(f"{uid} is {name}" for uid, name in seen.accounts.items())
        return worse("workspaces", taken, "set `workspaces.first_uid` to where nobody has any")
    said = f"one was mounted as asked, and {seen.first_uid} to {seen.last_uid} are nobody's"
    return ok("workspaces", said)


async def _trouble(uids: range, nearest: Path, headroom: int) -> str | None:
    try:
        with TemporaryDirectory(prefix=".doctor-", dir=nearest) as folder:
            await _proved(Place(folder=_resolved(folder), uids=uids, headroom=headroom))
    except (SandboxUnavailable, OSError) as error:
        return str(error)
    return None


async def _proved(place: Place) -> None:
    workspaces, name = Workspaces(place, {}), secrets.token_hex(4)
    await workspaces.make(name, _SMALLEST)
    try:
        await workspaces.of(name)
    finally:
        await workspaces.end(name)


def _resolved(folder: str) -> Path:
    return Path(folder).resolve()


def _accounts(uids: range) -> dict[int, str]:
    """Return who of this machine's own has these ids, as users or as groups."""
    groups = {one.gr_gid: f"group `{one.gr_name}`" for one in grp.getgrall()}
    users = {one.pw_uid: f"user `{one.pw_name}`" for one in pwd.getpwall()}
    return {uid: name for uid, name in sorted({**groups, **users}.items()) if uid in uids}
