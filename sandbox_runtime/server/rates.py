"""How often, and how much at once, may one task and one subject ask?

Law: asking is limited before anything is decided or appended, so that nobody can fill the
disk or occupy the validators faster than the settings allow.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MANY = 4096
"""Buckets in memory before the full ones are forgotten."""


class Rate(Strict):
    """Requests: so many at once, and so many a second after that."""

    per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)]


class RateLimited(Refusal):
    """Asked too often."""

    reason = Reason.RATE_LIMITED

    def __init__(self, retry_after: timedelta) -> None:
        hint = "wait, then send the same again"
        super().__init__("too many requests", hint=hint, retry_after=retry_after)


class TooManyAtOnce(Refusal):
    """Asked too much at once."""

    reason = Reason.RATE_LIMITED

    def __init__(self, most: int) -> None:
        hint = "wait for an answer, then send the same again"
        super().__init__(f"{most} requests of the caller are in progress", hint=hint)


class InProgress:
    """Counts requests in progress by key; `most` for each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counted: Counter[str] = Counter()

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Count one request while the block lasts; raise `TooManyAtOnce` beyond the most."""
        if self._counted[key] >= self._most:
            raise TooManyAtOnce(self._most)
        self._counted[key] += 1
        try:
            yield
        finally:
            self._counted[key] -= 1
            if not self._counted[key]:
                del self._counted[key]


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """One token bucket for each key. `clock` counts seconds."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str) -> None:
        """Count one request under `key`; raise `RateLimited` where it is one too many."""
        now = self._clock()
        bucket = self._buckets.get(key) or self._new(key, now)
        bucket.tokens, bucket.at = self._filled(bucket, now), now
        if bucket.tokens < 1:
            raise RateLimited(timedelta(seconds=(1 - bucket.tokens) / self._rate.per_second))
        bucket.tokens -= 1

    def _new(self, key: str, now: float) -> _Bucket:
        if len(self._buckets) >= _MANY:
            # A full bucket and none are the same.
            self._buckets = {
                each: bucket
                for each, bucket in self._buckets.items()
                if self._filled(bucket, now) < self._rate.burst
            }
        bucket = self._buckets[key] = _Bucket(float(self._rate.burst), now)
        return bucket

    def _filled(self, bucket: _Bucket, now: float) -> float:
        gained = (now - bucket.at) * self._rate.per_second
        return min(bucket.tokens + gained, float(self._rate.burst))
