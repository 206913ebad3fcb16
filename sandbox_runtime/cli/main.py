"""Which commands are there, and what becomes of what they raise?"""

from __future__ import annotations

import importlib
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from sandbox_runtime.errors import Fault, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "serve": "sandbox_runtime.cli.serve",
        "call": "sandbox_runtime.cli.call",
        "manifest": "sandbox_runtime.cli.manifest",
        "tool": "sandbox_runtime.cli.tool",
        "log": "sandbox_runtime.cli.log",
        "demo": "sandbox_runtime.cli.demo",
    }
)
"""Command → the module whose `command` it is; imported when asked for."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandbox-broker")
def _group() -> None:
    """Decide, sandbox and record the tool calls of language models."""


def main() -> None:
    """Run the command line; exit codes as in the package's docstring."""
    from sandbox_runtime.cli.output import FAILED, FAULT, Failure, Output  # noqa: PLC0415

    output = Output(json="--json" in sys.argv)
    try:
        _group(prog_name="sandbox-broker")
    except Failure as failure:
        output.fail(failure)
    except Refusal as refusal:
        output.fail(Failure(refusal.problem, refusal.hint, FAILED))
    except Fault as fault:
        output.fail(Failure(str(fault), None, FAULT))
