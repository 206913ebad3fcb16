"""Which files lie in a folder?

Law: what is there is said as what it is. A link is named and not followed.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from beneath import FOLDER, answer, folder, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 16
KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))


def listed(root: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what lies in a folder, in order, and whether there is more."""
    names, most = parts(arguments["path"]), arguments["most"]
    with folder(root, names) as at:
        found = entries(at, names, deep=arguments["deep"])
        some = list(islice(found, most))
        return {"entries": some, "more": next(found, None) is not None}


def entries(at: int, names: tuple[str, ...], *, deep: bool) -> Iterator[dict[str, Any]]:
    """Yield what lies in an open folder; with `deep`, what lies below it as well."""
    for name in sorted(os.listdir(at)):
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
        path = "/".join((*names, name)).encode("utf-8", "replace").decode()
        kind = next((word for test, word in KINDS if test(status.st_mode)), "other")
        size = {"bytes": status.st_size} if kind == "file" else {}
        yield {"path": path, "kind": kind, **size}
        if deep and kind == "folder" and len(names) < DEEPEST:
            with below(at, name) as inner:
                yield from entries(inner, (*names, name), deep=True)


@contextmanager
def below(at: int, name: str) -> Iterator[int]:
    """Open a folder within an open one."""
    inner = os.open(name, FOLDER, dir_fd=at)
    try:
        yield inner
    finally:
        os.close(inner)


if __name__ == "__main__":
    answer(listed)
