from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.server import rates
from sandbox_runtime.server.rates import Buckets, Rate, RateLimited


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_next_has_to_wait() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_second=2, burst=3), clock)
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(RateLimited) as caught:
        buckets.take("a")
    assert caught.value.retry_after is not None
    clock.now += caught.value.retry_after.total_seconds()
    buckets.take("a")


def test_one_key_takes_nothing_from_another() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), Clock())
    buckets.take("a")
    buckets.take("b")


@given(st.lists(st.floats(min_value=0, max_value=2), max_size=60))
def test_no_pattern_of_asking_gets_more_than_the_rate(gaps: list[float]) -> None:
    clock, taken = Clock(), 0
    buckets = Buckets(Rate(per_second=3, burst=5), clock)
    for gap in gaps:
        clock.now += gap
        try:
            buckets.take("a")
        except RateLimited:
            continue
        taken += 1
    assert taken <= 5 + 3 * clock.now + 1e-6


def test_keys_that_are_asked_about_once_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MANY", 100)
    clock = Clock()
    buckets = Buckets(Rate(per_second=1000, burst=1), clock)
    for number in range(10_000):
        clock.now += 1
        buckets.take(str(number))
    assert len(buckets._buckets) <= 100  # noqa: SLF001 - memory is what this is about


def test_forgetting_gives_nobody_tokens_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MANY", 1)
    clock = Clock()
    buckets = Buckets(Rate(per_second=0.001, burst=1), clock)
    buckets.take("a")
    buckets.take("b")
    with pytest.raises(RateLimited):
        buckets.take("a")
