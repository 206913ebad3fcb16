"""Bodies: what was sealed opens for its task alone, proves itself, and can be erased."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from sandbox_runtime.evidence.blobs import Bodies, BodyRef
from sandbox_runtime.evidence.faults import DamagedBody, Erased
from sandbox_runtime.evidence.keys import Keys
from sandbox_runtime.evidence.log import LogSettings
from sandbox_runtime.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Evidence

SMALL = LogSettings(segment_bytes=4096, headroom=0, reserve=0)


async def test_bodies_open_again_wherever_they_lie(evidence: Evidence) -> None:
    chance = random.Random(3)  # noqa: S311 - to be repeated
    async with evidence.open(SMALL) as log:
        bodies = evidence.bodies(log, "task")
        contents = [chance.randbytes(size) for size in (0, 1, 100, 5000, 20, 3000, 900, 900, 900)]
        kept = []
        for content in contents:
            sealed = bodies.seal("task", content)
            await log.append([b"record"], [sealed])
            kept.append((sealed.ref, content))
        chance.shuffle(kept)
        for ref, content in kept:
            assert bodies.open("task", ref) == content
            assert ref.size == len(content)
    without_log = Bodies(root=evidence.root, keys=Keys.open(evidence.root / "keys"))
    assert all(without_log.open("task", ref) == content for ref, content in kept)


async def test_a_body_sealed_early_and_appended_late_is_still_found(evidence: Evidence) -> None:
    async with evidence.open(SMALL) as log:
        bodies = evidence.bodies(log, "task")
        early = bodies.seal("task", b"early")
        for _ in range(10):
            await log.append([b"record"], [bodies.seal("task", b"other" * 200)])
        await log.append([b"record"], [early])
        assert bodies.open("task", early.ref) == b"early"


async def test_a_reference_survives_being_written_as_json(evidence: Evidence) -> None:
    async with evidence.open() as log:
        sealed = evidence.bodies(log, "task").seal("task", b"body")
    assert BodyRef.model_validate_json(sealed.ref.model_dump_json()) == sealed.ref
    with pytest.raises(ValidationError):
        BodyRef(commitment="not hexadecimal", size=1, at=0)


async def test_a_guess_cannot_be_tried_against_what_is_stored(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task", "other")
        first, second = (bodies.seal("task", b"approved") for _ in range(2))
        await log.append([first.ref.model_dump_json().encode()], [first, second])
        assert first.ref.commitment != second.ref.commitment
        assert bodies.mac("task", b"approved") == bodies.mac("task", b"approved")
        assert bodies.mac("task", b"approved") != bodies.mac("other", b"approved")
        assert bodies.mac("task", b"approved") != bodies.mac("task", b"denied")
    files = [path for path in evidence.root.rglob("*") if path.is_file()]
    assert all(b"approved" not in path.read_bytes() for path in files)


async def test_another_tasks_key_opens_nothing(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "one", "two")
        sealed = bodies.seal("one", b"body")
        await log.append([b"record"], [sealed])
        with pytest.raises(DamagedBody):
            bodies.open("two", sealed.ref)


async def test_a_reference_to_a_body_never_appended_is_damage(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task")
        with pytest.raises(DamagedBody, match="not found"):
            bodies.open("task", bodies.seal("task", b"body").ref)


async def test_a_reference_that_lies_about_size_is_damage(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task")
        sealed = bodies.seal("task", b"body")
        await log.append([b"record"], [sealed])
        with pytest.raises(DamagedBody):
            bodies.open("task", sealed.ref.model_copy(update={"size": 3}))


async def test_an_erased_task_opens_seals_and_identifies_nothing_and_the_log_verifies(
    evidence: Evidence,
) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "gone", "stays")
        kept = {task: bodies.seal(task, b"body") for task in ("gone", "stays")}
        for task, sealed in kept.items():
            await log.append([f"{task} {sealed.ref.model_dump_json()}".encode()], [sealed])
        Keys.open(evidence.root / "keys").destroy("gone")
        with pytest.raises(Erased):
            bodies.open("gone", kept["gone"].ref)
        with pytest.raises(Erased):
            bodies.seal("gone", b"more")
        with pytest.raises(Erased):
            bodies.mac("gone", b"bytes")
        assert bodies.open("stays", kept["stays"].ref) == b"body"
    report = verify(evidence.root, bodies=bodies, named=named)
    assert (report.problem, report.opened, report.erased) == (None, 1, 1)


async def test_verify_names_the_record_whose_body_is_not_the_one_committed_to(
    evidence: Evidence,
) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task")
        true, false = bodies.seal("task", b"true"), bodies.seal("task", b"false")
        await log.append([f"task {true.ref.model_dump_json()}".encode()], [true])
        await log.append([f"task {false.ref.model_dump_json()}".encode()])
    report = verify(evidence.root, bodies=bodies, named=named)
    assert report.problem
    assert (report.problem.sequence, report.opened) == (1, 1)
    assert "not found" in report.problem.what


async def test_a_changed_ciphertext_never_opens(evidence: Evidence) -> None:
    async with evidence.open() as log:
        bodies = evidence.bodies(log, "task")
        for at in range(120):
            sealed = bodies.seal("task", b"body" * 8)
            changed = bytearray(sealed.item)
            changed[at] ^= 1
            await log.append([b"record"], [replace(sealed, item=bytes(changed))])
            with pytest.raises(DamagedBody):
                bodies.open("task", sealed.ref)


def named(record: bytes) -> Iterator[tuple[str, BodyRef]]:
    task, ref = record.decode().split(" ", 1)
    yield task, BodyRef.model_validate_json(ref)
