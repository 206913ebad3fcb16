"""`sandbox-broker tool`: build the tools' images, list them, try one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime import policy
from sandbox_runtime.call import (
    Answered,
    CheckedResult,
    ModelContext,
    Outcome,
    Permitted,
    ProposedCall,
)
from sandbox_runtime.cli.options import json_option, manifests_option
from sandbox_runtime.cli.output import FAILED, USAGE, Failure, Output
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import check
from sandbox_runtime.manifests.effective import arguments_schema
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.sandbox import images
from sandbox_runtime.sandbox.calls import Sandbox
from sandbox_runtime.sandbox.launcher import Launcher
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTool
    from sandbox_runtime.strict import Json

ENGINE = Path("/var/run/docker.sock")


@click.group("tool")
def command() -> None:
    """Build the tools' images, list them, try one."""


@command.command("build")
@manifests_option
@click.option("--base", default="sandbox-broker/base:local", show_default=True, help="Base image.")
@json_option
def build_(manifests: Path, base: str, as_json: bool) -> None:
    """Build each tool's image where its inputs changed, and write the lock."""
    output = Output(json=as_json)
    tree = _tree(manifests)
    sources = [_source(manifests, tool) for tool in tree.tools.values()]
    made = images.build(sources, base, _lock(manifests), output.note)
    output.result(made.model_dump(mode="json"))
    output.table(
        ("tool", "image", "built"),
        [(name, entry.image[:19], entry.built_at) for name, entry in made.tools.items()],
    )


@command.command("list")
@manifests_option
@json_option
def list_(manifests: Path, as_json: bool) -> None:
    """List the tools, their images and what they may use."""
    output = Output(json=as_json)
    tree, locked = _tree(manifests), images.locked(_lock(manifests))
    output.result(
        [
            {"name": tool.name, "digest": tool.digest, "image": locked.get(tool.name)}
            for tool in tree.tools.values()
        ]
    )
    output.table(
        ("tool", "version", "image", "arguments"),
        [_row(tool, locked.get(tool.name, "not built")) for tool in tree.tools.values()],
    )


@command.command("try")
@manifests_option
@click.argument("tool")
@click.argument("arguments", default="{}")
@click.option("--data", multiple=True, metavar="NAME=PATH", help="Where data that it mounts lies.")
@json_option
def try_(manifests: Path, tool: str, arguments: str, data: tuple[str, ...], as_json: bool) -> None:
    """Run one call of TOOL with ARGUMENTS (JSON), without a broker or a task.

    The tool's own bounds are checked, no grant narrows them, nothing is recorded.
    """
    output = Output(json=as_json)
    loaded = _tree(manifests).tools.get(tool)
    if loaded is None:
        raise Failure(f"there is no tool `{tool}`", "`sandbox-broker tool list` shows them", USAGE)
    sources = dict(_source_of(one) for one in data)
    permitted = _permitted(loaded, arguments)
    answered, log = asyncio.run(_run(permitted, sources, images.locked(_lock(manifests))))
    result = _checked(answered, loaded)
    told = result.model_dump(mode="json")
    output.result({"result": told, "log": log, "stages": dict(answered.stages)})
    summary = (result.outcome, f"{answered.wall_ms:.0f}", result.detail)
    output.table(("outcome", "ms", "detail"), [summary])
    if result.result is not None:
        output.table(("result",), [(result.result,)])
    if result.error is not None:
        output.table(("code", "message"), [(result.error.code, result.error.message)])
    if log:
        output.table(("log",), [(log,)])
    if result.outcome is not Outcome.OK:
        raise SystemExit(FAILED)


def _tree(manifests: Path) -> Catalogue:
    try:
        return load_tree(manifests)
    except ManifestErrors as errors:
        raise Failure(str(errors), "`sandbox-broker manifest check` shows the same") from errors


def _lock(manifests: Path) -> Path:
    return manifests / "images.lock.json"


def _source(manifests: Path, tool: LoadedTool) -> images.ToolSource:
    program = tool.manifest.spec.program
    folder = (manifests.parent / tool.file).parent / program.image.build
    return images.ToolSource(name=tool.name, folder=folder, argv=program.command)


def _row(tool: LoadedTool, image: str) -> tuple[str, ...]:
    metadata = tool.manifest.metadata
    return (tool.name, metadata.version, image[:19], ", ".join(tool.manifest.spec.arguments))


def _source_of(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not Path(path).is_file():
        raise Failure(f"`{text}` names no file", "write `--data NAME=PATH`", USAGE)
    return name, Path(path).absolute()


def _permitted(tool: LoadedTool, arguments: str) -> Permitted:
    call = ProposedCall(
        task_id="try",
        call_id="try",
        tool=tool.name,
        text=arguments.encode(),
        subject="operator:local",
        model=ModelContext(),
    )
    try:
        given = json_text.parse(call.text, max_bytes=1 << 20, max_depth=32)
        known = tool.manifest.spec.arguments
        defaults: dict[str, Json] = {n: a.default for n, a in known.items() if not a.required}
        filled = {**defaults, **given} if isinstance(given, dict) else given
        value = check("schema", filled, arguments_schema(tool.manifest)).value
    except Objection as objection:
        place = f" at `{objection.pointer}`" if objection.pointer else ""
        raise Failure(f"{objection.problem}{place}", objection.hint) from objection
    return Permitted(
        call=call,
        tool=tool,
        grant="try",
        rule=(),
        arguments=value if isinstance(value, dict) else {},
        changes=(),
        facts={},
    )


async def _run(
    permitted: Permitted, data: dict[str, Path], locked: Mapping[str, str]
) -> tuple[Answered, str]:
    launcher = await Launcher.open(ENGINE, "tool-try")
    sandbox = Sandbox(
        launcher=launcher, images=locked, data=data, seconds=time.time, monotonic=time.monotonic
    )
    limit = permitted.tool.manifest.spec.sandbox.wall_time
    container = sandbox.plan(permitted, wall_ms=int(limit.total_seconds() * 1000))
    try:
        answered = await container.answer()
        return answered, (await container.closed()).log
    finally:
        await launcher.aclose()


def _checked(answered: Answered, tool: LoadedTool) -> CheckedResult:
    if answered.outcome is not Outcome.OK:
        return CheckedResult(outcome=answered.outcome, detail=answered.detail)
    answer = policy.read_answer(answered.answer, tool.manifest)
    if isinstance(answer, policy.Invalid):
        return CheckedResult(outcome=Outcome.INVALID_ANSWER, detail=answer.problem)
    value, checks = policy.answer_checks(answer, tool.manifest)
    verdicts = examine(value, checks)
    output = tool.manifest.spec.sandbox.output
    return policy.release(tool.manifest, answer, checks, verdicts, bytes_left=output)
