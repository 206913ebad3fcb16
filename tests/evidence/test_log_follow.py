"""Reading a log while it grows, on the real one."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.evidence.log import Log, LogSettings
from sandbox_runtime.evidence.reader import LogReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox_runtime.errors import EvidenceUnavailable


def append(root: Path, records: Sequence[bytes], segment_bytes: int = 1 << 20) -> None:
    asyncio.run(_append(root, records, segment_bytes))


async def _append(root: Path, records: Sequence[bytes], segment_bytes: int) -> None:
    settings = LogSettings(segment_bytes=segment_bytes, headroom=0, reserve=0)
    failures: list[EvidenceUnavailable] = []
    async with Log.open(root, on_failure=failures.append, settings=settings) as log:
        for record in records:
            await log.enqueue([record], []).wait()


def patience() -> None:
    raise TimeoutError


def test_what_is_written_while_one_waits_is_read_next(tmp_path: Path) -> None:
    append(tmp_path, [b"a", b"b"])
    coming = iter([[b"c"], [], [b"d", b"e"]])
    reader = LogReader(root=tmp_path).follow(1, lambda: append(tmp_path, next(coming)))
    assert list(islice(reader, 4)) == [(1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]


def test_following_may_begin_where_the_log_ends(tmp_path: Path) -> None:
    append(tmp_path, [b"a"])
    with pytest.raises(TimeoutError):
        next(LogReader(root=tmp_path).follow(1, patience))
    reader = LogReader(root=tmp_path).follow(1, lambda: append(tmp_path, [b"b"]))
    assert next(reader) == (1, b"b")


def test_a_reader_goes_with_the_log_from_segment_to_segment(tmp_path: Path) -> None:
    many = [bytes([65 + n]) * 100 for n in range(12)]
    append(tmp_path, many[:7], segment_bytes=300)
    for first in (0, 5, 7):
        coming = iter([many[7:]] if first == 0 else [[]])
        reader = LogReader(root=tmp_path).follow(
            first,
            lambda: append(tmp_path, next(coming), segment_bytes=300),  # noqa: B023 - used at once
        )
        assert list(islice(reader, 12 - first)) == list(enumerate(many))[first:]
    assert len(list((tmp_path / "log").iterdir())) > 3


def test_the_newest_record_is_found_in_the_last_segment_that_has_one(tmp_path: Path) -> None:
    append(tmp_path, [])
    assert LogReader(root=tmp_path).newest() is None
    append(tmp_path, [bytes([65 + n]) * 100 for n in range(12)], segment_bytes=300)
    assert LogReader(root=tmp_path).newest() == b"L" * 100
