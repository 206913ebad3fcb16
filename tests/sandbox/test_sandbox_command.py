"""Programs that know nothing of the broker, in real containers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from sandbox_runtime.call import Outcome
from sandbox_runtime.manifests.argv import Invocation
from sandbox_runtime.manifests.command import Exits, Failing, Stdout
from sandbox_runtime.sandbox.launcher import CommandBytes, Finished
from sandbox_runtime.sandbox.plan import ContainerPlan, Spoken
from tests.support.rooms import Room, answered

Python = Callable[..., Awaitable[Finished]]
EXITS = Exits(
    ok=(0, 1),
    errors=(
        Failing(exit=2, code="failed", message="it failed", stderr=12),
        Failing(exit=3, code="silent", message="it says nothing"),
    ),
)


def understood(plan: ContainerPlan, stdout: Stdout = "json") -> ContainerPlan:
    spoken = Spoken(argv=("/usr/bin/python3",), stdin=None, stdout=stdout, exits=EXITS)
    return plan.model_copy(update={"program": (), "spoken": spoken})


@pytest.fixture
def python(room: Room) -> Python:
    """Run Python code as a program that is told its words by the call."""

    async def run(
        code: str, *words: str, stdin: bytes = b"", stdout: Stdout = "json", **limits: object
    ) -> Finished:
        program = ("/usr/bin/python3", "-c", "import os, sys, json\n" + code, *words)
        call = CommandBytes(invocation=Invocation(words=program, stdin=stdin))
        return await room.give(understood(room.plan("", **limits), stdout), call)

    return run


HEARD = "print(json.dumps([sys.argv[1:], sys.stdin.read()]))"


async def test_a_program_gets_its_words_and_its_input_to_the_byte(python: Python) -> None:
    words = ["", "a b", "--flag=ü", "$(id)", "`id`; rm -rf /", "two\nlines", "*"]
    given = "first\nlast, without an end"
    assert answered(await python(HEARD, *words, stdin=given.encode())) == [words, given]


async def test_a_large_input_arrives_whole(python: Python) -> None:
    done = await python("print(len(sys.stdin.buffer.read()))", stdin=bytes(3 << 20))
    assert answered(done) == 3 << 20


async def test_an_input_that_nobody_reads_holds_nothing_up(python: Python) -> None:
    assert answered(await python("print(7)", stdin=bytes(3 << 20))) == 7


async def test_a_program_has_three_descriptors_and_none_of_the_runners(python: Python) -> None:
    assert answered(await python("print(json.dumps(os.listdir('/proc/self/fd')))")) == [
        "0",
        "1",
        "2",
        "3",  # the directory itself
    ]


@pytest.mark.parametrize(
    ("stdout", "printed", "result"),
    [
        pytest.param("text", "'a\\n'", "a\n", id="text"),
        pytest.param("text", "''", "", id="no text"),
        pytest.param("json", "'{\"a\": 1}'", {"a": 1}, id="a value"),
        pytest.param("json_lines", "'1\\n\\n[2]\\n'", [1, [2]], id="values"),
        pytest.param("json_lines", "''", [], id="no values"),
    ],
)
async def test_what_it_prints_is_the_result(
    python: Python, stdout: Stdout, printed: str, result: object
) -> None:
    done = await python(f"sys.stdout.write({printed})", stdout=stdout)
    assert (done.ending, answered(done)) == (Outcome.OK, result)


async def test_bytes_that_are_no_text_are_replaced(python: Python) -> None:
    done = await python(r"os.write(1, b'a\xffb')", stdout="text")
    assert answered(done) == "a\ufffdb"


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param('1, "error": {}', id="a second key"),
        pytest.param('{"a": 1, "a": 2}', id="a key twice"),
        pytest.param("NaN", id="no number"),
        pytest.param("[" * 100 + "]" * 100, id="too deep"),
        pytest.param("", id="nothing"),
        pytest.param("1\n2", id="two values"),
    ],
)
async def test_what_is_no_json_is_no_answer(python: Python, printed: str) -> None:
    done = await python("sys.stdout.write(sys.argv[1])", printed)
    assert done.ending is Outcome.INVALID_ANSWER
    assert not done.answered


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(1)", {"result": ""}),
        (
            "sys.stderr.write('far too much'); sys.exit(2)",
            {"error": {"code": "failed", "message": "it failed: far too much"}},
        ),
        (
            "sys.stderr.write('secret'); sys.exit(3)",
            {"error": {"code": "silent", "message": "it says nothing"}},
        ),
    ],
)
async def test_an_exit_code_means_what_the_manifest_says(
    python: Python, code: str, said: dict[str, Any]
) -> None:
    done = await python(code, stdout="text")
    assert done.answer is not None
    assert json.loads(done.answer.text) == said


@pytest.mark.parametrize("code", ["sys.exit(4)", "os.kill(os.getpid(), 9)"])
async def test_any_other_end_is_a_crash(python: Python, code: str) -> None:
    done = await python("print(1, flush=True)\n" + code)
    assert (done.ending, done.answer) == (Outcome.CRASHED, None)


async def test_what_it_complains_is_its_log_and_no_result(python: Python) -> None:
    done = await python("print(1); print('careful', file=sys.stderr)")
    assert (answered(done), bytes(done.log.head)) == (1, b"careful\n")


async def test_a_program_that_is_not_there_is_a_crash_that_says_so(room: Room) -> None:
    call = CommandBytes(invocation=Invocation(words=("/usr/bin/jqq", "1")))
    done = await room.give(understood(room.plan("")), call)
    assert (done.ending, bytes(done.log.head)) == (
        Outcome.CRASHED,
        b"cannot start: No such file or directory\n",
    )


async def test_a_file_may_stand_for_the_input(room: Room) -> None:
    words = ("/usr/bin/python3", "-c", "print(open(0).read().count('root'))")
    call = CommandBytes(invocation=Invocation(words=words, file="/etc/group"))
    assert answered(await room.give(understood(room.plan("")), call)) == 1


async def test_a_link_never_stands_for_the_input(room: Room) -> None:
    words = ("/usr/bin/python3", "-c", "print(1)")
    call = CommandBytes(invocation=Invocation(words=words, file="/proc/self/exe"))
    assert (await room.give(understood(room.plan("")), call)).ending is Outcome.CRASHED


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        pytest.param("while True: pass", Outcome.TIMEOUT, id="no end"),
        pytest.param("while True: os.write(1, bytes(65536))", Outcome.OUTPUT_LIMIT, id="a flood"),
        pytest.param(
            "while True:\n  try: os.fork()\n  except OSError: os._exit(4)",
            Outcome.PIDS_LIMIT,
            id="a fork bomb",
        ),
        pytest.param("x = bytearray(1 << 30)", Outcome.OUT_OF_MEMORY, id="memory"),
    ],
)
async def test_a_program_is_held_to_its_limits(python: Python, code: str, ending: Outcome) -> None:
    assert (await python(code, wall_time=timedelta(seconds=2))).ending is ending
