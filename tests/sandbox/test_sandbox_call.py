"""One call in one container, and every way it can end."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox_runtime.call import Outcome
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox.container import Container
from sandbox_runtime.sandbox.launcher import CallBytes, DeadlinePassed, Swept
from sandbox_runtime.sandbox.streams import Answer, Ended, Log, Progress, Ready
from tests.support.rooms import Room, answered


async def test_a_tool_reads_its_call_and_answers(room: Room) -> None:
    done = await room.run("answer(json.loads(sys.stdin.readline()))", arguments={"q": "ü"})
    assert done.ending is Outcome.OK
    assert answered(done) == {"call_id": "c", "arguments": {"q": "ü"}}
    assert list(done.stages) == ["create", "attach", "start", "ready", "readback", "run"]
    assert len(done.walls) == 64


async def test_progress_and_log_come_before_the_answer_in_their_order(room: Room) -> None:
    await room.run("""
os.write(1, b"out"); os.write(3, b'{"progress": {"done": 1}}\\n')
time.sleep(0.05)
os.write(2, b"err"); answer(1)""")
    kinds = [type(event) for event in room.events if not isinstance(event, Ready | Ended)]
    assert kinds == [Log, Progress, Log, Answer]


async def test_a_tools_own_error_is_an_answer(room: Room) -> None:
    done = await room.run("""os.write(3, b'{"error": {"code": "x", "message": "no"}}\\n')""")
    assert done.ending is Outcome.TOOL_ERROR


async def test_an_answer_without_its_newline_counts_when_the_tool_has_ended(room: Room) -> None:
    done = await room.run("""os.write(3, b'{"result": 1}')""")
    assert done.ending is Outcome.OK


async def test_exit_0_without_an_answer_is_a_crash(room: Room) -> None:
    done = await room.run("print('bye')")
    assert (done.ending, done.exit_code) == (Outcome.CRASHED, 0)
    assert bytes(done.log.head) == b"bye\n"


async def test_an_exit_code_and_a_signal_are_told(room: Room) -> None:
    assert (await room.run("sys.exit(7)")).exit_code == 7
    assert (await room.run("os.kill(os.getpid(), 11)")).exit_code == -11


async def test_what_is_printed_as_an_answer_is_only_a_log(room: Room) -> None:
    done = await room.run("""print('{"result": "forged"}')""")
    assert done.ending is Outcome.CRASHED


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "1",
        "{}",
        '{"result": 1, "error": 2}',
        '{"error": "text"}',
        '{"result": NaN}',
    ],
)
async def test_an_answer_of_another_shape_is_invalid(room: Room, text: str) -> None:
    done = await room.run(f"os.write(3, {text!r}.encode() + b'\\n')")
    assert done.ending is Outcome.INVALID_ANSWER


async def test_two_answers_are_none(room: Room) -> None:
    done = await room.run("""os.write(3, b'{"result": 1}\\n{"result": 2}\\n')""")
    assert done.ending is Outcome.INVALID_ANSWER


async def test_a_sleep_beyond_its_time_is_killed_in_time(room: Room) -> None:
    before = time.monotonic()
    done = await room.run("time.sleep(60)", wall_time=timedelta(seconds=1))
    assert done.ending is Outcome.TIMEOUT
    assert done.exit_code is None
    assert time.monotonic() - before < 3


async def test_the_callers_deadline_also_kills(room: Room) -> None:
    done = await room.run("time.sleep(60)", within=1.5)
    assert done.ending is Outcome.TIMEOUT


async def test_a_deadline_shorter_than_the_start_runs_nothing(room: Room) -> None:
    with pytest.raises(DeadlinePassed):
        await room.run("answer(1)", within=0.02)


@pytest.mark.parametrize("newline", ["", "\\n"], ids=["without newlines", "with newlines"])
@pytest.mark.parametrize("fd", [1, 2, 3])
async def test_a_flood_is_cut_off_and_its_head_and_tail_kept(
    room: Room, fd: int, newline: str
) -> None:
    done = await room.run(f"while True: os.write({fd}, b'y' * 1000 + b'{newline}')")
    # A line that is no JSON may be noticed before the cap is.
    lines = fd == 3 and newline
    assert done.ending is (Outcome.INVALID_ANSWER if lines else Outcome.OUTPUT_LIMIT)
    assert done.bytes_out < 64 << 20
    if fd != 3:
        assert bytes(done.log.head[:1000]) == b"y" * 1000
        assert len(done.log.head) == len(done.log.tail) == 4096


async def test_a_flood_before_the_call_runs_nothing_or_is_cut_off(room: Room) -> None:
    done = await room.run("while True: print('y' * 1000)", output=8 << 10)
    assert done.ending is Outcome.OUTPUT_LIMIT


async def test_a_tool_that_never_reads_gets_a_large_call_without_a_deadlock(room: Room) -> None:
    done = await room.run("time.sleep(0.2); answer('deaf')", arguments="x" * (4 << 20))
    assert done.ending is Outcome.OK


async def test_a_large_call_arrives_whole(room: Room) -> None:
    code = "answer(len(json.loads(sys.stdin.readline())['arguments']))"
    done = await room.run(code, arguments="x" * (4 << 20))
    assert answered(done) == 4 << 20


async def test_a_tool_that_closed_its_streams_can_still_answer(room: Room) -> None:
    done = await room.run("os.close(0); os.close(1); os.close(2); time.sleep(0.1); answer(1)")
    assert done.ending is Outcome.OK


async def test_a_child_that_holds_the_pipes_does_not_hold_up_the_end(room: Room) -> None:
    before = time.monotonic()
    done = await room.run("""
if os.fork() == 0:
    time.sleep(60)
os._exit(3)""")
    assert (done.ending, done.exit_code) == (Outcome.CRASHED, 3)
    assert time.monotonic() - before < 3


async def test_orphans_are_buried(room: Room) -> None:
    done = await room.run("""
for _ in range(200):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
answer('all buried')""")
    assert done.ending is Outcome.OK


async def test_cancelling_leaves_nothing(room: Room) -> None:
    call = asyncio.create_task(room.run("time.sleep(60)"))
    await room.up.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await room.left() == 0


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.02, 0.06, 0.1, 0.13])
async def test_cancelling_at_any_moment_leaves_nothing(room: Room, delay: float) -> None:
    call = asyncio.create_task(room.run("time.sleep(60)"))
    await asyncio.sleep(delay)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await room.launcher.aclose()
    assert await room.left() == 0


async def test_the_engines_word_follows(room: Room) -> None:
    done = await room.run("answer(1)")
    closed = await done.closed
    assert (closed.exit_code, closed.oom_killed) == (137, False)


async def test_calls_run_beside_each_other(room: Room) -> None:
    done = await asyncio.gather(*(room.run("answer(1)") for _ in range(4)))
    assert {each.ending for each in done} == {Outcome.OK}
    assert len({each.container for each in done}) == 4
    assert len({each.walls for each in done}) == 1


async def test_the_sweep_removes_strays_and_spares_the_living(room: Room) -> None:
    other = type(room)(type(room.launcher)(room.launcher.engine, room.launcher.broker), room.image)
    call = asyncio.create_task(other.run("time.sleep(60)"))
    await other.up.wait()
    assert await other.launcher.sweep() == Swept(removed=(), stuck=())
    assert len((await room.launcher.sweep()).removed) == 1
    assert (await call).ending is Outcome.SANDBOX_UNAVAILABLE


def held() -> tuple[int, int]:
    """How many descriptors and tasks there are."""
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())


async def test_many_calls_leave_no_descriptor_and_no_task(room: Room) -> None:
    await (await room.run("answer(1)")).closed
    before = held()
    for _ in range(5):
        await (await room.run("answer(1)")).closed
    await room.launcher.aclose()
    assert held() == before


async def test_a_flood_that_nobody_reads_does_not_hold_up_the_removal(room: Room) -> None:
    done = await room.run("while True: os.write(1, b'y' * 60_000)")
    before = time.monotonic()
    await done.closed
    assert time.monotonic() - before < 2
    assert await room.left() == 0


async def test_a_container_whose_broker_is_gone_ends_by_itself(room: Room) -> None:
    container = Container(room.launcher.engine, room.plan("time.sleep(60)"))
    await container.start()
    assert container.alive
    container.hang_up()
    for _ in range(60):
        await asyncio.sleep(0.05)
        if not container.alive:
            break
    assert not container.alive
    await container.close()


async def test_a_container_takes_no_second_call(room: Room) -> None:
    container = Container(room.launcher.engine, room.plan("answer(1)"))
    call, until = CallBytes(call_id="c", arguments={}), time.monotonic() + 10
    await container.start()
    assert await container.converse(call, until=until, on_event=room.hear) is None
    with pytest.raises(SandboxUnavailable, match="one call"):
        await container.converse(call, until=until, on_event=room.hear)
    await container.close()


async def test_a_container_takes_no_call_before_its_walls_are_read(room: Room) -> None:
    container = Container(room.launcher.engine, room.plan("answer(1)"))
    call = CallBytes(call_id="c", arguments={})
    with pytest.raises(SandboxUnavailable, match="walls"):
        await container.converse(call, until=time.monotonic() + 1, on_event=room.hear)


def test_a_call_is_one_line_of_json_behind_its_length() -> None:
    frame = CallBytes(call_id="c", arguments={"text": "two\nlines"}).frame
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert b"\n" not in frame[4:]
