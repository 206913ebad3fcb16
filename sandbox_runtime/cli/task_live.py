"""`sandbox-broker task open|extend|close`: a task at a running broker.

Law: the task's token is shown once, by `open`, and read from the environment afterwards.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import click

from sandbox_runtime.cli.connecting import Connection, connects, task_token_option
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import USAGE, Failure
from sandbox_runtime.client import attached, typed
from sandbox_runtime.manifests.units import parse_duration

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sandbox_runtime.cli.output import Output


class Span(click.ParamType[Any]):
    """A length of time: `15m`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return it."""
        try:
            return parse_duration(str(value))
        except ValueError as bad:
            self.fail(f"`{value}` is no length of time: {bad}", param, ctx)


def variable(text: str) -> tuple[str, Any]:
    """Return what `--var NAME=JSON` says."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Failure(f"`{text}` is no variable with its value", "write `--var NAME=JSON`", USAGE)
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as bad:
        mend = f"strings need their quotes: `--var '{name}=\"{value}\"'`"
        raise Failure(f"the value of variable `{name}` is not JSON", mend, USAGE) from bad


var_option = click.option(
    "--var", "variables", multiple=True, metavar="NAME=JSON", help="A task variable."
)
"""Adds `--var`, to be read by `variable`."""


@click.command("open")
@click.argument("manifest")
@var_option
@click.option("--prompt", default="(command line)", help="What the user asked for: trusted.")
@click.option(
    "--attach",
    type=click.File(encoding="utf-8"),
    multiple=True,
    help="A file with what the user pasted: not trusted.",
)
@click.option("--lifetime", type=Span(), help="How long it shall live: `15m`.")
@speaks
@connects
def open_(
    output: Output,
    connection: Connection,
    *,
    manifest: str,
    variables: tuple[str, ...],
    prompt: str,
    attach: tuple[Any, ...],
    lifetime: timedelta | None,
) -> None:
    """Open a task under MANIFEST, and show its id and its token: once."""
    brought = dict(variable(one) for one in variables)
    parts = [typed(prompt), *(attached(file.read()) for file in attach)]
    with connection.broker() as broker:
        task = broker.open_task(manifest, prompt=parts, variables=brought, lifetime=lifetime)
    output.result({"task": task.id, "token": task.token, "expires_at": _iso(task.expires_at)})
    output.plain(f"task   {task.id}, until {_iso(task.expires_at)}")
    output.plain(f"export SANDBOX_BROKER_TASK_TOKEN={shlex.quote(task.token)}")


@click.command("extend")
@click.argument("task")
@click.argument("lifetime", type=Span())
@task_token_option
@speaks
@connects
def extend_(
    output: Output, connection: Connection, *, task: str, lifetime: timedelta, task_token: str
) -> None:
    """Let TASK live for LIFETIME from its opening (`2h`). Only its opener may."""
    with connection.task(task, task_token) as opened:
        until = opened.extend(lifetime)
    output.result({"task": task, "expires_at": _iso(until)})
    output.plain(f"{task} lives until {_iso(until)}")


@click.command("close")
@click.argument("task")
@task_token_option
@speaks
@connects
def close_(output: Output, connection: Connection, *, task: str, task_token: str) -> None:
    """End TASK; what runs of it is cancelled. Closing twice is no error."""
    with connection.task(task, task_token) as opened:
        cancelled = opened.close()
    output.result({"task": task, "cancelled_calls": cancelled})
    output.plain(f"{task} is closed; {cancelled} calls were cancelled")


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None
