"""How is the broker reached, what goes with each request, and when is it sent again?

Law: credentials travel over a Unix socket or loopback and nothing else. A request is sent
again only if that cannot do anything twice, and only within the caller's time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sandbox_runtime.client.failures import BrokerUnavailable
from sandbox_runtime.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.client.failures import BrokerError

Metadata = tuple[tuple[str, str], ...]

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

_TARGET = re.compile(r"unix:/[^\x00]+|(127\.0\.0\.1|\[::1\]):[0-9]{1,5}")
_FINAL = frozenset({Reason.SANDBOX_UNAVAILABLE})
"""Reasons that are recorded under the call's id: sending it again returns the same."""


def target(address: str) -> str:
    """Return `address` if it is `unix:/path` or a loopback `host:port`; raise `ValueError`."""
    if _TARGET.fullmatch(address) is None:
        raise ValueError(f"`{address}` is neither unix:/path nor a port on loopback")
    return address


def credentials(token: str | None, task_token: str | None) -> Metadata:
    """Return the metadata that says who asks, and for which task."""
    bearer = (("authorization", f"Bearer {token}"),) if token is not None else ()
    return (*bearer, *((("task-token", task_token),) if task_token is not None else ()))


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
