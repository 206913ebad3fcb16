"""What do operators learn of a request that failed through us?

Law: where it failed and with which exceptions; what an exception of a library's says may hold
a caller's values and is left out.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 12
"""Frames of each exception that are told, the innermost."""


def described(error: BaseException) -> dict[str, object]:
    """Return what diagnostics say of `error` and what caused it."""
    return {"chain": [_one(each) for each in _chain(error)]}


def _one(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-_DEPTH:]
    return {
        "error": type(error).__qualname__,
        "says": str(error) if isinstance(error, Fault) else None,
        "where": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    }


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
