"""Durations and sizes carry their unit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.manifests.units import (
    parse_duration,
    parse_size,
    print_duration,
    print_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("15m", 900), ("8h", 28800), ("7d", 604800)]
)
def test_a_duration_is_what_it_says(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert print_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64Ki", 1 << 16), ("128Mi", 1 << 27), ("1Gi", 1 << 30)]
)
def test_a_size_is_what_it_says(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert print_size(size) == text


@pytest.mark.parametrize(
    "text", ["", "10", 10, "0s", "-1s", "1.5s", "1 s", "10s\n", "\u0661s", "s", "1w", None, True]
)
def test_a_number_without_its_unit_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration like"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "10", 10, "0B", "1K", "1MB", "1.5Mi", "1 Mi", "1Mi\n", "\u0661B", None, True]
)
def test_a_number_without_its_unit_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size like"):
        parse_size(text)


@given(st.integers(1, 10**12))
def test_what_is_printed_is_read_as_the_same(number: int) -> None:
    assert parse_size(print_size(number)) == number
    milliseconds = timedelta(milliseconds=number % 10**8 + 1)
    assert parse_duration(print_duration(milliseconds)) == milliseconds
