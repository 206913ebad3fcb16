"""`sandbox-broker log`: read and verify the action log, without a broker or beside one."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import orjson
from pydantic import ValidationError

from sandbox_runtime import records
from sandbox_runtime.audit.reading import Stored, body
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import CheckedResult, Closed
from sandbox_runtime.cli.failing import failure
from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import FAILED, FAULT, USAGE, Failure, Output
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import KeysRefused
from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.ledger import SYSTEM, Brought, Files
from sandbox_runtime.manifests.problems import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sandbox_runtime.evidence.verify import Problem, Report
    from sandbox_runtime.records import Record
    from sandbox_runtime.strict import Json, Strict

_LINE = "{:>8}  {:<23}  {:<16}  {:<18}  {:<32}  {}"


@click.group("log")
def command() -> None:
    """Read and verify the action log."""


@command.command("list")
@state_option
@click.option("--task", help="Only this task's records.")
@click.option("--call", help="Only this call's records.")
@click.option("--kind", help="Only records of this kind, `call.decided` for one.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@speaks
def list_(
    output: Output,
    *,
    state: Path,
    task: str | None,
    call: str | None,
    kind: str | None,
    last: int | None,
) -> None:
    """List records, a line each, as they are read."""
    _log_under(state)
    given = {"task": task, "call": call, "kind": kind}
    found = _found(state, {key: value for key, value in given.items() if value is not None}, last)
    if output.json:
        output.listing("records", map(_plain, found))
        return
    output.line(f"[bold]{_LINE.format('seq', 'time (UTC)', 'kind', 'task', 'call', 'what')}[/]")
    for one in found:
        output.plain(_row(one))


@command.command()
@state_option
@click.argument("sequence", type=click.IntRange(min=0))
@speaks
def show(output: Output, state: Path, sequence: int) -> None:
    """Show one record whole, with its body where the keys are at hand."""
    _log_under(state)
    one = next(_parsed(layout.reader(state).read(sequence, sequence)), None)
    if one is None:
        mend = "`sandbox-broker log list --last 1` shows the newest"
        raise Failure(f"the log holds no record {sequence}", mend)
    opened = _body(state, one.record)
    output.result({**_plain(one), "opened_body": opened})
    output.table(("field", "value"), _fields({**_plain(one), "at": f"{_time(one)} UTC"}))
    if opened is not None:
        output.line("\n[bold]body[/]")
        output.table(("field", "value"), _fields(opened))


@command.command("verify")
@state_option
@speaks
def verify_(output: Output, state: Path) -> None:
    """Verify every byte, every body and the order of events."""
    _log_under(state)
    report = verify(state)
    if report.problem is not None:
        raise _damaged(report, report.problem)
    output.result({"verified": True, **_walked(report)})
    output.line(
        f"[bold green]verified[/]: {report.records} records, {report.opened} bodies"
        f" ({report.erased} more are erased), {report.bytes} bytes in {report.segments} segments"
    )


def _log_under(state: Path) -> None:
    """See that there is a log to read; raise `Failure`."""
    try:
        next(Kind.RECORDS.directory(layout.log_directory(state)).iterdir(), None)
    except (FileNotFoundError, NotADirectoryError) as error:
        mend = "name the broker's state directory with --state"
        raise Failure(f"there is no log under `{state}`", mend, USAGE) from error
    except PermissionError as error:
        mend = "run this as the broker's own user"
        raise Failure(f"the log under `{state}` is not yours to read", mend, FAULT) from error


def _found(state: Path, asked: dict[str, str], last: int | None) -> Iterable[Stored]:
    """Yield the records asked for. Of those that are not, few are looked at closely."""
    marks = [orjson.dumps(value) for value in asked.values()]
    near = (one for one in layout.reader(state).read() if all(mark in one[1] for mark in marks))
    if not asked:
        return _parsed(near if last is None else _newest(near, last))
    exact = (one for one in _parsed(near) if _is(one.record, asked))
    return exact if last is None else _newest(exact, last)


def _newest(items: Iterable[Any], last: int) -> Iterator[Any]:
    yield from deque(items, maxlen=last)


def _parsed(leaves: Iterable[tuple[int, bytes]]) -> Iterator[Stored]:
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


def _is(record: Record, asked: dict[str, str]) -> bool:
    return all(getattr(record, key, None) == value for key, value in asked.items())


def _plain(one: Stored) -> dict[str, Json]:
    leaf: dict[str, Json] = orjson.loads(one.leaf)
    return {"sequence": one.sequence, **leaf}


def _row(one: Stored) -> str:
    record = one.record
    task, call = getattr(record, "task", ""), getattr(record, "call", "")
    cells = (one.sequence, _time(one), record.kind, task, call, _what(record))
    row = _LINE.format(*cells).rstrip()
    return row if row.isprintable() else printable(row)


def _time(one: Stored) -> str:
    at = datetime.fromtimestamp(one.record.at / 1_000_000, UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _what(record: Record) -> str:
    match record:
        case records.CallDecided():
            verdict = "permitted" if record.permitted else f"refused {record.reason}"
            checked = " (checked only)" if record.checked_only else ""
            return f"{verdict}{checked} by {record.rule}"
        case records.CallOutcome():
            return f"{record.outcome} after {record.wall_ms:.0f} ms"
        case records.TaskOpened():
            return f"{record.manifest} by {record.subject}"
        case records.AuthRefused():
            return f"{record.count} attempts without a valid credential"
        case _:
            return ""


def _fields(plain: dict[str, Json]) -> list[tuple[str, str]]:
    return [
        (key, value if isinstance(value, str) else orjson.dumps(value).decode())
        for key, value in plain.items()
    ]


def _body(state: Path, record: Record) -> dict[str, Json] | None:
    """Return the record's body, or why it cannot be shown; None where it has none."""
    model = _BODIES.get(record.kind)
    refs = records.bodies(record)
    if model is None or not refs:
        return None
    try:
        opened = body(layout.bodies(state), getattr(record, "task", SYSTEM), refs[0], model)
    except KeysRefused as refused:
        return {"sealed": str(refused)}
    return opened.model_dump(mode="json") if opened is not None else {"erased": True}


_BODIES: dict[str, type[Strict]] = {
    "manifest.loaded": Files,
    "task.opened": Brought,
    "call.decided": DecisionBody,
    "call.outcome": CheckedResult,
    "call.closed": Closed,
}


def _walked(report: Report) -> dict[str, Json]:
    return {
        "records": report.records,
        "segments": report.segments,
        "bytes": report.bytes,
        "bodies_opened": report.opened,
        "bodies_erased": report.erased,
        "unfinished_bytes": report.unfinished,
    }


def _damaged(report: Report, problem: Problem) -> Failure:
    place = f"{problem.file} at byte {problem.offset}, " if problem.file else ""
    where: dict[str, Json] = {
        "what": problem.what,
        "file": problem.file,
        "offset": problem.offset,
        "sequence": problem.sequence,
    }
    return Failure(
        f"{place}record {problem.sequence}: {problem.what}",
        "keep the log as it is, and compare it with a copy from before",
        FAILED,
        {"verified": False, "problem": where, **_walked(report)},
    )
