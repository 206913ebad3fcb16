"""`sandbox-broker manifest`: check a tree of manifests, print their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from sandbox_runtime.cli.options import json_option
from sandbox_runtime.cli.output import FAILED, Output
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.manifests.schema import manifest_schema

if TYPE_CHECKING:
    from sandbox_runtime.manifests.catalogue import Catalogue


@click.group("manifest")
def command() -> None:
    """Check tool and task manifests, print their schema."""


@command.command("check")
@click.argument(
    "tree", type=click.Path(path_type=Path, file_okay=False, exists=True), default="tool_manifests"
)
@json_option
def check_(tree: Path, as_json: bool) -> None:
    """Check every manifest under TREE, each alone and all against each other."""
    output = Output(json=as_json)
    try:
        catalogue = load_tree(tree)
    except ManifestErrors as errors:
        _report(output, errors)
        raise SystemExit(FAILED) from None
    output.result(
        {
            "ok": True,
            "digest": catalogue.digest,
            "tools": {name: tool.digest for name, tool in catalogue.tools.items()},
            "tasks": {name: task.digest for name, task in catalogue.tasks.items()},
        }
    )
    output.table(("kind", "name", "version", "file", "digest"), _rows(catalogue))


@command.command("schema")
@click.argument("kind", type=click.Choice(["tool", "task"]))
@json_option
def schema_(kind: str, as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the JSON Schema of tool or task manifests, for editors."""
    click.echo(orjson.dumps(manifest_schema("Tool" if kind == "tool" else "Task"), option=orjson.OPT_INDENT_2))


def _report(output: Output, errors: ManifestErrors) -> None:
    output.result(
        {
            "ok": False,
            "problems": [
                {
                    "file": one.file,
                    "line": one.line,
                    "column": one.column,
                    "message": one.message,
                    "expected": one.expected,
                    "mend": one.mend,
                }
                for one in errors.problems
            ],
        }
    )
    if not output.json:
        click.echo(str(errors), err=True)


def _rows(catalogue: Catalogue) -> list[tuple[str, ...]]:
    loaded = [("tool", one) for one in catalogue.tools.values()] + [
        ("task", one) for one in catalogue.tasks.values()
    ]
    return [
        (kind, one.name, one.manifest.metadata.version, one.file, one.digest[:19])
        for kind, one in loaded
    ]
