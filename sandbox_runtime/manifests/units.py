"""How are durations and sizes written in a manifest?

Law: a number without its unit is an error; nobody has to guess.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = r"^([1-9][0-9]{0,8})(ms|s|m|h|d)$"
_SIZE = r"^([1-9][0-9]{0,11})(B|Ki|Mi|Gi)$"
_A_DURATION = "expected a duration like `250ms`, `10s`, `15m`, `8h` or `7d`"
_A_SIZE = "expected a size like `512B`, `64Ki`, `128Mi` or `1Gi`"
# Smallest unit first; each divides the next.
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def parse_duration(text: object) -> timedelta:
    """Return the duration that `10s`, `15m` or `250ms` names."""
    if isinstance(text, timedelta):
        return text
    match = re.fullmatch(_DURATION, text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(_A_DURATION)
    return timedelta(milliseconds=int(match[1]) * _MILLISECONDS[match[2]])


def parse_size(text: object) -> int:
    """Return the bytes that `64Ki`, `128Mi` or `1Gi` names."""
    match = re.fullmatch(_SIZE, text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(_A_SIZE)
    return int(match[1]) * _BYTES[match[2]]


def print_duration(value: timedelta) -> str:
    """Return the duration as a manifest writes it, in the largest unit that is exact."""
    milliseconds = round(value.total_seconds() * 1000)
    unit = next(u for u, ms in reversed(_MILLISECONDS.items()) if milliseconds % ms == 0)
    return f"{milliseconds // _MILLISECONDS[unit]}{unit}"


def print_size(value: int) -> str:
    """Return the size as a manifest writes it, in the largest unit that is exact."""
    unit = next(u for u, size in reversed(_BYTES.items()) if value % size == 0)
    return f"{value // _BYTES[unit]}{unit}"


def durations(least: str, most: str) -> AfterValidator:
    """Return what lets durations from `least` to `most` pass, both as a manifest writes them."""
    low, high = parse_duration(least), parse_duration(most)

    def within(value: timedelta) -> timedelta:
        if low <= value <= high:
            return value
        msg = f"expected a duration from `{least}` to `{most}`"
        raise ValueError(msg)

    return AfterValidator(within)


def sizes(least: str, most: str) -> AfterValidator:
    """Return what lets sizes from `least` to `most` pass, both as a manifest writes them."""
    low, high = parse_size(least), parse_size(most)

    def within(value: int) -> int:
        if low <= value <= high:
            return value
        msg = f"expected a size from `{least}` to `{most}`"
        raise ValueError(msg)

    return AfterValidator(within)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(print_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION, "patternErrorMessage": _A_DURATION}),
]
"""A positive length of time, written with its unit."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(print_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _SIZE, "patternErrorMessage": _A_SIZE}),
]
"""A positive number of bytes, written with its unit."""
