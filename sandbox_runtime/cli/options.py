"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from sandbox_runtime.cli.output import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox_runtime.cli.output import Output

DEFAULT_STATE = Path("/var/lib/sandbox-broker")

P = ParamSpec("P")
R = TypeVar("R")


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")(command)


def speaks(command: Callable[Concatenate[Output, P], R]) -> Callable[P, R]:
    """Add `--json`, and give the command its `Output`, which has read it."""
    flag = click.option("--json", is_flag=True, expose_value=False, help="Write one JSON document.")
    return flag(click.pass_obj(command))


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


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`, which must be given."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        envvar="SANDBOX_BROKER_CONFIG",
        show_envvar=True,
        required=True,
        help="The broker's settings, a YAML file.",
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


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--data`, to be read by `sources`."""
    return click.option(
        "--data", multiple=True, metavar="NAME=PATH", help="Where data that tools mount lies."
    )(command)


def sources(data: Iterable[str]) -> dict[str, Path]:
    """Return the files that `--data` names."""
    return dict(_source(one) for one in data)


def _source(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).is_file()):
        raise Failure(f"`{text}` names no file", "write `--data NAME=PATH`", USAGE)
    return name, Path(path).absolute()
