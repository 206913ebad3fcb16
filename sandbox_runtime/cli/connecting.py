"""How does a command reach a running broker, and what does it say when that fails?

Law: a refusal keeps its reason, place and hint; that nobody answers is a fault, with its mend.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sandbox_runtime.cli.output import FAULT, USAGE, Failure
from sandbox_runtime.client import (
    Broker,
    BrokerError,
    BrokerFault,
    BrokerUnavailable,
    CallRefused,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sandbox_runtime.cli.output import Output

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the broker is, and who asks."""

    target: str
    shown: Mapping[str, Any] = field(repr=False)
    """What is shown of oneself: `token`, `certificate`, `key`, `ca`, `on_behalf_of`."""

    @contextmanager
    def broker(self) -> Iterator[Broker]:
        """Yield a client; what goes wrong meanwhile becomes a `Failure`."""
        try:
            with self._connected() as broker:
                yield broker
        except BrokerError as error:
            raise failure(error, self.target) from error

    @contextmanager
    def task(self, task_id: str, task_token: str) -> Iterator[Task]:
        """Yield an open task, and leave it open."""
        with self.broker() as broker:
            yield broker.task(task_id, task_token)

    def _connected(self) -> Broker:
        try:
            return Broker.connect(self.target, **self.shown)
        except ValueError as bad:
            mend = "write `unix:/path/of/broker.sock`, or `HOST:PORT` with a certificate or token"
            raise Failure(str(bad), mend, USAGE) from bad


_SHOWN = ("token", "certificate", "key", "ca", "on_behalf_of")
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_OPTIONS = (
    click.option(
        "--token", envvar="SANDBOX_BROKER_TOKEN", help="Bearer token, on loopback or over TLS."
    ),
    click.option(
        "--certificate",
        type=_FILE,
        envvar="SANDBOX_BROKER_CERTIFICATE",
        help="Own certificate, for TLS.",
    ),
    click.option("--key", type=_FILE, envvar="SANDBOX_BROKER_KEY", help="Its key."),
    click.option(
        "--ca", type=_FILE, envvar="SANDBOX_BROKER_CA", help="Who signed the broker's certificate."
    ),
    click.option(
        "--on-behalf-of", metavar="SUBJECT", help="For whom a delegate of the manifest asks."
    ),
)


def shows(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that say who asks, and give the command them as `shown`."""

    @wraps(command)
    def showing(*args: object, **options: object) -> R:
        shown = {name: options.pop(name) for name in _SHOWN}
        return command(*args, shown=shown, **options)

    for option in reversed(_OPTIONS):
        showing = option(showing)
    return showing


def connects(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that lead to a broker, and give the command its `Connection`."""

    @click.option(
        "--broker",
        "target",
        envvar="SANDBOX_BROKER",
        default="unix:/run/sandbox-broker/broker.sock",
        show_default=True,
        show_envvar=True,
        help="Address of the broker.",
    )
    @shows
    @wraps(command)
    def connected(output: Output, *, target: str, shown: Mapping[str, Any], **options: object) -> R:
        return command(output, Connection(target=target, shown=shown), **options)

    return connected


task_token_option = click.option(
    "--task-token",
    envvar="SANDBOX_BROKER_TASK_TOKEN",
    required=True,
    show_envvar=True,
    help="The task's token, as `task open` told it.",
)
"""Adds `--task-token`: the credential of an open task."""


def failure(error: BrokerError, target: str) -> Failure:
    """Return how a command ends that was answered so."""
    reason = {"reason": error.reason}
    match error:
        case CallRefused():
            return _refusal(error)
        case BrokerUnavailable(reason=None):
            mend = "start one with `sandbox-broker serve`, or name another with --broker"
            return Failure(f"no broker answers at `{target}`", mend, FAULT)
        case BrokerUnavailable():
            return Failure(error.problem, "try again; then ask its operator", FAULT, reason)
        case BrokerFault():
            mend = f"its operator finds it under incident `{error.incident}`"
            return Failure(error.problem, mend, FAULT, reason)
        case _:
            return Failure(error.problem, more=reason)


def _refusal(refused: CallRefused) -> Failure:
    place = f" at `{refused.pointer}`" if refused.pointer else ""
    code = f" ({refused.code})" if refused.code else ""
    return Failure(
        f"{refused.reason or 'refused'}{place}: {refused.problem}{code}",
        refused.hint or f"this is for the {refused.mender} to mend",
        more={
            "reason": refused.reason,
            "code": refused.code,
            "pointer": refused.pointer,
            "problem": refused.problem,
            "hint": refused.hint,
            "mender": refused.mender,
            "retry": refused.retry,
        },
    )
