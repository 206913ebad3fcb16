"""Which commands are there, and what becomes of what they raise?"""

from __future__ import annotations

import importlib
import os
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "serve": ("sandbox_runtime.cli.serve", "Run a broker until it is told to stop."),
        "doctor": ("sandbox_runtime.cli.doctor", "Say whether this machine is fit for a broker."),
        "config": ("sandbox_runtime.cli.config", "Print the settings, and where each comes from."),
        "call": ("sandbox_runtime.cli.call", "Propose one tool call to a running broker."),
        "manifest": ("sandbox_runtime.cli.manifest", "Begin, check, test and explain manifests."),
        "tool": ("sandbox_runtime.cli.tool", "Build the tools' images, list them, try one."),
        "task": ("sandbox_runtime.cli.task", "List tasks, show what happened in one."),
        "calls": ("sandbox_runtime.cli.calls", "List calls, show one whole."),
        "file": ("sandbox_runtime.cli.file", "Bring files into a task's workspace, get them out."),
        "output": ("sandbox_runtime.cli.output_check", "Ask a destination what may go to it."),
        "identity": ("sandbox_runtime.cli.identity", "Issue certificates and tokens, revoke them."),
        "log": ("sandbox_runtime.cli.log", "Read, follow and verify the action log."),
        "demo": ("sandbox_runtime.cli.demo", "Play a scripted agent against a real broker."),
    }
)
"""Command → the module whose `command` it is, imported when asked for, and what it does."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandbox-broker")
def _group() -> None:
    """Decide, sandbox and record the tool calls of language models."""


def main() -> None:
    """Run the command line; exit codes as in the package's docstring."""
    if sys.argv[1:] in ([], ["-h"], ["--help"], ["--version"]):
        _group(prog_name="sandbox-broker")  # says it without importing a command
    from sandbox_runtime.cli.failing import ENDS, failure  # noqa: PLC0415
    from sandbox_runtime.cli.output import FAILED, Failure, Output  # noqa: PLC0415

    output = Output(json="--json" in sys.argv)
    try:
        code = _group.main(prog_name="sandbox-broker", standalone_mode=False, obj=output)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()
        code = bare.exit_code
    except BrokenPipeError:
        # Whoever read has gone; the interpreter's own last flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Failure as ended:
        output.fail(ended)
    except ENDS as error:
        output.fail(failure(error))
    sys.exit(code)
