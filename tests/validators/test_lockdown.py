"""Each power that a worker gives up is tried, from inside, by a worker that wants it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.call import Finding
from sandbox_runtime.validators import Limits, Validators, ValidatorsUnavailable, readback
from sandbox_runtime.validators.process import PROGRAM, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.call import Check, Verdict
    from sandbox_runtime.strict import Json

ONE = Limits(workers=1, first_uid=64210)


def answer(verdicts: tuple[Verdict, ...]) -> Json:
    (verdict,) = verdicts
    assert isinstance(verdict, Finding)
    return verdict.value


@pytest.mark.parametrize(
    ("deed", "value", "came_of_it"),
    [
        pytest.param("fork", None, "EAGAIN", id="start-a-process"),
        pytest.param("thread", None, "RuntimeError", id="start-a-thread"),
        pytest.param("execute", "/bin/sh", "EACCES", id="run-a-program"),
        pytest.param("look_at", "/etc/passwd", "EACCES", id="see-a-file"),
        pytest.param("look_at", "/proc/self", "EACCES", id="see-proc"),
        pytest.param("make", "/x", "EACCES", id="make-a-directory"),
        pytest.param("read", "/", "EMFILE", id="open-anything"),
        pytest.param("connect", None, "EMFILE", id="connect"),
        pytest.param("duplicate", None, "EMFILE", id="get-another-descriptor"),
        pytest.param("lift_limits", None, "ValueError", id="lift-a-limit"),
        pytest.param("become_root", None, "EPERM", id="become-root-again"),
        pytest.param("signal_parent", None, "EPERM", id="signal-the-broker"),
        pytest.param("trace_parent", None, "EPERM", id="trace-the-broker"),
        pytest.param("unshare", None, "EPERM", id="be-root-of-a-user-namespace"),
        pytest.param("late_import", None, "EMFILE", id="import-a-module"),
        pytest.param("environment", None, "done", id="find-the-environment-empty"),
    ],
)
async def test_a_worker_cannot(
    hostile: Validators, check: Callable[..., Check], deed: str, value: Json, came_of_it: str
) -> None:
    assert answer(await hostile.check_value(value, [check(deed)])) == came_of_it


async def test_what_a_library_prints_does_not_come_between_the_frames(
    hostile: Validators, check: Callable[..., Check]
) -> None:
    assert answer(await hostile.check_value("x", [check("leave_a_print")])) == "done"
    assert answer(await hostile.check_value("x", [check("upper")])) == "X"


async def test_the_kernel_shows_a_worker_as_its_terms_ask() -> None:
    worker = await Worker.start(PROGRAM, 0, ONE)
    try:
        shown = readback.seen(worker.pid)
        assert readback.differences(ONE.terms(0), shown) == ()
        assert shown["uid"] == "64210 64210 64210 64210"
        assert shown["descriptors"] == "0 1"
        assert shown["interfaces"] == "lo"
        assert shown["mounts"] == shown["files"] == ""
    finally:
        await worker.end()


def test_the_kernel_shows_that_this_process_is_no_worker() -> None:
    """So each part of the comparison can fail."""
    terms = ONE.terms(0)
    found = readback.differences(terms, readback.seen(os.getpid()))
    parts = {difference.partition(" is `")[0] for difference in found}
    same_here = {"groups", "threads", "inheritable capabilities", "ambient capabilities"}
    assert readback.asked(terms).keys() - parts <= same_here | {
        "Max core file size",
        "owner of its memory",
    }


async def test_a_worker_that_says_it_is_ready_and_is_not_confined_gets_no_job() -> None:
    frame = b'{"type":"ready"}'
    source = (
        "import os, time; "
        f"os.write(1, ({len(frame)}).to_bytes(4, 'big') + {frame!r}); "
        "time.sleep(60)"
    )
    validators = Validators(ONE, program=(sys.executable, "-I", "-c", source))
    with pytest.raises(ValidatorsUnavailable, match="not confined: uid is `0 0 0 0`"):
        await validators.start()


@pytest.mark.parametrize("capability", ["sys_admin", "setuid", "setpcap"])
async def test_without_a_capability_it_needs_no_worker_starts_and_the_fault_names_the_mend(
    capability: str,
) -> None:
    setpriv = shutil.which("setpriv")
    assert setpriv
    validators = Validators(ONE, program=(setpriv, f"--bounding-set=-{capability}", *PROGRAM))
    with pytest.raises(ValidatorsUnavailable, match="start the broker as root, with CAP_SYS_ADMIN"):
        await validators.start()


async def test_a_broker_that_is_not_root_has_no_validators() -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(ValidatorsUnavailable, match="start the broker as root"):
            await Validators(ONE).start()
    finally:
        os.seteuid(0)


def there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


BROKER = """
import asyncio, os, sys
from sandbox_runtime.validators import Limits, Validators

async def main():
    validators = Validators(Limits(workers=2, first_uid=64220))
    await validators.start()
    children = open(f"/proc/self/task/{os.getpid()}/children").read()
    print(children, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_no_worker_outlives_a_broker_that_is_killed() -> None:
    with subprocess.Popen(  # noqa: ASYNC220, S603 - our own source, and one line to wait for
        [sys.executable, "-I", "-c", BROKER], stdout=subprocess.PIPE, text=True
    ) as broker:
        assert broker.stdout
        workers = [int(pid) for pid in broker.stdout.readline().split()]
        os.kill(workers[0], 19)  # a stopped worker does not read that its pipe has ended
        broker.kill()
    assert len(workers) == 2
    for _ in range(100):
        if not any(map(there, workers)):
            return
        await asyncio.sleep(0.05)
    pytest.fail("a worker is still there")
