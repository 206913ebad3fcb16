"""`sandbox-broker file`: bring files into an open task's workspace, and get them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.connecting import Connection, connects, task_token_option
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import USAGE, Failure
from sandbox_runtime.cli.wishes import day

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.client import FileEntry
    from sandbox_runtime.client.files import Progress
    from sandbox_runtime.strict import Json

_SILENT = 4 << 20
"""Bytes up to which nobody needs to be told how far a transfer is."""


@click.group("file")
def command() -> None:
    """Bring files into a task's workspace, list them, get them out."""


@command.command()
@click.argument("task")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("path", required=False)
@task_token_option
@speaks
@connects
def put(
    output: Output,
    connection: Connection,
    *,
    task: str,
    file: Path,
    path: str | None,
    task_token: str,
) -> None:
    """Bring FILE into TASK's workspace, as PATH there; left out, under its own name."""
    with connection.task(task, task_token) as opened:
        done = opened.put_file(path or file.name, file, progress=_progress(output))
    output.result(
        {
            "task": task,
            "path": done.path,
            "size": done.size,
            "sha256": done.sha256,
            "record": done.record,
        }
    )
    output.plain(f"{done.path}: {done.size} bytes, record {done.record} of the log")


@command.command("list")
@click.argument("task")
@task_token_option
@speaks
@connects
def list_(output: Output, connection: Connection, *, task: str, task_token: str) -> None:
    """List what stands in TASK's workspace; once it has ended, what was kept of it."""
    with connection.task(task, task_token) as opened:
        found = opened.files()
    output.result(
        {
            "task": task,
            "files": [_document(each) for each in found.entries],
            "left_out": found.left_out,
            "complete": found.complete,
        }
    )
    output.table(
        ("path", "is", "bytes", "changed (UTC)", "kept"), [_row(each) for each in found.entries]
    )
    if found.left_out:
        output.plain(f"{found.left_out} more whose names cannot be shown, or too deep")
    if not found.complete:
        output.plain("and more than a listing holds")


@command.command()
@click.argument("task")
@click.argument("path")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it; left out, under its own name here.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@task_token_option
@speaks
@connects
def get(
    output: Output,
    connection: Connection,
    *,
    task: str,
    path: str,
    to: Path | None,
    force: bool,
    task_token: str,
) -> None:
    """Get the file at PATH out of TASK's workspace, cleaned for where it goes."""
    place = to or Path(path.rpartition("/")[2] or path)
    if place.exists() and not force:
        raise Failure(f"`{place}` is there", "name another with --to, or say --force", USAGE)
    with connection.task(task, task_token) as opened:
        got = opened.save_file(path, place, progress=_progress(output))
    output.result(
        {
            "task": task,
            "path": got.path,
            "file": str(place),
            "media_type": got.media_type,
            "size": got.size,
            "sha256": got.sha256,
            "changes": list(got.changes),
            "record": got.record,
        }
    )
    output.plain(f"{place}: {got.media_type}, {got.size} bytes, record {got.record} of the log")
    output.table(("changed",), [(change,) for change in got.changes])


def _progress(output: Output) -> Progress:
    told = 0

    def tell(done: int, whole: int) -> None:
        nonlocal told
        tenth = done * 10 // whole if whole > _SILENT else 0
        if tenth > told:
            told = tenth
            output.note(f"{tenth * 10} % of {whole} bytes")

    return tell


def _row(entry: FileEntry) -> tuple[object, ...]:
    until = entry.kept_until
    kept = "yes" if entry.kept else "no"
    return (
        entry.path,
        entry.kind.lower(),
        entry.size,
        _day(entry.modified_at),
        f"until {_day(until)}" if until is not None else kept,
    )


def _document(entry: FileEntry) -> dict[str, Json]:
    return {
        "path": entry.path,
        "kind": str(entry.kind),
        "size": entry.size,
        "modified_at": _iso(entry.modified_at),
        "kept": entry.kept,
        "kept_until": _iso(entry.kept_until),
    }


def _day(at: datetime | None) -> str:
    return day(round(at.timestamp() * 1e6)) if at is not None else ""


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None
