"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_STATE = Path("/var/lib/sandbox-broker")


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")(command)


def state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--state`."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="SANDBOX_BROKER_STATE",
        default=DEFAULT_STATE,
        show_default=True,
        show_envvar=True,
        help="The broker's state directory.",
    )(command)


def manifests_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--manifests`."""
    return click.option(
        "--manifests",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path("tool_manifests"),
        show_default=True,
        help="The tree of tool and task manifests.",
    )(command)
