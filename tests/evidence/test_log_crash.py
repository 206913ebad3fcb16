"""Crashes: what was acknowledged is there, whole and in order; what was torn is cut and said."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.evidence.blobs import Bodies, BodyRef
from sandbox_runtime.evidence.frames import HEADER_BYTES
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.reader import LogReader
from sandbox_runtime.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Evidence

WRITER = Path(__file__).with_name("crash_writer.py")


def write_and_kill(root: Path, run: str, after: float) -> list[dict[str, Any]]:
    """Start a writer, kill it `after` seconds from its first acknowledgement."""
    command = [sys.executable, str(WRITER), str(root), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: S603 - our own
        assert writer.stdout
        first = writer.stdout.readline()
        time.sleep(after)
        writer.kill()
        heard = first + writer.stdout.read()
    return [json.loads(line) for line in heard.split(b"\n")[:-1]]


def named(record: bytes) -> Iterator[tuple[str, BodyRef]]:
    yield "task", BodyRef.model_validate(json.loads(record)["ref"])


async def test_after_sigkill_at_any_moment_all_that_was_acknowledged_is_there(
    evidence: Evidence,
) -> None:
    moments = random.Random(20240229)  # noqa: S311 - to be repeated
    acknowledged: list[dict[str, Any]] = []
    for run in range(6):
        heard = write_and_kill(evidence.root, str(run), moments.uniform(0.01, 0.25))
        assert heard
        acknowledged += heard
        async with evidence.open() as log:
            assert log.next >= acknowledged[-1]["sequence"] + 3
    records = [json.loads(record) for _, record in LogReader(root=evidence.root).read()]
    for said in acknowledged:
        sequence = said.pop("sequence")
        assert records[sequence : sequence + 3] == [{**said, "part": part} for part in range(3)]
    assert [record["part"] for record in records] == [0, 1, 2] * (len(records) // 3)
    bodies = Bodies(root=evidence.root, keys=Keys.open(evidence.root / "keys"))
    report = verify(evidence.root, bodies=bodies, named=named)
    assert (report.problem, report.opened) == (None, len(records))


async def test_a_last_write_cut_at_any_byte_is_cut_off_and_reported(evidence: Evidence) -> None:
    async with evidence.open() as log:
        for record in (b"kept", b"kept too"):
            await log.append([record])
        kept = evidence.last_segment().stat().st_size
        await log.append([b"torn " * 30, b"with the other half"])
    path = evidence.last_segment()
    whole = path.read_bytes()
    for length in range(kept + 1, len(whole)):
        path.write_bytes(whole[:length])
        assert [record for _, record in LogReader(root=evidence.root).read()] == [
            b"kept",
            b"kept too",
        ]
        assert verify(evidence.root).unfinished == length - kept
        async with evidence.open() as log:
            assert log.next == 2
            (cut,) = log.recovered
            assert (cut.file, cut.offset, cut.bytes_cut) == (path.name, kept, length - kept)
        assert path.read_bytes() == whole[:kept]


@pytest.mark.parametrize("zeros", [1, 15, 512, 100_000])
async def test_a_tail_of_zeros_is_cut_off_and_writing_goes_on(
    evidence: Evidence, zeros: int
) -> None:
    async with evidence.open() as log:
        await log.append([b"kept"])
    with evidence.last_segment().open("ab") as file:
        file.write(bytes(zeros))
    async with evidence.open() as log:
        assert [cut.bytes_cut for cut in log.recovered] == [zeros]
        assert await log.append([b"next"]) == 1
    assert verify(evidence.root).records == 2


async def test_a_torn_body_is_cut_off_and_no_record_names_it(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task")
        sealed = bodies.seal("task", b"kept")
        await log.append([b"record"], [sealed])
    with evidence.last_segment("blobs").open("ab") as file:
        file.write(b"\xf5SBF\0\0")
    async with evidence.open() as log:
        assert [cut.bytes_cut for cut in log.recovered] == [6]
        assert bodies.open("task", sealed.ref) == b"kept"


async def test_a_segment_that_never_got_its_name_is_removed(evidence: Evidence) -> None:
    async with evidence.open() as log:
        await log.append([b"kept"])
    unfinished = evidence.last_segment().with_suffix(".new")
    unfinished.write_bytes(bytes(HEADER_BYTES // 2))
    async with evidence.open() as log:
        assert log.next == 1
    assert not unfinished.exists()
