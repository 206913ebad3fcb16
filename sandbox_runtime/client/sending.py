"""How is the broker reached, what goes with each request, and when is it sent again?

Law: credentials travel over a Unix socket, loopback or TLS and nothing else. A request is sent
again only if that cannot do anything twice, and only within the caller's time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from sandbox_runtime.client.failures import BrokerUnavailable
from sandbox_runtime.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.client.failures import BrokerError

Metadata = tuple[tuple[str, str], ...]
FilePath = str | PathLike[str]

MAX_ANSWER: Final = 96 << 20
"""Bytes of the largest answer that is taken: a result and its artifacts."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
)

_HERE = re.compile(r"unix:/[^\x00]+|(127\.0\.0\.1|\[::1\]):[0-9]{1,5}")
_ANYWHERE = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_FINAL = frozenset({Reason.SANDBOX_UNAVAILABLE})
"""Reasons that are recorded under the call's id: sending it again returns the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client shows of itself. Files are PEM."""

    certificate: FilePath | None = None
    key: FilePath | None = field(default=None, repr=False)
    ca: FilePath | None = None
    """Of the authority that signed the broker's certificate; None: of those the system trusts."""
    token: str | None = field(default=None, repr=False)
    on_behalf_of: str | None = None

    def for_task(self, task_token: str | None) -> Metadata:
        """Return the metadata that says who asks, for whom, and for which task."""
        shown = {
            "authorization": f"Bearer {self.token}" if self.token is not None else None,
            "on-behalf-of": self.on_behalf_of,
            "task-token": task_token,
        }
        return tuple((name, value) for name, value in shown.items() if value is not None)

    def secured(self, address: str) -> grpc.ChannelCredentials | None:
        """Return how TLS is spoken with the broker at `address`; None where it is not.

        Raises `ValueError` where nothing can be reached so, and `OSError` for a file.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key go together")
        tls = self.ca is not None or self.certificate is not None
        if _HERE.fullmatch(address) is not None and not tls:
            return None
        if _ANYWHERE.fullmatch(address) is None:
            hint = "TLS needs host:port" if tls else "it is neither unix:/path nor host:port"
            raise ValueError(f"`{address}` is no place of a broker: {hint}")
        return grpc.ssl_channel_credentials(
            root_certificates=_content(self.ca),
            private_key=_content(self.key),
            certificate_chain=_content(self.certificate),
        )


def _content(file: FilePath | None) -> bytes | None:
    return Path(file).read_bytes() if file is not None else None


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long to go on trying. `clock` counts seconds."""

    timeout: float | None
    repeatable: bool
    clock: Callable[[], float]
    longest: float = 10.0
    """Seconds after which nothing is sent again, whatever the timeout."""
    _start: float = field(init=False)
    _pause: float = 0.1

    def __post_init__(self) -> None:
        self._start = self.clock()

    def left(self) -> float | None:
        """Return the seconds that the next attempt may take; None is no limit."""
        if self.timeout is None:
            return None
        return max(self.timeout - (self.clock() - self._start), 0.0)

    def pause_after(self, failure: BrokerError) -> float:
        """Return the seconds to wait before the next attempt; raise `failure` if it is final."""
        spent = self.clock() - self._start
        most = self.longest if self.timeout is None else min(self.timeout, self.longest)
        again = isinstance(failure, BrokerUnavailable) and failure.reason not in _FINAL
        if not (again and self.repeatable and spent + self._pause < most):
            raise failure
        pause, self._pause = self._pause, min(self._pause * 2, 1.0)
        return pause
