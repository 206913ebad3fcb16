"""`sandbox-broker log`: read and verify the action log, without a broker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import orjson

from sandbox_runtime import records
from sandbox_runtime.audit.reading import Stored, body, stored
from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.call import CheckedResult, Closed
from sandbox_runtime.cli.options import json_option, state_option
from sandbox_runtime.cli.output import FAILED, Failure, Output
from sandbox_runtime.entries import DecisionBody
from sandbox_runtime.evidence import layout
from sandbox_runtime.ledger import SYSTEM, Brought, Files

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.records import Record
    from sandbox_runtime.strict import Json, Strict


@click.group("log")
def command() -> None:
    """Read and verify the action log."""


@command.command("list")
@state_option
@json_option
@click.option("--task", help="Only this task's records.")
@click.option("--call", help="Only this call's records.")
@click.option("--kind", help="Only records of this kind, `call.decided` for one.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
def list_(
    state: Path, as_json: bool, task: str | None, call: str | None, kind: str | None, last: int | None
) -> None:
    """List records, a line each."""
    wanted = {"task": task, "call": call, "kind": kind}
    asked = {key: value for key, value in wanted.items() if value is not None}
    found = [
        one
        for one in stored(state)
        if all(getattr(one.record, key, None) == value for key, value in asked.items())
    ]
    shown = found[-last:] if last is not None else found
    output = Output(json=as_json)
    output.result([_plain(one) for one in shown])
    output.table(("seq", "time (UTC)", "kind", "task", "call", "what"), map(_row, shown))


@command.command()
@state_option
@json_option
@click.argument("sequence", type=click.IntRange(min=0))
def show(state: Path, as_json: bool, sequence: int) -> None:
    """Show one record whole, with its body where the keys are at hand."""
    one = next(stored(state, sequence, sequence), None)
    if one is None:
        raise Failure(f"the log holds no record `{sequence}`", "`sandbox-broker log list` shows them")
    opened = _body(state, one.record)
    output = Output(json=as_json)
    output.result({**_plain(one), "opened_body": opened})
    output.table(("field", "value"), _fields(_plain(one)))
    if opened is not None:
        output.line("\n[bold]body[/]")
        output.table(("field", "value"), _fields(opened))


@command.command("verify")
@state_option
@json_option
def verify_(state: Path, as_json: bool) -> None:
    """Verify every byte, every body and the order of events."""
    report = verify(state)
    output = Output(json=as_json)
    problem = report.problem
    output.result(
        {
            "verified": problem is None,
            "records": report.records,
            "segments": report.segments,
            "bytes": report.bytes,
            "bodies_opened": report.opened,
            "bodies_erased": report.erased,
            "unfinished_bytes": report.unfinished,
            "problem": None
            if problem is None
            else {
                "what": problem.what,
                "file": problem.file,
                "offset": problem.offset,
                "sequence": problem.sequence,
            },
        }
    )
    if problem is not None:
        place = f"{problem.file} at byte {problem.offset}, " if problem.file else ""
        if as_json:
            raise SystemExit(FAILED)
        raise Failure(
            f"{problem.what}: {place}record {problem.sequence}",
            "keep the log as it is; compare it with a copy from before",
        )
    output.line(
        f"[bold green]verified[/]: {report.records} records, {report.opened} bodies, "
        f"{report.bytes} bytes in {report.segments} segments"
    )


def _plain(one: Stored) -> dict[str, Json]:
    leaf: dict[str, Json] = orjson.loads(one.leaf)
    return {"sequence": one.sequence, **leaf}


def _row(one: Stored) -> tuple[object, ...]:
    record = one.record
    at = datetime.fromtimestamp(record.at / 1_000_000, UTC)
    return (
        one.sequence,
        at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        record.kind,
        getattr(record, "task", ""),
        getattr(record, "call", ""),
        _what(record),
    )


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
    model = _BODIES.get(record.kind)
    refs = records.bodies(record)
    if model is None or not refs:
        return None
    opened = body(layout.bodies(state), getattr(record, "task", SYSTEM), refs[0], model)
    return opened.model_dump(mode="json") if opened is not None else {"erased": True}


_BODIES: dict[str, type[Strict]] = {
    "manifest.loaded": Files,
    "task.opened": Brought,
    "call.decided": DecisionBody,
    "call.outcome": CheckedResult,
    "call.closed": Closed,
}
