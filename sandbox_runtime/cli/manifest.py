"""`sandbox-broker manifest`: its commands, and what a tree of manifests holds."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.manifest_explain import explain_
from sandbox_runtime.cli.manifest_init import init_
from sandbox_runtime.cli.manifest_test import test_
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import document
from sandbox_runtime.manifests.cases import Cases
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.model import Task, Tool
from sandbox_runtime.manifests.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.strict import Strict

_KINDS: Mapping[str, type[Strict]] = MappingProxyType({"tool": Tool, "task": Task, "test": Cases})


@click.group("manifest")
def command() -> None:
    """Begin, check, test and explain tool and task manifests; print their schema."""


command.add_command(init_)
command.add_command(test_)
command.add_command(explain_)


@command.command("check")
@click.argument(
    "tree", type=click.Path(path_type=Path, file_okay=False, exists=True), default="tool_manifests"
)
@speaks
def check_(output: Output, tree: Path) -> None:
    """Check every manifest under TREE, each alone and all against each other."""
    catalogue = load_tree(tree)
    output.result(
        {
            "digest": catalogue.digest,
            "tools": {name: tool.digest for name, tool in catalogue.tools.items()},
            "tasks": {name: task.digest for name, task in catalogue.tasks.items()},
        }
    )
    output.table(("kind", "name", "version", "file", "digest"), _rows(catalogue))


@command.command("schema")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@speaks
def schema_(_: Output, kind: str) -> None:
    """Print the JSON Schema of manifests or their tests, for editors. JSON either way."""
    click.echo(document(schema_of(_KINDS[kind])))


def _rows(catalogue: Catalogue) -> list[tuple[str, ...]]:
    loaded = [("tool", one) for one in catalogue.tools.values()] + [
        ("task", one) for one in catalogue.tasks.values()
    ]
    return [
        (kind, one.name, one.manifest.metadata.version, one.file, one.digest[:19])
        for kind, one in loaded
    ]
