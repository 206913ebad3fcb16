"""`sandbox-broker calls watch|cancel`: a call that runs at a broker now.

Law: what a tool says reaches the terminal only cleaned, as it comes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sandbox_runtime.cli.call_end import document, exit_with, show
from sandbox_runtime.cli.connecting import Connection, connects, task_token_option
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import FAILED, FAULT, Failure
from sandbox_runtime.client import (
    CallEnd,
    CallEvent,
    CallLog,
    CallProgress,
    CallStarted,
    CallStatus,
    CallWithheld,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.cli.output import Output


@click.command("watch")
@click.argument("task")
@click.argument("call")
@task_token_option
@speaks
@connects
def watch_(
    output: Output, connection: Connection, *, task: str, call: str, task_token: str
) -> None:
    """Show what CALL of TASK does while it runs, and how it ends.

    `--json` writes one document a line. Hanging up cancels nothing.
    """
    with connection.task(task, task_token) as opened:
        ends = [event for event in _shown(output, opened.watch(call)) if isinstance(event, CallEnd)]
    if not ends:
        raise Failure("the broker hung up before the call had ended", "watch it again", FAULT)
    exit_with(ends[-1])


def _shown(output: Output, events: Iterator[CallEvent]) -> Iterator[CallEvent]:
    """Yield events, each after it was shown."""
    for event in events:
        if output.json:
            output.stream([plain(event)])
        else:
            _print(output, event)
        yield event


def plain(event: CallEvent) -> dict[str, Any]:
    """Return an event for a program."""
    match event:
        case CallStarted():
            return {"event": "started", "missed_bytes": event.missed_bytes}
        case CallProgress():
            return {"event": "progress", "value": event.value}
        case CallLog():
            return {"event": "log", "stream": event.stream, "text": event.text}
        case CallWithheld():
            return {"event": "withheld", "code": event.code}
        case CallEnd():
            return {"event": "ended", **document(event, {})}


def _print(output: Output, event: CallEvent) -> None:
    match event:
        case CallStarted(missed_bytes=missed):
            output.line("[bold]runs[/]" + (f", {missed} bytes were said before" if missed else ""))
        case CallProgress():
            output.block("progress", json.dumps(event.value, ensure_ascii=False))
        case CallLog():
            output.block(event.stream, event.text)
        case CallWithheld():
            output.line(f"[bold yellow]withheld[/] {event.code}")
        case CallEnd():
            show(output, event, {})


@click.command("cancel")
@click.argument("task")
@click.argument("call")
@task_token_option
@speaks
@connects
def cancel_(
    output: Output, connection: Connection, *, task: str, call: str, task_token: str
) -> None:
    """Kill the container of CALL of TASK. One that has ended stays as it is."""
    with connection.task(task, task_token) as opened:
        status = opened.cancel(call)
    output.result({"task": task, "call_id": call, **_end_of(status)})
    output.plain(f"{call} {_end_of(status)['outcome'] or status.state}")
    if status.end is None:
        raise SystemExit(FAILED)


def _end_of(status: CallStatus) -> dict[str, Any]:
    return {
        "state": status.state,
        "outcome": status.end.outcome if status.end is not None else None,
    }
