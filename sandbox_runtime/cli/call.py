"""`sandbox-broker call`: propose one tool call to a running broker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.options import json_option
from sandbox_runtime.cli.output import FAILED, USAGE, Failure, Output
from sandbox_runtime.client import Broker, BrokerUnavailable, CallRefused, typed

if TYPE_CHECKING:
    from sandbox_runtime.client import CallEnd, Task
    from sandbox_runtime.strict import Json


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
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Keep artifacts here.")
@json_option
def command(
    manifest: str,
    tool: str,
    arguments: str,
    target: str,
    token: str | None,
    variables: tuple[str, ...],
    check_only: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Open a task under MANIFEST, propose one call of TOOL with ARGUMENTS (JSON), close it."""
    output = Output(json=as_json)
    brought = dict(_variable(one) for one in variables)
    try:
        with (
            Broker.connect(target, token=token) as broker,
            broker.open_task(manifest, prompt=[typed("(command line)")], variables=brought) as task,
        ):
            if check_only:
                _check(output, task, tool, arguments)
            else:
                _call(output, task, tool, arguments, save)
    except CallRefused as refused:
        _refused(output, refused)
    except BrokerUnavailable as gone:
        raise Failure(f"no broker answers at `{target}`: {gone}", "`sandbox-broker serve`") from gone


def _variable(text: str) -> tuple[str, Json]:
    name, equals, value = text.partition("=")
    try:
        return name, json.loads(value) if equals else _no_value(text)
    except json.JSONDecodeError as bad:
        mend = f"quote strings: `--var '{name}=\"{value}\"'`"
        raise Failure(f"the value of variable `{name}` is not JSON", mend, USAGE) from bad


def _no_value(text: str) -> Json:
    raise Failure(f"`{text}` names no value", "write `--var NAME=JSON`", USAGE)


def _check(output: Output, task: Task, tool: str, arguments: str) -> None:
    permission = task.check(tool, arguments)
    output.result(
        {
            "permitted": True,
            "grant": permission.grant,
            "arguments": permission.arguments,
            "changes": list(permission.changes),
        }
    )
    output.line(f"[bold green]would run[/] under grant {permission.grant}")
    output.table(("argument", "as it would run"), permission.arguments.items())
    output.table(("changed",), [(change,) for change in permission.changes])


def _call(output: Output, task: Task, tool: str, arguments: str, save: Path | None) -> None:
    end = task.call(tool, arguments)
    output.result(_plain(end))
    colour = "green" if end.outcome == "OK" else "yellow"
    output.line(f"[bold {colour}]{end.outcome}[/] {end.wall_time.total_seconds() * 1000:.0f} ms")
    output.table(("changed",), [(change,) for change in end.changes])
    shown = json.dumps(end.result, indent=2, ensure_ascii=False) if end.outcome == "OK" else end.detail
    output.table((), [])
    output.table(("result" if end.outcome == "OK" else "detail",), [(shown,)])
    for artifact in end.artifacts:
        kept = _keep(save, artifact.name, artifact.content) if save is not None else "not kept"
        output.table(
            ("artifact", "type", "sha256", "file"),
            [(artifact.name, artifact.media_type, artifact.sha256, kept)],
        )
    if end.outcome != "OK":
        raise SystemExit(FAILED)


def _keep(directory: Path, name: str, content: bytes) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / Path(name).name
    path.write_bytes(content)
    return str(path)


def _plain(end: CallEnd) -> dict[str, Json]:
    return {
        "call_id": end.call_id,
        "outcome": str(end.outcome),
        "result": end.result,
        "error": end.error.model_dump(mode="json") if end.error is not None else None,
        "detail": end.detail,
        "arguments": end.arguments,
        "changes": list(end.changes),
        "grant": end.grant,
        "wall_ms": end.wall_time.total_seconds() * 1000,
        "record": end.record,
        "artifacts": [
            {"name": a.name, "media_type": a.media_type, "sha256": hashlib.sha256(a.content).hexdigest()}
            for a in end.artifacts
        ],
    }


def _refused(output: Output, refused: CallRefused) -> None:
    output.result(
        {
            "refused": refused.reason,
            "code": refused.code,
            "pointer": refused.pointer,
            "problem": refused.problem,
            "hint": refused.hint,
            "mender": refused.mender,
        }
    )
    place = f" at `{refused.pointer}`" if refused.pointer else ""
    output.line(f"[bold red]refused[/] {refused.reason}{place}")
    output.table((), [])
    output.table(("because", "hint"), [(refused.problem, refused.hint or "")])
    raise SystemExit(FAILED)
