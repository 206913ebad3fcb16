"""`sandbox-broker doctor`: is this machine fit for a broker with these settings?"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click
import orjson
import structlog
from rich.markup import escape

from sandbox_runtime.cli.doctor.finding import Level
from sandbox_runtime.cli.doctor.of_broker import of_broker
from sandbox_runtime.cli.doctor.of_machine import of_machine
from sandbox_runtime.cli.doctor.seeing import facts
from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import FAILED, printable
from sandbox_runtime.server.loading import load, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.cli.doctor.finding import Finding
    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.server.settings import Settings

_COLOURS: Mapping[Level, str] = MappingProxyType(
    {Level.OK: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}
)


@click.command("doctor")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="SANDBOX_BROKER_CONFIG",
    show_envvar=True,
    help="The broker's settings. Without: the defaults, and ./tool_manifests.",
)
@speaks
def command(output: Output, config: Path | None) -> None:
    """Say what of this machine is as a broker needs it, and how to mend what is not.

    Brings up one container as a call's would be, and reads its walls back. Changes nothing.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    settings = load(config) if config is not None else _defaults()
    seen = asyncio.run(facts(settings))
    found = [*of_machine(seen), *of_broker(seen)]
    output.result(
        {
            "findings": [one.model_dump(mode="json") for one in found],
            "facts": seen.model_dump(mode="json"),
        }
    )
    for one in found:
        _show(output, one)
    counts = Counter(one.level for one in found)
    output.line(", ".join(f"{counts[level]} {level}" for level in Level))
    if counts[Level.WRONG]:
        raise SystemExit(FAILED)


def _defaults() -> Settings:
    document = {"manifests": str(Path("tool_manifests").absolute())}
    return parse("(defaults)", orjson.dumps(document).decode())


def _show(output: Output, one: Finding) -> None:
    mark = f"[{_COLOURS[one.level]}]{one.level:<7}[/]"
    first, *rest = printable(one.says).splitlines() or [""]
    output.line(f"{mark}  {escape(f'{one.about:<16}  {first}')}")
    for line in (*rest, *([f"mend: {one.mend}"] if one.mend is not None else [])):
        output.line(escape(f"{'':27}{printable(line)}"))
