"""Whatever a worker does, the pool answers in time, and never lets the value pass."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from sandbox_runtime.call import Attempt, Candidate, CheckAborted, Finding, Objected
from sandbox_runtime.validators import Limits, Validators, ValidatorsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox_runtime.call import Check, ProposedCall
    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.strict import Json
    from sandbox_runtime.validators.process import Worker

    Build = Callable[..., Check]

FINDING: dict[str, Json] = {
    "verdict": "finding",
    "pointer": "",
    "kind": "raw",
    "value": "forged",
    "facts": {},
    "changes": [],
    "shown": None,
}
OBJECTED: dict[str, Json] = {
    "verdict": "objected",
    "pointer": "",
    "kind": "raw",
    "code": "raw.wrong",
    "problem": "",
    "subject": None,
    "position": None,
    "hint": None,
}


def candidate(arguments: dict[str, Json], *attempts: tuple[Check, ...]) -> Candidate:
    return Candidate(
        call=cast("ProposedCall", None),
        tool=cast("LoadedTool", None),
        arguments=arguments,
        attempts=tuple(
            Attempt(grant=f"g{index}", grant_index=index, checks=checks)
            for index, checks in enumerate(attempts)
        ),
    )


def children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in listed.read_text().split()}


OTHERS: set[int] = set()
"""Children of this process that other tests left to it."""


@pytest.fixture(autouse=True, scope="module")
def others() -> None:
    OTHERS.update(children())


def worker_pids() -> set[int]:
    return children() - OTHERS


async def works(validators: Validators, check: Build) -> bool:
    (verdict,) = await validators.check_value("x", [check("upper")])
    return isinstance(verdict, Finding) and verdict.value == "X"


async def test_every_attempt_is_answered_from_one_worker(hostile: Validators, check: Build) -> None:
    asked = candidate(
        {"q": "a"},
        (check("upper", "/q"), check("object", "/q"), check("upper", "/q")),
        (check("upper", "/absent"),),
        (),
        (check("upper", "/q"),),
    )
    checked = await hostile.check(asked)
    kinds = [[verdict.verdict for verdict in verdicts] for verdicts in checked.verdicts]
    assert kinds == [["finding", "objected"], [], [], ["finding"]]
    objected = checked.verdicts[0][1]
    assert isinstance(objected, Objected)
    assert (objected.pointer, objected.position) == ("/q/below", (1, 2))


async def test_nothing_to_check_asks_no_worker() -> None:
    assert await Validators().check_value("x", []) == ()


@pytest.mark.parametrize(
    ("deed", "value", "cause"),
    [
        pytest.param("burn", None, "time", id="a-loop-without-end"),
        pytest.param("sleep", 60.0, "time", id="waiting"),
        pytest.param("hog", None, "memory", id="memory-without-end"),
        pytest.param("crash", None, "crash", id="a-segmentation-fault"),
        pytest.param("overflow", 1 << 24, "crash", id="an-overflow-of-the-c-stack"),
        pytest.param("wrong", None, "crash", id="an-error-of-the-destination"),
    ],
)
async def test_a_value_that_fells_its_worker_is_aborted_and_the_next_is_checked(
    hostile: Validators, check: Build, deed: str, value: Json, cause: str
) -> None:
    before = worker_pids()
    checks = (check("upper", "/q"), check(deed, "/v"), check("upper", "/q"))
    checked = await hostile.check(candidate({"q": "a", "v": value}, checks, checks[:1], ()))
    first, second, third = checked.verdicts
    assert [verdict.verdict for verdict in first] == ["finding", "aborted"]
    assert first[1] == CheckAborted(pointer="/v", kind=deed, cause=cause)
    assert second == (CheckAborted(pointer="/q", kind="upper", cause=cause),)
    assert third == ()
    assert await works(hostile, check)
    assert before.isdisjoint(worker_pids())


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGKILL", "SIGTERM", "SIGSEGV"])
async def test_a_worker_that_is_struck_down_at_work_aborts_its_job(
    hostile: Validators, check: Build, name: str
) -> None:
    (pid,) = worker_pids()
    job = asyncio.create_task(hostile.check_value(0.9, [check("sleep")]))
    await asyncio.sleep(0.1)
    os.kill(pid, getattr(signal, name))
    cause = "time" if name == "SIGSTOP" else "crash"
    assert await job == (CheckAborted(pointer="", kind="sleep", cause=cause),)
    assert await works(hostile, check)


async def test_a_worker_that_died_idle_costs_no_value(hostile: Validators, check: Build) -> None:
    (pid,) = worker_pids()
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(0.1)
    assert await works(hostile, check)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"type": "said", "job": 2, "verdict": FINDING}, id="another-job"),
        pytest.param(
            {"type": "said", "job": 1, "verdict": {**FINDING, "kind": "sql"}}, id="another-kind"
        ),
        pytest.param(
            {"type": "said", "job": 1, "verdict": {**FINDING, "pointer": "/x"}},
            id="another-place",
        ),
        pytest.param({"type": "ready"}, id="ready-again"),
        pytest.param({"type": "unable", "step": "", "problem": ""}, id="unable-after-all"),
        pytest.param({"type": "said", "job": 1, "verdict": None}, id="no-verdict"),
        pytest.param(
            {
                "type": "said",
                "job": 1,
                "verdict": {"verdict": "aborted", "pointer": "", "kind": "raw", "cause": "time"},
            },
            id="an-abort",
        ),
        pytest.param(
            {"type": "said", "job": 1, "verdict": {**OBJECTED, "code": "raw.the secret value"}},
            id="a-value-in-the-code",
        ),
        pytest.param(
            {"type": "said", "job": 1, "verdict": {**OBJECTED, "code": "x" * 70_000}},
            id="a-code-that-no-leaf-holds",
        ),
    ],
)
async def test_a_message_out_of_place_aborts_the_job_and_ends_the_worker(
    hostile: Validators, check: Build, sent: dict[str, Json]
) -> None:
    body = written(sent)
    frame = len(body).to_bytes(4, "big") + body
    await assert_crash(hostile, check, frame)


@pytest.mark.parametrize(
    "bytes_",
    [
        pytest.param(b"\xff\xff\xff\xff", id="four-gigabytes-announced"),
        pytest.param(b"\0\0\0\0", id="an-empty-frame"),
        pytest.param(b"\0\0\0\x02{]", id="no-json"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another-protocol"),
    ],
)
async def test_bytes_that_are_no_frame_abort_the_job_and_end_the_worker(
    hostile: Validators, check: Build, bytes_: bytes
) -> None:
    await assert_crash(hostile, check, bytes_)


async def test_a_frame_that_never_ends_is_aborted_in_time(
    hostile: Validators, check: Build
) -> None:
    half = b"\0\0\x01\0" + b"{"
    checks = [check("raw"), check("sleep")]
    (verdict,) = await hostile.check_value(half.hex(), checks)
    assert isinstance(verdict, CheckAborted)


async def test_a_verdict_sent_ahead_is_not_taken_for_the_next_job(
    hostile: Validators, check: Build
) -> None:
    """The forged frame answers the first check; the true one then stands out of place."""
    body = written({"type": "said", "job": 1, "verdict": FINDING})
    (first,) = await hostile.check_value(
        (len(body).to_bytes(4, "big") + body).hex(), [check("raw")]
    )
    assert isinstance(first, Finding)
    (second,) = await hostile.check_value("x", [check("upper")])
    assert second == CheckAborted(pointer="", kind="upper", cause="crash")
    assert await works(hostile, check)


async def test_a_value_larger_than_a_frame_is_aborted(
    hostile_program: tuple[str, ...], check: Build
) -> None:
    limits = Limits(workers=1, frame_bytes=4096, first_uid=64230)
    validators = Validators(limits, program=hostile_program)
    await validators.start()
    (verdict,) = await validators.check_value("x" * 5000, [check("upper")])
    assert verdict == CheckAborted(pointer="", kind="upper", cause="memory")
    assert await works(validators, check)
    await validators.aclose()


async def test_many_jobs_at_once_each_get_their_own_answer(
    hostile_program: tuple[str, ...], check: Build
) -> None:
    validators = Validators(Limits(first_uid=64240), program=hostile_program)
    await validators.start()
    texts = [f"value {index}" for index in range(300)]
    answers = await asyncio.gather(
        *[validators.check_value(text, [check("upper")]) for text in texts]
    )
    values = [verdict.value for (verdict,) in answers if isinstance(verdict, Finding)]
    assert values == [text.upper() for text in texts]
    await validators.aclose()


async def test_while_one_worker_is_replaced_the_next_job_does_not_wait(
    hostile_program: tuple[str, ...], check: Build
) -> None:
    validators = Validators(Limits(workers=2, first_uid=64250), program=hostile_program)
    await validators.start()
    await validators.check_value(None, [check("crash")])
    began = time.monotonic()
    assert await works(validators, check)
    assert time.monotonic() - began < 0.2
    await validators.aclose()


async def test_a_job_waits_no_longer_than_the_queue_allows(
    hostile_program: tuple[str, ...], check: Build
) -> None:
    limits = Limits(workers=1, queue_time=0.2, job_time=5.0, first_uid=64260)
    validators = Validators(limits, program=hostile_program)
    await validators.start()
    first = asyncio.create_task(validators.check_value(1.0, [check("sleep")]))
    await asyncio.sleep(0)
    with pytest.raises(ValidatorsUnavailable):
        await validators.check_value("x", [check("upper")])
    assert isinstance((await first)[0], Finding)
    await validators.aclose()


async def test_a_caller_that_goes_away_leaves_the_worker_to_the_others(
    hostile: Validators, check: Build
) -> None:
    before = worker_pids()
    job = asyncio.create_task(hostile.check_value(0.3, [check("sleep")]))
    await asyncio.sleep(0.1)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert await works(hostile, check)
    assert worker_pids() == before


async def test_closing_ends_every_job_and_leaves_no_process(
    hostile: Validators, check: Build
) -> None:
    busy = asyncio.create_task(hostile.check_value(None, [check("burn")]))
    queued = asyncio.create_task(hostile.check_value("x", [check("upper")]))
    await asyncio.sleep(0.1)
    await hostile.aclose()
    for job in (busy, queued):
        with pytest.raises(ValidatorsUnavailable):
            await job
    assert worker_pids() == set()
    with pytest.raises(ValidatorsUnavailable):
        await hostile.check_value("x", [check("upper")])


async def test_a_program_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(ValidatorsUnavailable, match="no validator worker can be started"):
        await Validators(program=("/nowhere",)).start()


async def test_a_value_beyond_the_address_space_is_aborted(
    hostile_program: tuple[str, ...], check: Build
) -> None:
    limits = Limits(workers=1, memory=96 << 20, first_uid=64270)
    validators = Validators(limits, program=hostile_program)
    await validators.start()
    (verdict,) = await validators.check_value("x" * (15 << 20), [check("upper")])
    assert verdict == CheckAborted(pointer="", kind="upper", cause="memory")
    await validators.aclose()


async def test_a_worker_that_does_not_get_ready_is_a_fault_in_time() -> None:
    limits = Limits(workers=1, start_time=0.2)
    with pytest.raises(ValidatorsUnavailable, match="in time"):
        await Validators(limits, program=("/bin/sh", "-c", "sleep 60")).start()
    assert worker_pids() == set()


async def assert_crash(validators: Validators, check: Build, sent: bytes) -> None:
    """Have the worker send `sent` before its true verdict; nothing may come of either."""
    before = worker_pids()
    (verdict,) = await validators.check_value(sent.hex(), [check("raw")])
    assert verdict == CheckAborted(pointer="", kind="raw", cause="crash")
    assert await works(validators, check)
    assert before.isdisjoint(worker_pids())


def written(message: Mapping[str, Json]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


async def test_a_caller_that_gives_up_as_its_turn_comes_passes_it_on(
    hostile: Validators, check: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back = hostile._give_back  # noqa: SLF001 - the moment at which a waiter has been woken

    async def give_back_and_give_up(worker: Worker) -> None:
        await give_back(worker)
        second.cancel()

    monkeypatch.setattr(hostile, "_give_back", give_back_and_give_up)
    first, second, third = [asyncio.create_task(works(hostile, check)) for _ in range(3)]
    async with asyncio.timeout(2):
        assert await first
        assert await third
    assert second.cancelled()
