"""How does a command read the log?

Law: what cannot be read ends the command in words, after everything before it was shown.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sandbox_runtime import records
from sandbox_runtime.audit.gathering import Stored
from sandbox_runtime.cli.failing import failure
from sandbox_runtime.cli.output import FAULT, USAGE, Failure
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.frames import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sandbox_runtime.audit.wanted import Wanted
    from sandbox_runtime.records import Record


def log_under(state: Path) -> None:
    """See that there is a log to read; raise `Failure`."""
    try:
        next(Kind.RECORDS.directory(layout.log_directory(state)).iterdir(), None)
    except (FileNotFoundError, NotADirectoryError) as error:
        mend = "name the broker's state directory with --state"
        raise Failure(f"there is no log under `{state}`", mend, USAGE) from error
    except PermissionError as error:
        mend = "run this as the broker's own user"
        raise Failure(f"the log under `{state}` is not yours to read", mend, FAULT) from error


def found(state: Path, wanted: Wanted, last: int | None) -> Iterable[Stored]:
    """Yield the records asked for. Of those that are not, few are looked at closely."""
    marks = wanted.marks
    near = (one for one in layout.reader(state).read() if all(mark in one[1] for mark in marks))
    exact = (one for one in parsed(near) if wanted.takes(one.record))
    return exact if last is None else newest(exact, last)


def newest(items: Iterable[Any], last: int) -> Iterator[Any]:
    """Yield the last so many."""
    yield from deque(items, maxlen=last)


def of_task(state: Path, task: str) -> list[Stored]:
    """Return one task's records."""
    mark = task.encode()
    near = (one for one in layout.reader(state).read() if mark in one[1])
    return [one for one in parsed(near) if getattr(one.record, "task", None) == task]


def parsed(leaves: Iterable[tuple[int, bytes]]) -> Iterator[Stored]:
    """Yield records; raise `Failure` at the first that cannot be read."""
    try:
        for sequence, leaf in leaves:
            yield Stored(sequence, leaf, _record(sequence, leaf))
    except Fault as fault:
        raise failure(fault) from fault


def _record(sequence: int, leaf: bytes) -> Record:
    try:
        return records.parse(leaf)
    except ValidationError as bad:
        mend = "read it with the version that wrote it; `sandbox-broker log verify` says more"
        raise Failure(f"record {sequence} is of no kind known here", mend, FAULT) from bad
