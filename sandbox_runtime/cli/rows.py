"""How does one record stand on one line?

Law: a line holds what the leaf says, and is printable whatever that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sandbox_runtime import records
from sandbox_runtime.cli.wishes import clock
from sandbox_runtime.manifests.problems import printable

if TYPE_CHECKING:
    from sandbox_runtime.audit.gathering import Stored
    from sandbox_runtime.records import Record
    from sandbox_runtime.strict import Json

_LINE = "{:>8}  {:<23}  {:<16}  {:<18}  {:<32}  {}"
HEAD = _LINE.format("seq", "time (UTC)", "kind", "task", "call", "what")


def plain(one: Stored) -> dict[str, Json]:
    """Return a record as programs read it: its leaf, and its place in the log."""
    leaf: dict[str, Json] = orjson.loads(one.leaf)
    return {"sequence": one.sequence, **leaf}


def row(one: Stored) -> str:
    """Return a record as people read it, under `HEAD`."""
    record = one.record
    task = getattr(record, "task", "")
    call = getattr(record, "call", getattr(record, "output_id", ""))
    cells = (one.sequence, clock(record.at), record.kind, task, call, _what(record))
    line = _LINE.format(*cells).rstrip()
    return line if line.isprintable() else printable(line)


def verdict(decided: records.CallDecided | records.OutputChecked) -> str:
    """Return the decision in a few words."""
    said = "permitted" if decided.permitted else f"refused {decided.reason}"
    return f"{said} (checked only)" if getattr(decided, "checked_only", False) else said


def opener(opened: records.TaskOpened) -> str:
    """Return who opened a task, and in whose place."""
    if opened.delegate is None:
        return opened.subject
    return f"{opened.delegate} on behalf of {opened.subject}"


def _what(record: Record) -> str:
    match record:
        case records.CallDecided() | records.OutputChecked():
            return f"{verdict(record)} by {record.rule}"
        case records.CallOutcome():
            return f"{record.outcome} after {record.wall_ms:.0f} ms"
        case records.FilePut() | records.FileGot() | records.FileKept():
            return f"{record.size} bytes"
        case records.FileHeldBack():
            return record.code
        case records.AuthRefused() | records.IdentityIssued() | records.IdentityRevoked():
            return _of_callers(record)
        case _:
            return _of_task(record)


def _of_task(record: Record) -> str:
    match record:
        case records.TaskOpened():
            return f"{record.manifest} by {opener(record)}"
        case records.TaskClosed() | records.TaskInput():
            return f"by {record.subject}"
        case records.TaskExtended():
            return f"by {record.subject}, until {clock(record.expires_at)}"
        case records.ModelCalled():
            claimed = record.claimed
            return f"{claimed.provider}/{claimed.model}, {claimed.latency_ms:.0f} ms, it claims"
        case _:
            return ""


def _of_callers(
    record: records.AuthRefused | records.IdentityIssued | records.IdentityRevoked,
) -> str:
    match record:
        case records.AuthRefused():
            return f"{record.count} attempts without a valid credential"
        case records.IdentityIssued():
            return f"{record.issued_as} {record.identity} for {record.subject}"
        case records.IdentityRevoked():
            return f"{record.identity}: {record.cause}"
