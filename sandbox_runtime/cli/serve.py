"""`sandbox-broker serve`: run a broker until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
import structlog

from sandbox_runtime.cli.options import DEFAULT_STATE, data_option, sources, speaks
from sandbox_runtime.cli.output import FAULT, Failure, Output
from sandbox_runtime.server.listening import ListenRefused
from sandbox_runtime.server.loading import load, parse
from sandbox_runtime.server.serving import Ready, serve
from sandbox_runtime.validators.process import ValidatorsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.server.settings import Settings


@click.command("serve")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="SANDBOX_BROKER_CONFIG",
    show_envvar=True,
    help="The broker's settings, a YAML file.",
)
@click.option(
    "--dev",
    is_flag=True,
    help="Without settings, in a file or the environment: ./tool_manifests, loopback with a token,"
    " state under --state.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_STATE,
    show_default=True,
    help="The state directory of --dev.",
)
@data_option
@speaks
def command(
    output: Output, config: Path | None, state: Path, data: tuple[str, ...], *, dev: bool
) -> None:
    """Serve until SIGTERM or SIGINT; a second one cancels calls in flight at once.

    On SIGHUP manifests and images are read again, all or nothing; `log tail` shows which.
    """
    if (config is None) == (not dev):
        raise click.UsageError("name the settings with --config FILE, or say --dev")
    if data and not dev:
        raise click.UsageError("--data goes with --dev; the settings have their own")
    _diagnose_as_json()
    settings = load(config) if config is not None else _dev_settings(state, sources(data))
    try:
        asyncio.run(serve(settings, ready=_announcer(output)))
    except ListenRefused as refused:
        mend = "set another place under `listen` in the settings"
        raise Failure(str(refused), mend) from refused
    except ValidatorsUnavailable as fault:
        mend = "run the broker as root, with user ids under `validators` that nobody has"
        raise Failure(str(fault), mend, FAULT) from fault


def _dev_settings(state: Path, data: dict[str, Path]) -> Settings:
    socket = Path(tempfile.gettempdir(), "sandbox-broker-dev", "broker.sock")
    document = {
        "state_dir": str(state.absolute()),
        "manifests": str(Path("tool_manifests").absolute()),
        "listen": {"socket": str(socket), "dev": {}},
        "data": {name: str(path) for name, path in data.items()},
    }
    return parse("(--dev)", orjson.dumps(document).decode())


def _announcer(output: Output) -> Callable[[Ready], None]:
    def announce(ready: Ready) -> None:
        output.result(
            {
                "broker": ready.broker,
                "socket": f"unix:{ready.socket}",
                "port": ready.port,
                "tls": ready.tls,
                "token_file": str(ready.token_file) if ready.token_file else None,
            }
        )
        output.plain(f"ready on unix:{ready.socket}")
        if ready.port is not None:
            output.plain(f"ready on 127.0.0.1:{ready.port}, token in {ready.token_file}")
        if ready.tls is not None:
            output.plain(f"ready on {ready.tls}, with TLS")
        sys.stdout.flush()

    return announce


def _diagnose_as_json() -> None:
    """Diagnostics are for operators: JSON lines on standard error, never argument values."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _dumps(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
