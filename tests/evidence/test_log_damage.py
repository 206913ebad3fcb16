"""Damage: each changed, moved, repeated or missing byte is named, by reader and writer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from google_crc32c import extend, value

from sandbox_runtime.evidence.faults import DamagedLog
from sandbox_runtime.evidence.frames import HEADER_BYTES, Header, Kind, pack
from sandbox_runtime.evidence.log import LogSettings
from sandbox_runtime.evidence.reader import LogReader
from sandbox_runtime.evidence.segments import segments, walk
from sandbox_runtime.evidence.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.evidence.segments import Frame

    from .conftest import Evidence

SMALL = LogSettings(segment_bytes=4096, headroom=0, reserve=0)
RECORDS = 24


async def written(evidence: Evidence) -> list[Path]:
    """Write a log of several segments, one record a frame."""
    async with evidence.open(SMALL) as log:
        bodies = evidence.bodies(log, "task")
        for n in range(RECORDS):
            sealed = bodies.seal("task", b"body" * 100)
            await log.append([b"record %d " % n + b"." * 500], [sealed])
    return [segment.path for segment in segments(evidence.root / "log")]


def frames_of(path: Path) -> list[Frame]:
    return [f for f in walk(path.parent, Kind.RECORDS) if f.file == path.name]


def reseal(path: Path, groups: list[tuple[bytes, ...]]) -> None:
    """Rewrite a segment as someone would who can compute checksums, and keeps the chain."""
    raw = path.read_bytes()
    header, frames = Header.unpack(raw[:HEADER_BYTES]), frames_of(path)
    chains = [raw[f.offset + 16 : f.offset + 48] for f in frames]
    written, chain = header.pack(), header.chain
    for items, stored in zip(groups, chains, strict=False):
        frame, computed = pack(items, chain=chain, position=header.base + len(written))
        if computed != stored:
            frame = forge(items, stored, header.base + len(written))
        written, chain = written + frame, stored
    path.write_bytes(written)


def forge(items: tuple[bytes, ...], chain: bytes, position: int) -> bytes:
    """Return a frame with valid checksums that claims the chain value `chain`."""
    raw, computed = pack(items, chain=bytes(32), position=position)
    content: bytes = raw[16:].replace(computed, chain, 1)
    head = raw[:8] + int(value(content)).to_bytes(4)
    seal = int(extend(value(position.to_bytes(8)), head))
    return head + seal.to_bytes(4) + content


async def refused_everywhere(evidence: Evidence) -> DamagedLog:
    """Assert that no reading of the whole log passes over the damage."""
    with pytest.raises(DamagedLog) as found:
        list(LogReader(root=evidence.root).read())
    assert verify(evidence.root).problem
    return found.value


async def test_a_flipped_bit_anywhere_is_found_and_placed(evidence: Evidence) -> None:
    await written(evidence)
    chance = random.Random(7)  # noqa: S311 - to be repeated
    paths = [*(evidence.root / "log").iterdir(), *(evidence.root / "blobs").iterdir()]
    for _ in range(400):
        path = chance.choice(paths)
        whole = path.read_bytes()
        at = chance.randrange(len(whole))
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        problem = verify(evidence.root).problem
        assert problem, f"{path.name} at {at}"
        assert problem.file == f"{path.parent.name}/{path.name}"
        assert problem.offset <= at
        path.write_bytes(whole)
    assert verify(evidence.root).problem is None


async def test_a_flipped_bit_in_the_last_segment_is_never_cut_off_as_a_torn_tail(
    evidence: Evidence,
) -> None:
    path = (await written(evidence))[-1]
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[at] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(DamagedLog):
            evidence.open(SMALL)
        assert path.read_bytes() == flipped


async def test_damage_names_file_offset_and_sequence(evidence: Evidence) -> None:
    path = (await written(evidence))[1]
    frame = frames_of(path)[2]
    raw = bytearray(path.read_bytes())
    raw[frame.offset + 100] ^= 1
    path.write_bytes(raw)
    found = await refused_everywhere(evidence)
    place = f"{path.parent.name}/{path.name}"
    assert (found.file, found.offset, found.sequence) == (place, frame.offset, frame.first)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda frames: [frames[1], frames[0], *frames[2:]], id="two swapped"),
        pytest.param(lambda frames: [frames[0], frames[0], *frames[1:]], id="one repeated"),
        pytest.param(lambda frames: [frames[0], *frames[2:]], id="one left out"),
        pytest.param(lambda frames: [frames[2], *frames[1:]], id="one put over another"),
    ],
)
@pytest.mark.parametrize("which", [0, 1, -1])
async def test_moved_frames_are_found(evidence: Evidence, tamper: object, which: int) -> None:
    assert callable(tamper)
    path = (await written(evidence))[which]
    raw = path.read_bytes()
    cut = [raw[f.offset : f.offset + f.size] for f in frames_of(path)]
    path.write_bytes(raw[:HEADER_BYTES] + b"".join(tamper(cut)))
    await refused_everywhere(evidence)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda groups: [groups[1], groups[0], *groups[2:]], id="two swapped"),
        pytest.param(lambda groups: [groups[0], groups[0], *groups[2:]], id="one repeated"),
        pytest.param(lambda groups: [(b"forged",), *groups[1:]], id="one changed"),
        pytest.param(lambda groups: [*groups[:-1], (b"forged",)], id="the last one changed"),
    ],
)
async def test_changed_records_under_recomputed_checksums_break_the_chain(
    evidence: Evidence, tamper: object
) -> None:
    assert callable(tamper)
    path = (await written(evidence))[-1]
    reseal(path, tamper([frame.items for frame in frames_of(path)]))
    found = await refused_everywhere(evidence)
    assert "chain" in found.problem
    with pytest.raises(DamagedLog):
        evidence.open(SMALL)


async def test_a_missing_segment_is_found(evidence: Evidence) -> None:
    paths = await written(evidence)
    for path in (paths[0], paths[1]):
        whole = path.read_bytes()
        path.unlink()
        await refused_everywhere(evidence)
        with pytest.raises(DamagedLog):
            evidence.open(SMALL)
        path.write_bytes(whole)


async def test_a_shortened_segment_inside_the_log_is_found(evidence: Evidence) -> None:
    path = (await written(evidence))[1]
    whole = path.read_bytes()
    for length in (len(whole) - 1, frames_of(path)[-1].offset, HEADER_BYTES, 0):
        path.write_bytes(whole[:length])
        await refused_everywhere(evidence)
        with pytest.raises(DamagedLog):
            evidence.open(SMALL)


async def test_a_segment_of_another_log_is_found(evidence: Evidence, tmp_path: Path) -> None:
    path = (await written(evidence))[1]
    other = type(evidence)(root=tmp_path / "other")
    async with other.open(SMALL) as log:
        for n in range(RECORDS):
            await log.append([b"forgery%d " % n + b"." * 500])
    path.write_bytes((other.root / "log" / path.name).read_bytes())
    await refused_everywhere(evidence)


async def test_swapped_segments_are_found(evidence: Evidence) -> None:
    first, second = (await written(evidence))[:2]
    contents = second.read_bytes(), first.read_bytes()
    first.write_bytes(contents[0])
    second.write_bytes(contents[1])
    await refused_everywhere(evidence)


async def test_bodies_cannot_stand_in_for_records(evidence: Evidence) -> None:
    paths = await written(evidence)
    paths[0].write_bytes(min((evidence.root / "blobs").iterdir()).read_bytes())
    await refused_everywhere(evidence)


async def test_a_renamed_segment_is_found(evidence: Evidence) -> None:
    path = (await written(evidence))[-1]
    first, base = path.stem.split("-")
    path.rename(path.with_name(f"{int(first) + 1:016d}-{base}.seg"))
    await refused_everywhere(evidence)
    with pytest.raises(DamagedLog):
        evidence.open(SMALL)
