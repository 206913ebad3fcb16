"""`sandbox-broker tool save|load`: carry tools to a machine that can build none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from sandbox_runtime.cli.options import manifests_option, speaks
from sandbox_runtime.cli.output import Failure
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.sandbox import carrying
from sandbox_runtime.sandbox.shipment import CargoRefused

if TYPE_CHECKING:
    from sandbox_runtime.cli.output import Output

LOCK = "images.lock.json"


@click.command("save")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@manifests_option
@speaks
def save_(output: Output, file: Path, manifests: Path) -> None:
    """Write all tools' images, and their lock, to FILE, and print its digest.

    The digest should travel another way than the file.
    """
    try:
        digest = carrying.save(manifests / LOCK, file)
    except OSError as error:
        mend = "see that there is room, and that you may write there"
        raise Failure(f"`{file}` cannot be written: {error.strerror}", mend) from error
    size = file.stat().st_size
    output.result({"file": str(file), "digest": f"sha256:{digest}", "bytes": size})
    output.line(f"[green]written[/] {escape(str(file))}  {size >> 20} MiB")
    output.line(f"[bold]digest[/]  sha256:{digest}")


@click.command("load")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--digest", help="SHA-256 that the file has to have, as `tool save` printed it.")
@manifests_option
@speaks
def load_(output: Output, file: Path, digest: str | None, manifests: Path) -> None:
    """Give the images of FILE to the engine, and lock them; anything wrong with it changes nothing.

    The manifests themselves come from where they are reviewed.
    """
    tools = load_tree(manifests, shown=manifests).tools
    expected = digest.removeprefix("sha256:") if digest is not None else None
    try:
        made = carrying.load(file, manifests / LOCK, expected=expected)
    except CargoRefused as refused:
        mend = "carry it again; compare its digest with what `tool save` printed"
        raise Failure(str(refused), mend) from refused
    lacking = sorted(tools.keys() - made.tools.keys())
    images = {name: entry.image for name, entry in made.tools.items()}
    output.result({"tools": images, "lacking": lacking})
    output.table(("tool", "image"), [(name, image[:19]) for name, image in images.items()])
    for name in lacking:
        output.line(f"[yellow]lacking[/] {escape(name)}: the file holds no image for it")
