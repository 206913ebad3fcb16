"""Each wall, attacked from inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_runtime.call import Outcome
from tests.support.rooms import Room, answered, counters

DENIED = "PermissionError (1|13)"
READ_ONLY = "OSError 30|PermissionError 13"
ABSENT = "FileNotFoundError 2"
ATTACKS = {
    "read /etc/shadow": ("open('/etc/shadow').read()", f"{DENIED}|{ABSENT}"),
    "write into /etc": ("open('/etc/new', 'w')", READ_ONLY),
    "write into the root": ("open('/new', 'w')", READ_ONLY),
    "change the runner": ("open('/run/sandbox/runner.py', 'a')", READ_ONLY),
    "change the interpreter": ("os.truncate(os.path.realpath(sys.executable), 0)", READ_ONLY),
    "write into /dev": ("os.mkdir('/dev/new')", DENIED),
    "write a core pattern": ("open('/proc/sys/kernel/core_pattern', 'w')", READ_ONLY),
    "press a system request": ("open('/proc/sysrq-trigger', 'w')", f"{READ_ONLY}|{ABSENT}"),
    "look into /sys": ("os.listdir('/sys')", r"\[\]"),
    "read kernel memory": ("open('/proc/kcore', 'rb').read(1)", f"b''|{DENIED}|{ABSENT}"),
    "read the runner's memory": ("open('/proc/1/mem', 'rb')", DENIED),
    "read the runner's environment": ("open('/proc/1/environ').read()", DENIED),
    "list the runner's descriptors": ("os.listdir('/proc/1/fd')", DENIED),
    "write a frame": ("open('/proc/1/fd/1', 'wb')", DENIED),
    "enter the runner's root": ("os.listdir('/proc/1/root/')", DENIED),
    "make the runner killable": ("open('/proc/1/oom_score_adj', 'w').write('1000')", DENIED),
    "find the engine": ("os.stat('/var/run/docker.sock')", ABSENT),
    "fill shared memory": ("open('/dev/shm/x', 'wb').write(b'x' * (1 << 20))", "OSError 28"),
    "become root": ("os.setuid(0)", DENIED),
    "join root's group": ("os.setgroups([0])", DENIED),
    "change the root": ("os.chroot('/tmp')", DENIED),
    "make a disk": ("os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))", DENIED),
    "gain priority": ("os.nice(-5)", DENIED),
    "run in real time": ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", DENIED),
    "rename the host": ("__import__('socket').sethostname('x')", DENIED),
    "set the clock": ("time.clock_settime(time.CLOCK_REALTIME, 0)", DENIED),
}


@pytest.fixture(scope="module")
def attacked(in_a_room: Callable[[str], Any]) -> dict[str, str]:
    """What came of each attack; all are made in one container."""
    lines = (f"found[{name!r}] = attempt(lambda: {code})" for name, (code, _) in ATTACKS.items())
    found: dict[str, str] = in_a_room("\n".join(["found = {}", *lines, "answer(found)"]))
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_tool_tries_on_files_and_powers_fails(attacked: dict[str, str], name: str) -> None:
    assert re.fullmatch(ATTACKS[name][1], attacked[name]), attacked[name]


async def test_nothing_in_tmp_can_be_executed(room: Room) -> None:
    code = """
open('/tmp/x', 'wb').write(open('/usr/bin/python3', 'rb').read(4096)); os.chmod('/tmp/x', 0o700)
answer(attempt(lambda: os.execv('/tmp/x', ['x'])))"""
    assert await room.result(code) == "PermissionError 13"


async def test_every_network_is_out_of_reach(room: Room) -> None:
    code = """
import socket
def connect(family, address):
    with socket.socket(family) as s: s.connect(address)
answer([
    attempt(lambda: connect(socket.AF_INET, ("1.1.1.1", 80))),
    attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", 80))),
    attempt(lambda: connect(socket.AF_INET6, ("::1", 80))),
    attempt(lambda: socket.getaddrinfo("example.com", 80)).split()[0],
    open("/proc/net/dev").read().count(":"),
    attempt(lambda: connect(socket.AF_UNIX, "\\0abstract")),
])"""
    refused = "OSError 97"
    found = await room.result(code)
    assert found == [refused, refused, refused, "gaierror", 1, "ConnectionRefusedError 111"]


async def test_signals_do_not_reach_the_runner(room: Room) -> None:
    code = """
for number in (2, 9, 15, 19): os.kill(1, number)
answer("still here")"""
    assert await room.result(code) == "still here"


async def test_the_runners_limits_are_out_of_reach(room: Room) -> None:
    code = """
import resource as r
answer(attempt(lambda: r.prlimit(1, r.RLIMIT_NOFILE, (0, 0))))"""
    assert await room.result(code) == "PermissionError 1"


async def test_limits_cannot_be_raised(room: Room) -> None:
    code = """
import resource as r
answer([attempt(lambda: r.setrlimit(x, (r.RLIM_INFINITY, r.RLIM_INFINITY)))
        for x in (r.RLIMIT_FSIZE, r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_MEMLOCK)])"""
    assert await room.result(code) == ["ValueError"] * 4


async def test_the_hosts_environment_stays_outside(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_BROKER", "1")
    found = await room.result("answer(dict(os.environ))")
    assert found == {
        "HOME": "/tmp",  # noqa: S108 - the container's own
        "HOSTNAME": "sandbox",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


async def test_a_tool_is_nobody_and_has_only_its_own_descriptors(room: Room) -> None:
    code = """
opened = sorted(os.listdir('/proc/self/fd'))
answer([os.getresuid(), os.getresgid(), os.getgroups(), opened])"""
    ids = [10_000] * 3
    # The fifth is the listing's own.
    assert await room.result(code) == [ids, ids, [10_000], ["0", "1", "2", "3", "4"]]


async def test_a_fork_bomb_is_contained_and_named(room: Room) -> None:
    code = """
while True:
    try: os.fork()
    except OSError: time.sleep(0.01); os._exit(1)"""
    done = await room.run(code, pids=16)
    assert done.ending is Outcome.PIDS_LIMIT
    assert counters(done).pids_peak <= 16


async def test_a_tool_that_lives_with_its_limit_of_processes_may_answer(room: Room) -> None:
    code = """
children = []
try:
    while True:
        pid = os.fork()
        if not pid: time.sleep(60)
        children.append(pid)
except OSError: answer(len(children))"""
    done = await room.run(code, pids=8)
    assert (done.ending, counters(done).pids_refused > 0) == (Outcome.OK, True)


async def test_memory_beyond_the_limit_is_named(room: Room) -> None:
    done = await room.run("x = b'x' * (200 << 20); answer(1)")
    assert (done.ending, done.exit_code) == (Outcome.OUT_OF_MEMORY, -9)
    assert counters(done).memory_peak <= 64 << 20


async def test_memory_taken_by_a_grandchild_is_named_whatever_the_tool_says(room: Room) -> None:
    code = """
if os.fork() == 0:
    if os.fork() == 0: x = b'x' * (200 << 20)
    os.wait(); os._exit(0)
os.wait(); answer('all is well')"""
    assert (await room.run(code)).ending is Outcome.OUT_OF_MEMORY


async def test_a_full_tmp_is_the_tools_own_error_and_not_out_of_memory(room: Room) -> None:
    code = """
def fill():
    with open('/tmp/x', 'wb') as f, open('/tmp/y', 'wb') as g:
        f.write(b'x' * (700 << 10)); g.write(b'x' * (700 << 10))
answer(attempt(fill))"""
    done = await room.run(code)
    assert (done.ending, answered(done)) == (Outcome.OK, "OSError 28")
    assert counters(done).oom_kills == 0


async def test_a_tmp_that_memory_cannot_hold_is_out_of_memory(room: Room) -> None:
    code = """
with open('/tmp/x', 'wb') as f:
    while True: f.write(b'x' * (1 << 20))"""
    done = await room.run(code, tmp=512 << 20, file_size=512 << 20)
    assert done.ending is Outcome.OUT_OF_MEMORY


async def test_files_in_tmp_are_counted(room: Room) -> None:
    code = "answer(attempt(lambda: [open(f'/tmp/{n}', 'w').close() for n in range(1000)]))"
    assert await room.result(code) == "OSError 28"


async def test_a_file_beyond_its_size_is_refused_even_when_sparse(room: Room) -> None:
    code = "answer(attempt(lambda: open('/tmp/x', 'wb').truncate(1 << 40)))"
    assert await room.result(code) == "OSError 27"


async def test_open_files_are_counted(room: Room) -> None:
    code = "answer(attempt(lambda: [os.dup(0) for _ in range(100)]))"
    assert await room.result(code) == "OSError 24"


async def test_processor_time_is_shared_out(room: Room) -> None:
    code = """
start = time.monotonic()
while time.monotonic() - start < 1: pass
answer(time.process_time())"""
    assert await room.result(code, cpu=0.25) < 0.5


async def test_nothing_is_left_for_the_next_call(room: Room) -> None:
    code = """
before = sorted(os.listdir('/tmp') + os.listdir('/dev/shm') + os.listdir('/dev/mqueue'))
for place in ('/tmp/x', '/dev/shm/x'): open(place, 'w').write('left')
answer(before)"""
    assert await room.result(code) == []
    assert await room.result(code) == []
