"""`sandbox-broker manifest schema`: what an editor needs to know of manifests."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import USAGE, Failure, document
from sandbox_runtime.manifests.cases import Cases
from sandbox_runtime.manifests.model import Task, Tool
from sandbox_runtime.manifests.scaffold import SCHEMAS
from sandbox_runtime.manifests.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.strict import Strict

_KINDS: Mapping[str, type[Strict]] = MappingProxyType({"tool": Tool, "task": Task, "test": Cases})


@click.command("schema")
@click.argument("kind", type=click.Choice(list(_KINDS)), required=False)
@click.option(
    "--write",
    "tree",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help=f"Write all of them into this tree's folder `{SCHEMAS}`, where first lines look for them.",
)
@speaks
def schema_(output: Output, kind: str | None, tree: Path | None) -> None:
    """Print the JSON Schema of manifests or their tests, for editors. JSON either way.

    With `--write` the schemas of every KIND are written, over those that are there.
    """
    if kind is not None and tree is None:
        click.echo(document(schema_of(_KINDS[kind])))
    elif kind is None and tree is not None:
        written = write_schemas(tree)
        output.result({"written": [str(path) for path in written]})
        for path in written:
            output.line(f"[green]written[/] {escape(str(path))}")
    else:
        problem = "say either which KIND to print, or where to write all of them"
        raise Failure(problem, f"one of {', '.join(_KINDS)}, or `--write TREE`", USAGE)


def write_schemas(tree: Path) -> list[Path]:
    """Write the schemas of this version into a tree; return their paths.

    What stands there is replaced; if it is a link, the link is, and not what it leads to.
    """
    folder = tree / SCHEMAS
    if folder.is_symlink():
        raise Failure(f"`{folder}` is a symbolic link", "put a folder there, or nothing")
    folder.mkdir(parents=True, exist_ok=True)
    return [_replace(folder / f"{kind}.json", model) for kind, model in _KINDS.items()]


def _replace(path: Path, model: type[Strict]) -> Path:
    path.unlink(missing_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(document(schema_of(model)) + "\n")
    return path
