"""`sandbox-broker manifest`: its commands, and what a tree of manifests holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.manifest_explain import explain_
from sandbox_runtime.cli.manifest_init import init_
from sandbox_runtime.cli.manifest_schema import schema_
from sandbox_runtime.cli.manifest_test import test_
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.manifests.loader import load_tree

if TYPE_CHECKING:
    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.manifests.catalogue import Catalogue


@click.group("manifest")
def command() -> None:
    """Begin, check, test and explain tool and task manifests; print their schema."""


command.add_command(init_)
command.add_command(test_)
command.add_command(explain_)
command.add_command(schema_)


@command.command("check")
@click.argument(
    "tree", type=click.Path(path_type=Path, file_okay=False, exists=True), default="tool_manifests"
)
@speaks
def check_(output: Output, tree: Path) -> None:
    """Check every manifest under TREE, each alone and all against each other."""
    catalogue = load_tree(tree, shown=tree)
    output.result(
        {
            "digest": catalogue.digest,
            "tools": {name: tool.digest for name, tool in catalogue.tools.items()},
            "tasks": {name: task.digest for name, task in catalogue.tasks.items()},
        }
    )
    output.table(("kind", "name", "version", "file", "digest"), _rows(catalogue))


def _rows(catalogue: Catalogue) -> list[tuple[str, ...]]:
    loaded = [("tool", one) for one in catalogue.tools.values()] + [
        ("task", one) for one in catalogue.tasks.values()
    ]
    return [
        (kind, one.name, one.manifest.metadata.version, one.file, one.digest[:19])
        for kind, one in loaded
    ]
