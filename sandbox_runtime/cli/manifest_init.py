"""`sandbox-broker manifest init`: write a first manifest, and say what comes next."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape

from sandbox_runtime.cli.manifest_schema import write_schemas
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import USAGE, Failure
from sandbox_runtime.manifests import tree
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.model import Name
from sandbox_runtime.manifests.problems import did_you_mean
from sandbox_runtime.manifests.scaffold import EXAMPLE, task_files, tool_files, tried_tool_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.manifests.catalogue import Catalogue, LoadedTool

_NAME: TypeAdapter[str] = TypeAdapter(Name)


tree_option = click.option(
    "--manifests",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tool_manifests"),
    show_default=True,
    help="The tree to write into; made where there is none.",
)


@click.command("init")
@click.argument("kind", type=click.Choice(["task", "tool"]))
@click.argument("name")
@tree_option
@click.option("--tool", help="The tool that a task grants; else the first of the tree.")
@speaks
def init_(output: Output, *, kind: str, name: str, manifests: Path, tool: str | None) -> None:
    """Write a first manifest of a task or a tool, with comments; it loads as it stands.

    Nothing that is there is written over, but the schemas for editors: they are this version's.
    """
    _see_name(name)
    anything = tree.collect(manifests).texts
    known = load_tree(manifests, shown=manifests) if anything else None
    if kind == "task":
        granted = _granted(known, tool)
        files = task_files(name, granted.manifest, f"uid:{os.geteuid()}")
    else:
        files = tool_files(name)
    _see_free(known, kind, name)
    _begun(output, manifests, files, _next(kind, name, manifests))


@click.command("init")
@click.argument("name")
@tree_option
@speaks
def tool_init_(output: Output, name: str, manifests: Path) -> None:
    """Write a first tool, a task that grants it, and cases; all of it works as it stands.

    Nothing that is there is written over, but the schemas for editors: they are this version's.
    """
    _see_name(name)
    known = load_tree(manifests, shown=manifests) if tree.collect(manifests).texts else None
    for kind in ("tool", "task"):
        _see_free(known, kind, name)
    following = (*_next("task", name, manifests), *_next("tool", name, manifests))
    _begun(output, manifests, tried_tool_files(name, f"uid:{os.geteuid()}"), following)


def _begun(
    output: Output, manifests: Path, files: Mapping[str, str], following: tuple[str, ...]
) -> None:
    written = [*_write(manifests, files), *write_schemas(manifests)]
    load_tree(manifests, shown=manifests)
    output.result({"written": [str(path) for path in written], "next": list(following)})
    for path in written:
        output.line(f"[green]written[/] {escape(str(path))}")
    for line in following:
        output.line(f"[bold]next[/]    {escape(line)}")


def _see_name(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        mend = "lower-case letters, digits and single `_` or `-` between them"
        raise Failure(f"`{name}` is no name", mend, USAGE) from error


def _see_free(known: Catalogue | None, kind: str, name: str) -> None:
    if known is None:
        return
    taken = known.tools.get(name) if kind == "tool" else known.tasks.get(name)
    if taken is not None:
        raise Failure(f"{kind} `{name}` is already defined in {taken.file}", "take another name")


def _granted(known: Catalogue | None, tool: str | None) -> LoadedTool:
    tools = known.tools if known is not None else {}
    if not tools:
        mend = "`sandbox-broker manifest init tool NAME` makes one"
        raise Failure("there is no tool that a task could be granted", mend)
    name = tool or next(iter(tools))
    if name not in tools:
        mend = did_you_mean(name, list(tools)) or "`sandbox-broker tool list` shows them"
        raise Failure(f"there is no tool `{name}`", mend, USAGE)
    return tools[name]


def _write(manifests: Path, files: Mapping[str, str]) -> list[Path]:
    paths = [manifests / name for name in files]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise Failure(f"`{path}` is already there", "take another name, or move it away")
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return paths


def _next(kind: str, name: str, manifests: Path) -> tuple[str, ...]:
    where = "" if manifests == Path("tool_manifests") else f" --manifests {quote(str(manifests))}"
    if kind == "tool":
        build = f"sandbox-broker tool build{where}"
        return build, f"sandbox-broker tool try {name} '{EXAMPLE}'{where}"
    directory = f" {quote(str(manifests))}" if where else ""
    return f"sandbox-broker manifest check{directory}", f"sandbox-broker manifest test{directory}"
