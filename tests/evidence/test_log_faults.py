"""Failing disks: the first failed write ends the log, and nothing is acknowledged wrongly."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.errors import EvidenceUnavailable, Reason
from sandbox_runtime.evidence.log import LogSettings
from sandbox_runtime.evidence.reader import LogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox_runtime.evidence.log import Log

    from .conftest import Evidence


async def append_until_refused(log: Log) -> int:
    """Append from several writers; return how many appends were acknowledged."""
    ends = await asyncio.gather(
        *(log.append([os.urandom(50_000)]) for _ in range(200)), return_exceptions=True
    )
    acknowledged = [end for end in ends if isinstance(end, int)]
    refused = [end for end in ends if isinstance(end, EvidenceUnavailable)]
    assert len(acknowledged) + len(refused) == len(ends)
    assert {end.reason for end in refused} == {Reason.EVIDENCE_UNAVAILABLE}
    return len(acknowledged)


async def assert_ended(evidence: Evidence, log: Log) -> None:
    assert not log.healthy
    assert len(evidence.failures) == 1
    for urgent in (False, True):
        with pytest.raises(EvidenceUnavailable):
            log.enqueue([b"small"], urgent=urgent)
    await log.close()


async def test_a_sync_that_fails_after_the_write_succeeded_ends_the_log(
    evidence: Evidence, deceptive_disk: Path
) -> None:
    evidence.root = deceptive_disk / "evidence"
    log = evidence.open()
    acknowledged = await append_until_refused(log)
    free = os.statvfs(deceptive_disk)
    assert free.f_bavail * free.f_frsize > 10 * 2**20, "the disk should have said that it has room"
    await assert_ended(evidence, log)
    assert acknowledged < 200


async def test_a_disk_without_room_for_a_new_segment_ends_the_log_and_keeps_the_rest(
    evidence: Evidence, small_disk: Callable[[str], Path]
) -> None:
    evidence.root = small_disk("8m,nr_inodes=12") / "evidence"
    log = evidence.open(LogSettings(segment_bytes=200_000, headroom=0, reserve=0))
    acknowledged = await append_until_refused(log)
    assert evidence.failures[0].__cause__.__class__ is OSError
    await assert_ended(evidence, log)
    kept = list(LogReader(root=evidence.root).read())
    assert len(kept) >= acknowledged > 0


async def test_a_write_cut_short_by_the_kernel_ends_the_log_and_is_cut_off_later(
    evidence: Evidence,
) -> None:
    log = evidence.open()
    await log.append([b"kept"])
    size = evidence.last_segment().stat().st_size
    with file_size_limit(size + 100), pytest.raises(EvidenceUnavailable, match="File too large"):
        await log.append([b"x" * 1000])
    await assert_ended(evidence, log)
    async with evidence.open() as log:
        assert [cut.bytes_cut for cut in log.recovered] == [100]
        assert await log.append([b"next"]) == 1


async def test_a_body_that_cannot_be_written_leaves_no_record_that_names_it(
    evidence: Evidence,
) -> None:
    log = evidence.open()
    sealed = evidence.bodies(log, "task").seal("task", b"x" * 100_000)
    with file_size_limit(50_000), pytest.raises(EvidenceUnavailable):
        await log.append([b"names the body"], [sealed])
    await assert_ended(evidence, log)
    async with evidence.open() as log:
        assert log.next == 0
    assert list(LogReader(root=evidence.root).read()) == []


async def test_nothing_is_written_behind_a_failed_write(evidence: Evidence) -> None:
    one_by_one = LogSettings(batch_bytes=1, headroom=0, reserve=0)
    log = evidence.open(one_by_one)
    sealed = evidence.bodies(log, "task").seal("task", b"x" * 100_000)
    with file_size_limit(50_000):
        tickets = [log.enqueue([b"names the body"], [sealed]), log.enqueue([b"would fit"])]
        for ticket in tickets:
            with pytest.raises(EvidenceUnavailable):
                await ticket.wait()
    assert not any(ticket.durable for ticket in tickets)
    await assert_ended(evidence, log)
    assert list(LogReader(root=evidence.root).read()) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the kernel refuse any write of this process beyond `size` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
