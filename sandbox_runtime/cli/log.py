"""`sandbox-broker log`: read and verify the action log, without a broker or beside one."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import click
import orjson

from sandbox_runtime import records
from sandbox_runtime.audit.reading import body
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import CheckedResult, Closed
from sandbox_runtime.cli.log_remote import ending, listed, may_connect
from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import FAILED, FAULT, Failure, Output
from sandbox_runtime.cli.reading import found, log_under, parsed
from sandbox_runtime.cli.rows import HEAD, plain, row
from sandbox_runtime.cli.wishes import clock, record_wishes
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import KeysRefused
from sandbox_runtime.ledger import SYSTEM, Brought, Files, Said
from sandbox_runtime.output_entries import OutputBody

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox_runtime.audit.gathering import Stored
    from sandbox_runtime.audit.wanted import Wanted
    from sandbox_runtime.cli.connecting import Connection
    from sandbox_runtime.evidence.verify import Problem, Report
    from sandbox_runtime.records import Record
    from sandbox_runtime.strict import Json, Strict

_PAUSE = 0.2
"""Seconds between two looks for what a broker wrote."""


@click.group("log")
def command() -> None:
    """Read and verify the action log."""


@command.command("list")
@state_option
@may_connect
@record_wishes
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@speaks
def list_(
    output: Output, *, state: Path, remote: Connection | None, wanted: Wanted, last: int | None
) -> None:
    """List records, a line each, as they are read."""
    if remote is None:
        log_under(state)
    listing = found(state, wanted, last) if remote is None else listed(remote, wanted, last)
    if output.json:
        output.listing("records", map(plain, listing))
        return
    output.line(f"[bold]{HEAD}[/]")
    for one in listing:
        output.plain(row(one))


@command.command()
@state_option
@may_connect
@record_wishes
@click.option("--last", type=click.IntRange(min=1), default=10, show_default=True, help="So many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what a running broker writes.")
@speaks
def tail(
    output: Output,
    *,
    state: Path,
    remote: Connection | None,
    wanted: Wanted,
    last: int,
    follow: bool,
) -> None:
    """Show the newest records; `--json` writes one JSON document a line."""
    if remote is None:
        log_under(state)
    with suppress(KeyboardInterrupt):
        newest = (
            _ending(state, wanted, last, follow=follow)
            if remote is None
            else ending(remote, wanted, last, follow=follow)
        )
        if output.json:
            output.stream(map(plain, newest))
        for one in newest:
            output.plain(row(one))
            sys.stdout.flush()


@command.command()
@state_option
@click.argument("sequence", type=click.IntRange(min=0))
@speaks
def show(output: Output, state: Path, sequence: int) -> None:
    """Show one record whole, with its body where the keys are at hand."""
    log_under(state)
    one = next(parsed(layout.reader(state).read(sequence, sequence)), None)
    if one is None:
        mend = "`sandbox-broker log list --last 1` shows the newest"
        raise Failure(f"the log holds no record {sequence}", mend)
    opened = _body(state, one.record)
    output.result({**plain(one), "opened_body": opened})
    output.table(("field", "value"), _fields({**plain(one), "at": f"{clock(one.record.at)} UTC"}))
    if opened is not None:
        output.line("\n[bold]body[/]")
        output.table(("field", "value"), _fields(opened))


@command.command("verify")
@state_option
@click.option("--sealed", is_flag=True, help="Without the keys: leave the bodies closed.")
@speaks
def verify_(output: Output, state: Path, sealed: bool) -> None:  # noqa: FBT001 - click's way
    """Verify every byte, every body and the order of events."""
    log_under(state)
    try:
        report = verify(state, sealed=sealed)
    except KeysRefused as refused:
        mend = "run this where the keys are, or verify what needs none with --sealed"
        raise Failure(str(refused), mend, FAULT) from refused
    if report.problem is not None:
        raise _damaged(report, report.problem)
    output.result({"verified": True, "sealed": sealed, **_walked(report)})
    bodies = f"{report.opened} bodies ({report.erased} more are erased)"
    output.line(
        f"[bold green]verified[/]: {report.records} records,"
        f" {'no body opened' if sealed else bodies},"
        f" {report.bytes} bytes in {report.segments} segments"
    )


def _ending(state: Path, wanted: Wanted, last: int, *, follow: bool) -> Iterator[Stored]:
    """Yield the newest records asked for, and then, if so wished, those that come."""
    kept: deque[Stored] = deque(maxlen=last)
    coming = 0
    for one in parsed(layout.reader(state).read()):
        coming = one.sequence + 1
        if wanted.takes(one.record):
            kept.append(one)
    yield from kept
    if follow:
        later = parsed(layout.reader(state).follow(coming, lambda: time.sleep(_PAUSE)))
        yield from (one for one in later if wanted.takes(one.record))


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
    "task.input": Said,
    "call.decided": DecisionBody,
    "call.outcome": CheckedResult,
    "call.closed": Closed,
    "output.checked": OutputBody,
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
