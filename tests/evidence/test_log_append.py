"""Appending: order, atomicity, one sync for many, room, and one writer only."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.errors import EvidenceUnavailable
from sandbox_runtime.evidence.appender import Appender
from sandbox_runtime.evidence.faults import LogInUse
from sandbox_runtime.evidence.frames import Kind
from sandbox_runtime.evidence.log import MAX_RECORD, LogSettings
from sandbox_runtime.evidence.reader import LogReader
from sandbox_runtime.evidence.segments import segments, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox_runtime.evidence.log import Log, Ticket
    from sandbox_runtime.evidence.segments import Segment

    from .conftest import Evidence

SMALL = LogSettings(segment_bytes=4096, headroom=0, reserve=0)


def read(evidence: Evidence) -> list[bytes]:
    found = list(LogReader(root=evidence.root).read())
    assert [sequence for sequence, _ in found] == list(range(len(found)))
    return [record for _, record in found]


async def test_records_are_numbered_in_the_order_of_enqueueing_and_stay_so(
    evidence: Evidence,
) -> None:
    async with evidence.open() as log:
        tickets = [log.enqueue([b"%d" % n, b"and"]) for n in range(50)]
        assert [ticket.sequence for ticket in tickets] == list(range(0, 100, 2))
        await asyncio.gather(*(ticket.wait() for ticket in reversed(tickets)))
        assert all(ticket.durable for ticket in tickets)
    assert read(evidence)[::2] == [b"%d" % n for n in range(50)]


async def test_a_ticket_is_not_durable_before_the_loop_has_heard_of_the_sync(
    evidence: Evidence,
) -> None:
    async with evidence.open() as log:
        ticket = log.enqueue([b"record"])
        assert not ticket.durable
        await ticket.wait()
        assert ticket.durable


async def test_appends_that_wait_together_share_one_frame(evidence: Evidence) -> None:
    async with evidence.open() as log:
        await asyncio.gather(*(log.append([b"%d" % n]) for n in range(200)))
    frames = list(walk(Kind.RECORDS.directory(evidence.root), Kind.RECORDS))
    assert sum(len(frame.items) for frame in frames) == 200
    assert len(frames) < 100


async def test_a_reopened_log_goes_on_where_it_ended(evidence: Evidence) -> None:
    for start in range(0, 30, 10):
        async with evidence.open(SMALL) as log:
            assert (log.next, log.recovered) == (start, ())
            for n in range(start, start + 10):
                assert await log.append([b"%d" % n + b"." * 600]) == n
    assert [record.rstrip(b".") for record in read(evidence)] == [b"%d" % n for n in range(30)]
    assert len(segments(evidence.root / "log")) > 3


async def test_reading_from_the_middle_gives_exactly_what_was_asked_for(
    evidence: Evidence,
) -> None:
    async with evidence.open(SMALL) as log:
        for n in range(40):
            await log.append([b"%d" % n + b"." * 600])
    reader = LogReader(root=evidence.root)
    assert [sequence for sequence, _ in reader.read(17, 23)] == list(range(17, 24))
    assert [sequence for sequence, _ in reader.read(38)] == [38, 39]
    assert list(reader.read(40)) == []


async def test_a_reader_beside_the_writer_sees_a_growing_log_and_never_damage(
    evidence: Evidence,
) -> None:
    async with evidence.open(SMALL) as log:
        writing = asyncio.gather(*(log.append([b"%d" % n + b"." * 300]) for n in range(2000)))
        seen = 0
        while not writing.done():
            found = await asyncio.to_thread(read, evidence)
            assert len(found) >= seen
            seen = len(found)
        await writing
    assert len(read(evidence)) == 2000


async def test_frames_written_between_a_readers_last_look_and_a_rotation_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Appender(tmp_path, Kind.RECORDS, segment_bytes=1000)
    writer.append([b"seen"])

    def list_late(directory: Path) -> list[Segment]:
        while len(found := segments(directory)) == 1:
            writer.append([b"." * 100])
        return found

    reading = walk(tmp_path, Kind.RECORDS)
    assert next(reading).first == 0
    monkeypatch.setattr("sandbox_runtime.evidence.segments.segments", list_late)
    assert [frame.first for frame in reading] == list(range(1, writer.next))
    writer.close()


async def test_a_cancelled_waiter_cancels_neither_the_append_nor_who_else_waits(
    evidence: Evidence,
) -> None:
    async with evidence.open() as log:
        ticket = log.enqueue([b"record"])
        first, second = (asyncio.create_task(ticket.wait()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
    assert read(evidence) == [b"record"]


@pytest.mark.parametrize("records", [[], [b"x" * (MAX_RECORD + 1)]], ids=["none", "too large"])
async def test_an_append_without_records_or_with_too_large_a_one_is_refused(
    evidence: Evidence, records: list[bytes]
) -> None:
    async with evidence.open() as log:
        with pytest.raises(ValueError, match="records"):
            log.enqueue(records)
        assert await log.append([b"x" * MAX_RECORD]) == 0


async def test_closing_writes_what_waits_and_refuses_what_comes_later(evidence: Evidence) -> None:
    log = evidence.open()
    ticket = log.enqueue([b"last"])
    await log.close()
    await ticket.wait()
    assert not log.healthy
    with pytest.raises(EvidenceUnavailable):
        log.enqueue([b"later"])
    assert read(evidence) == [b"last"]


async def test_a_second_writer_is_refused_while_the_first_lives(evidence: Evidence) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from sandbox_runtime.evidence.log import Log\n"
        "async def main():\n"
        "    async with Log.open(pathlib.Path(sys.argv[1]), on_failure=print): pass\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, str(evidence.root)]
    async with evidence.open():
        with pytest.raises(LogInUse):
            evidence.open()
        other = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        assert other.returncode == 1
        assert b"LogInUse: another process is writing the log" in other.stderr
    again = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr


async def test_a_nearly_full_disk_refuses_new_work_and_still_takes_the_last_words(
    evidence: Evidence, small_disk: Callable[[str], Path]
) -> None:
    evidence.root = small_disk("4m") / "evidence"
    settings = LogSettings(headroom=2**20, reserve=2**20)
    async with evidence.open(settings) as log:
        with pytest.raises(EvidenceUnavailable, match="nearly full"):
            await append_forever(log, urgent=False)
        assert not log.healthy
        accepted = log.next
        with pytest.raises(EvidenceUnavailable, match="nearly full"):
            await append_forever(log, urgent=True)
        assert (log.next - accepted) * 50_000 > 1.5 * 2**20, "the reserve is given up as well"
        assert evidence.failures == []
    assert len(read(evidence)) == log.next


async def test_room_promised_to_waiting_appends_is_not_promised_twice(
    evidence: Evidence, small_disk: Callable[[str], Path]
) -> None:
    evidence.root = small_disk("2m") / "evidence"
    async with evidence.open() as log:
        tickets: list[Ticket] = []
        with pytest.raises(EvidenceUnavailable, match="nearly full"):
            enqueue_forever(log, tickets)
        await asyncio.gather(*(ticket.wait() for ticket in tickets))
        assert evidence.failures == []


async def append_forever(log: Log, *, urgent: bool) -> None:
    while True:
        await log.append([b"x" * 50_000], urgent=urgent)


def enqueue_forever(log: Log, tickets: list[Ticket]) -> None:
    while True:
        tickets.append(log.enqueue([b"x" * 50_000]))
