"""`sandbox-broker tool`: begin one, build the tools' images, list them, try one, carry them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from sandbox_runtime.cli.manifest_init import tool_init_
from sandbox_runtime.cli.options import data_option, manifests_option, sources, speaks
from sandbox_runtime.cli.output import FAILED, FAULT, USAGE, Failure, Output
from sandbox_runtime.cli.tool_carry import load_, save_
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import check
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.argv import NoWord, invocation
from sandbox_runtime.manifests.effective import arguments_schema
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.sandbox import images, lock
from sandbox_runtime.sandbox.calls import Sandbox
from sandbox_runtime.sandbox.launcher import Launcher
from sandbox_runtime.sandbox.tool_images import Locked
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.strict import Json

ENGINE = Path("/var/run/docker.sock")


@click.group("tool")
def command() -> None:
    """Begin a tool, build the tools' images, list them, try one, carry them elsewhere."""


for each in (tool_init_, save_, load_):
    command.add_command(each)


@command.command("build")
@manifests_option
@click.option("--base", default="sandbox-broker/base:local", show_default=True, help="Base image.")
@speaks
def build_(output: Output, manifests: Path, base: str) -> None:
    """Build each tool's image where its inputs changed, and write the lock."""
    tree = load_tree(manifests, shown=manifests)
    folders = [_source(tool) for tool in tree.tools.values()]
    made = images.build(folders, base, _lock(manifests), output.note)
    output.result(made.model_dump(mode="json"))
    output.table(
        ("tool", "image", "built"),
        [(name, entry.image[:19], entry.built_at) for name, entry in made.tools.items()],
    )


@command.command("list")
@manifests_option
@speaks
def list_(output: Output, manifests: Path) -> None:
    """List the tools, whether their images are there, and what they take."""
    tools = load_tree(manifests, shown=manifests).tools.values()
    made = lock.read(_lock(manifests)) if _lock(manifests).exists() else None
    listed = [_listed(tool, made) for tool in tools]
    output.result({"tools": listed})
    output.table(
        ("tool", "version", "image", "state", "arguments"),
        [
            (
                one["name"],
                one["version"],
                (one["image"] or "")[:19],
                one["state"],
                ", ".join(one["arguments"]),
            )
            for one in listed
        ],
    )


@command.command("try")
@manifests_option
@click.argument("tool")
@click.argument("arguments", default="{}")
@data_option
@speaks
def try_(output: Output, manifests: Path, tool: str, arguments: str, data: tuple[str, ...]) -> None:
    """Run one call of TOOL with ARGUMENTS (JSON), without a broker or a task.

    The tool's own bounds are checked, no grant narrows them, nothing is recorded.
    """
    loaded = load_tree(manifests, shown=manifests).tools.get(tool)
    if loaded is None:
        raise Failure(f"there is no tool `{tool}`", "`sandbox-broker tool list` shows them", USAGE)
    files = _files(loaded, sources(data))
    permitted = _permitted(loaded, arguments)
    answered, log = asyncio.run(_run(permitted, files, images.locked(_lock(manifests))))
    result = _checked(answered, loaded)
    told = result.model_dump(mode="json")
    output.result({"result": told, "log": log, "stages": dict(answered.stages)})
    _show(output, result, answered.wall_ms, log)
    if result.outcome is not Outcome.OK:
        raise SystemExit(FAULT if result.outcome is Outcome.SANDBOX_UNAVAILABLE else FAILED)


def _show(output: Output, result: CheckedResult, wall_ms: float, log: str) -> None:
    colour = "green" if result.outcome is Outcome.OK else "yellow"
    output.line(f"[bold {colour}]{result.outcome}[/] {wall_ms:.0f} ms")
    if result.detail:
        output.block("detail", result.detail)
    if result.outcome is Outcome.OK:
        output.block("result", result.result or "null")
    if result.error is not None:
        output.table(("code", "message"), [(result.error.code, result.error.message)])
    if log:
        output.block("log", log)


def _lock(manifests: Path) -> Path:
    return manifests / "images.lock.json"


def _source(tool: LoadedTool) -> images.ToolSource:
    program = tool.manifest.spec.program
    folder = Path(tool.file).parent / program.image.build
    fixed = tuple(word for word in program.argv or program.command if isinstance(word, str))
    return images.ToolSource(
        name=tool.name, folder=folder, argv=fixed, packages=program.image.packages
    )


def _state(made: lock.ImagesLock | None, name: str) -> str:
    """Say whether the tool's image is there."""
    entry = made.tools.get(name) if made is not None else None
    if made is None or entry is None:
        return "not built"
    try:
        images.verify(made.model_copy(update={"tools": {name: entry}}))
    except lock.LockBroken:
        return "missing"
    except SandboxUnavailable:
        return "no engine answers"
    return "built"


def _listed(tool: LoadedTool, made: lock.ImagesLock | None) -> dict[str, Any]:
    entry = made.tools.get(tool.name) if made is not None else None
    return {
        "name": tool.name,
        "version": tool.manifest.metadata.version,
        "digest": tool.digest,
        "image": entry.image if entry is not None else None,
        "state": _state(made, tool.name),
        "arguments": list(tool.manifest.spec.arguments),
    }


def _files(tool: LoadedTool, given: dict[str, Path]) -> dict[str, Path]:
    """Return `given` if it names all data that the tool mounts."""
    for mount in tool.manifest.spec.data:
        if mount.name not in given:
            raise Failure(
                f"`{tool.name}` reads the data `{mount.name}`, and nothing says where it lies",
                f"add `--data {mount.name}=PATH`",
                USAGE,
            )
    return given


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
        mend = objection.hint or f"{tool.file} says what each argument may be"
        raise Failure(f"the arguments{place}: {objection.problem}", mend) from objection
    canonical = value if isinstance(value, dict) else {}
    _see_words(tool, canonical)
    return Permitted(
        call=call,
        tool=tool,
        grant="try",
        rule=(),
        arguments=canonical,
        shown=canonical,
        changes=(),
        facts={},
    )


def _see_words(tool: LoadedTool, arguments: Mapping[str, Json]) -> None:
    """Refuse what a program that knows nothing of us cannot be told."""
    try:
        invocation(tool.manifest.spec.program, arguments)
    except NoWord as no:
        place = f" at `{json_text.pointer(no.argument)}`" if no.argument else ""
        mend = no.hint or f"{tool.file} says how the program's words are made"
        raise Failure(f"the arguments{place}: {no.problem}", mend) from no


async def _run(
    permitted: Permitted, data: dict[str, Path], locked: Mapping[str, str]
) -> tuple[Answered, str]:
    launcher = await Launcher.open(ENGINE, "tool-try")
    sandbox = Sandbox(
        launcher=launcher,
        images=Locked(locked),
        data=data,
        seconds=time.time,
        monotonic=time.monotonic,
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
