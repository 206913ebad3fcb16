"""`sandbox-broker call`: propose one tool call to a running broker."""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.call_end import told
from sandbox_runtime.cli.connecting import Connection, connects
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import USAGE, Failure
from sandbox_runtime.cli.task_live import var_option, variable
from sandbox_runtime.client import Task, typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.cli.output import Output

_TASK = re.compile(r"t-[0-9a-f]{16}")


@click.command("call")
@click.argument("task", metavar="MANIFEST|TASK")
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option(
    "--task-token",
    envvar="SANDBOX_BROKER_TASK_TOKEN",
    show_envvar=True,
    help="The token of an open TASK.",
)
@var_option
@click.option("--check", "check_only", is_flag=True, help="Decide only; run nothing.")
@click.option("--call-id", help="The call's id within its task; the same id is the same call.")
@click.option("--detach", is_flag=True, help="Do not wait for its end. Needs an open TASK.")
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), help="Keep artifacts here."
)
@speaks
@connects
def command(
    output: Output,
    connection: Connection,
    *,
    task: str,
    tool: str,
    arguments: str,
    task_token: str | None,
    variables: tuple[str, ...],
    check_only: bool,
    call_id: str | None,
    detach: bool,
    save: Path | None,
) -> None:
    """Propose one call of TOOL with ARGUMENTS (JSON).

    It is proposed in an open TASK, or in one that is opened under MANIFEST and closed again.
    ARGUMENTS go to the broker as they are; it alone judges them.
    """
    is_open = _TASK.fullmatch(task) is not None
    if detach and not is_open:
        raise Failure(
            "a call ends with its task", "open one first: `sandbox-broker task open`", USAGE
        )
    with _in_task(connection, task, task_token if is_open else None, variables) as opened:
        if check_only:
            _check(output, opened, tool, arguments)
        elif detach:
            _detach(output, opened, tool, arguments, call_id or secrets.token_hex(16))
        else:
            told(output, opened.call(tool, arguments, call_id=call_id), save)


@contextmanager
def _in_task(
    connection: Connection, task: str, token: str | None, variables: tuple[str, ...]
) -> Iterator[Task]:
    """Yield an open task, or one of this call alone."""
    brought = dict(variable(one) for one in variables)
    if _TASK.fullmatch(task) is not None:
        with connection.task(task, _given(token)) as opened:
            yield opened
        return
    asked = [typed("(command line)")]
    with (
        connection.broker() as broker,
        broker.open_task(task, prompt=asked, variables=brought) as opened,
    ):
        yield opened


def _given(token: str | None) -> str:
    if token is None:
        raise Failure("an open task needs its token", "set SANDBOX_BROKER_TASK_TOKEN", USAGE)
    return token


def _check(output: Output, task: Task, tool: str, arguments: str) -> None:
    permission = task.check(tool, arguments)
    output.result(
        {
            "permitted": True,
            "grant": permission.grant,
            "arguments": dict(permission.arguments),
            "changes": list(permission.changes),
        }
    )
    output.line(f"[bold green]would run[/] under grant {permission.grant}")
    output.table(("argument", "as it would run"), permission.arguments.items())
    output.table(("changed",), [(change,) for change in permission.changes])


def _detach(output: Output, task: Task, tool: str, arguments: str, call_id: str) -> None:
    status = task.call(tool, arguments, call_id=call_id, detach=True)
    output.result({"task": task.id, "call_id": call_id, "state": status.state})
    output.plain(f"{status.state}  {call_id}")
    output.plain(f"watch it: sandbox-broker calls watch {task.id} {call_id}")
