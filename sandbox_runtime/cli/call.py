"""`sandbox-broker call`: propose one tool call to a running broker."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import click

from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import FAILED, FAULT, USAGE, Failure, Output
from sandbox_runtime.client import (
    Artifact,
    Broker,
    BrokerError,
    BrokerFault,
    BrokerUnavailable,
    CallEnd,
    CallRefused,
    Outcome,
    Task,
    typed,
)

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@click.command("call")
@click.argument("manifest")
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option(
    "--broker",
    "target",
    envvar="SANDBOX_BROKER",
    default="unix:/run/sandbox-broker/broker.sock",
    show_default=True,
    show_envvar=True,
    help="Address of the broker.",
)
@click.option("--token", envvar="SANDBOX_BROKER_TOKEN", help="Bearer token, on loopback.")
@click.option("--var", "variables", multiple=True, metavar="NAME=JSON", help="A task variable.")
@click.option("--check", "check_only", is_flag=True, help="Decide only; run nothing.")
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), help="Keep artifacts here."
)
@speaks
def command(
    output: Output,
    *,
    manifest: str,
    tool: str,
    arguments: str,
    target: str,
    token: str | None,
    variables: tuple[str, ...],
    check_only: bool,
    save: Path | None,
) -> None:
    """Open a task under MANIFEST, propose one call of TOOL with ARGUMENTS (JSON), close it.

    ARGUMENTS go to the broker as they are; it alone judges them.
    """
    brought = dict(_variable(one) for one in variables)
    try:
        with (
            _connected(target, token) as broker,
            broker.open_task(manifest, prompt=[typed("(command line)")], variables=brought) as task,
        ):
            if check_only:
                _check(output, task, tool, arguments)
            else:
                _call(output, task, tool, arguments, save)
    except BrokerError as error:
        raise _failure(error, target) from error


def _connected(target: str, token: str | None) -> Broker:
    try:
        return Broker.connect(target, token=token)
    except ValueError as bad:
        mend = "write `unix:/path/of/broker.sock`, or `127.0.0.1:PORT` with a token"
        raise Failure(str(bad), mend, USAGE) from bad


def _variable(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Failure(f"`{text}` is no variable with its value", "write `--var NAME=JSON`", USAGE)
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as bad:
        mend = f"strings need their quotes: `--var '{name}=\"{value}\"'`"
        raise Failure(f"the value of variable `{name}` is not JSON", mend, USAGE) from bad


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


def _call(output: Output, task: Task, tool: str, arguments: str, save: Path | None) -> None:
    end = task.call(tool, arguments)
    files = {one.name: _kept(save, one) for one in end.artifacts} if save is not None else {}
    output.result(_document(end, files))
    _show(output, end, files)
    if not end.ok:
        raise SystemExit(FAULT if end.outcome in _OURS else FAILED)


_OURS = frozenset({Outcome.SANDBOX_UNAVAILABLE, Outcome.UNKNOWN})


def _show(output: Output, end: CallEnd, files: dict[str, str]) -> None:
    colour = "green" if end.ok else "yellow"
    took = end.wall_time.total_seconds() * 1000
    output.line(f"[bold {colour}]{end.outcome}[/] {took:.0f} ms, record {end.record} of the log")
    output.table(("changed",), [(change,) for change in end.changes])
    if end.ok:
        output.block("result", json.dumps(end.result, indent=2, ensure_ascii=False))
    elif end.error is not None:
        output.table(("code", "message"), [(end.error.code, end.error.message)])
    else:
        output.block("detail", end.detail)
    output.table(
        ("artifact", "type", "sha256", "file"),
        [
            (one.name, one.media_type, one.sha256, files.get(one.name, "not kept: no --save"))
            for one in end.artifacts
        ],
    )


def _kept(directory: Path, artifact: Artifact) -> str:
    """Write an artifact and return where. A name that could be more than a name is not used."""
    plain = _FILE_NAME.fullmatch(artifact.name) is not None
    path = directory / (artifact.name if plain else artifact.sha256.removeprefix("sha256:"))
    directory.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        file.write(artifact.content)
    return str(path)


def _document(end: CallEnd, files: dict[str, str]) -> dict[str, Any]:
    error = end.error
    return {
        "call_id": end.call_id,
        "outcome": str(end.outcome),
        "result": end.result,
        "tool_error": {"code": error.code, "message": error.message} if error else None,
        "detail": end.detail,
        "arguments": dict(end.arguments),
        "changes": list(end.changes),
        "grant": end.grant,
        "integrity": end.integrity,
        "wall_ms": end.wall_time.total_seconds() * 1000,
        "record": end.record,
        "artifacts": [
            {
                "name": one.name,
                "media_type": one.media_type,
                "sha256": one.sha256,
                "file": files.get(one.name),
            }
            for one in end.artifacts
        ],
    }


def _failure(error: BrokerError, target: str) -> Failure:
    reason = {"reason": error.reason}
    match error:
        case CallRefused():
            return _refusal(error)
        case BrokerUnavailable(reason=None):
            mend = "start one with `sandbox-broker serve`, or name another with --broker"
            return Failure(f"no broker answers at `{target}`", mend, FAULT)
        case BrokerUnavailable():
            return Failure(error.problem, "try again; then ask its operator", FAULT, reason)
        case BrokerFault():
            mend = f"its operator finds it under incident `{error.incident}`"
            return Failure(error.problem, mend, FAULT, reason)
        case _:
            return Failure(error.problem, more=reason)


def _refusal(refused: CallRefused) -> Failure:
    place = f" at `{refused.pointer}`" if refused.pointer else ""
    code = f" ({refused.code})" if refused.code else ""
    return Failure(
        f"{refused.reason or 'refused'}{place}: {refused.problem}{code}",
        refused.hint or f"this is for the {refused.mender} to mend",
        more={
            "reason": refused.reason,
            "code": refused.code,
            "pointer": refused.pointer,
            "problem": refused.problem,
            "hint": refused.hint,
            "mender": refused.mender,
            "retry": refused.retry,
        },
    )
