"""`sandbox-broker config`: which settings would be in force, and where each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.options import config_option, speaks
from sandbox_runtime.destinations import json_text
from sandbox_runtime.server.loading import given
from sandbox_runtime.server.origins import origins

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.server.origins import Origin
    from sandbox_runtime.strict import Json


@click.command("config")
@config_option
@speaks
def command(output: Output, config: Path) -> None:
    """Print the settings that `serve --config FILE` would run with."""
    found = origins(given(config))
    listed: list[Json] = [
        {"name": one.name, "value": one.value, "source": one.source} for one in found
    ]
    output.result({"settings": listed})
    output.table(("setting", "value", "from"), [_row(one) for one in found])


def _row(one: Origin) -> tuple[str, str, str]:
    written = one.value if isinstance(one.value, str) else json_text.canonical(one.value).decode()
    return one.name, written, one.source
