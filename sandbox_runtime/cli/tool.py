"""`sandbox-broker tool`: begin one, build the tools' images, list them, try one, carry them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox_runtime.cli.manifest_init import tool_init_
from sandbox_runtime.cli.options import manifests_option, speaks
from sandbox_runtime.cli.output import Output
from sandbox_runtime.cli.tool_carry import load_, save_
from sandbox_runtime.cli.tool_try import try_
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.sandbox import images, lock

if TYPE_CHECKING:
    from sandbox_runtime.manifests.catalogue import LoadedTool

ENGINE = Path("/var/run/docker.sock")


@click.group("tool")
def command() -> None:
    """Begin a tool, build the tools' images, list them, try one, carry them elsewhere."""


for each in (tool_init_, try_, save_, load_):
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
