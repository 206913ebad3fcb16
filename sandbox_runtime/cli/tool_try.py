"""`sandbox-broker tool try`: run one call, as a broker would run it, and show what it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from contextlib import asynccontextmanager
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
from sandbox_runtime.cli.options import data_option, manifests_option, sources, speaks
from sandbox_runtime.cli.output import FAILED, FAULT, USAGE, Failure, Output
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import DESTINATIONS, check
from sandbox_runtime.manifests.argv import NoWord, invocation
from sandbox_runtime.manifests.effective import arguments_schema
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.model import Workspace as Wanted
from sandbox_runtime.sandbox import images
from sandbox_runtime.sandbox.calls import Sandbox
from sandbox_runtime.sandbox.launcher import Launcher
from sandbox_runtime.sandbox.tool_images import Locked
from sandbox_runtime.validators.examine import examine
from sandbox_runtime.workspaces import Place, Workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.strict import Json
    from sandbox_runtime.workspaces import Workspace

ENGINE = Path("/var/run/docker.sock")
UID = 10_001
"""Whose the files of a tried call are."""
WORKSPACE = Wanted.model_validate({"size": "64Mi"})


@click.command("try")
@manifests_option
@click.argument("tool")
@click.argument("arguments", default="{}")
@data_option
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder whose files are copied into the workspace; else that is empty.",
)
@speaks
def try_(
    output: Output,
    *,
    manifests: Path,
    tool: str,
    arguments: str,
    data: tuple[str, ...],
    files: Path | None,
) -> None:
    """Run one call of TOOL with ARGUMENTS (JSON), without a broker or a task.

    The tool's own bounds are checked (types, sizes, `schema`), no grant narrows them, nothing is
    recorded. The program gets values as they are given: no other destination (`html`, `path`,
    `sql`) looks at them or writes them anew. The workspace of a tool that works on one is made
    for the call, and gone after it.
    """
    loaded = load_tree(manifests, shown=manifests).tools.get(tool)
    if loaded is None:
        raise Failure(f"there is no tool `{tool}`", "`sandbox-broker tool list` shows them", USAGE)
    sources_ = _sourced(loaded, sources(data))
    permitted = _permitted(loaded, arguments)
    locked = images.locked(manifests / "images.lock.json")
    answered, log = asyncio.run(_run(permitted, sources_, locked, files))
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


def _sourced(tool: LoadedTool, given: dict[str, Path]) -> dict[str, Path]:
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
        canonical = value if isinstance(value, dict) else {}
        _see_schemas(tool, canonical)
    except Objection as objection:
        place = f" at `{objection.pointer}`" if objection.pointer else ""
        mend = objection.hint or f"{tool.file} says what each argument may be"
        raise Failure(f"the arguments{place}: {objection.problem}", mend) from objection
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
        workspace=policy.mounted(tool, canonical),
    )


def _see_schemas(tool: LoadedTool, arguments: Mapping[str, Json]) -> None:
    """Object to what an argument's own `schema` does not hold."""
    for name, value in arguments.items():
        for kind, settings in tool.manifest.spec.arguments[name].checks():
            if kind != "schema":
                continue
            try:
                DESTINATIONS[kind].check(value, settings)
            except Objection as objection:
                objection.pointer = json_text.pointer(name) + objection.pointer
                raise


def _see_words(tool: LoadedTool, arguments: Mapping[str, Json]) -> None:
    """Refuse what a program that knows nothing of us cannot be told."""
    try:
        invocation(tool.manifest.spec.program, arguments)
    except NoWord as no:
        place = f" at `{json_text.pointer(no.argument)}`" if no.argument else ""
        mend = no.hint or f"{tool.file} says how the program's words are made"
        raise Failure(f"the arguments{place}: {no.problem}", mend) from no


async def _run(
    permitted: Permitted, data: dict[str, Path], locked: Mapping[str, str], files: Path | None
) -> tuple[Answered, str]:
    launcher = await Launcher.open(ENGINE, "tool-try")
    sandbox = Sandbox(
        launcher=launcher,
        images=Locked(locked),
        data=data,
        seconds=time.time,
        monotonic=time.monotonic,
    )
    wall_ms = int(permitted.tool.manifest.spec.sandbox.wall_time.total_seconds() * 1000)
    async with _workspace(permitted, files) as workspace:
        container = sandbox.plan(permitted, wall_ms=wall_ms, workspace=workspace)
        try:
            await container.take_turn()
            answered = await container.answer()
            return answered, (await container.closed()).log
        finally:
            await launcher.aclose()


@asynccontextmanager
async def _workspace(permitted: Permitted, files: Path | None) -> AsyncIterator[Workspace | None]:
    """Make a workspace for one call, where it works on one."""
    if permitted.workspace is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sandbox-broker-") as folder:
        place = Place(folder=Path(folder) / "workspaces", uids=range(UID, UID + 1), headroom=0)
        workspaces = Workspaces(place, {})
        made = await workspaces.make("try", WORKSPACE)
        try:
            if files is not None:
                _copy(files, made)
            yield made
        finally:
            await workspaces.end("try")


def _copy(files: Path, into: Workspace) -> None:
    """Copy a folder's files, links as links, and make them the tool's."""
    try:
        shutil.copytree(files, into.root, symlinks=True, dirs_exist_ok=True)
    except shutil.Error as error:
        raise Failure(f"`{files}` cannot be copied", "bring files, folders and links") from error
    for path in (into.root, *into.root.rglob("*")):
        os.chown(path, into.uid, into.uid, follow_symlinks=False)


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
