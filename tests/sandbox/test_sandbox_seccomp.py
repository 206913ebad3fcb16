"""The profile: each family of refused calls is made inside, and each allowed one works."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_runtime.sandbox import seccomp

X86_64 = platform.machine() == "x86_64"
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
SIGCHLD = 17

# Name: number on x86_64, number on aarch64, arguments, expected errno.
REFUSED: dict[str, tuple[int, int, tuple[int, ...], int]] = {
    "io_uring_setup": (425, 425, (1, 0), EPERM),
    "io_uring_enter": (426, 426, (0, 0, 0, 0, 0, 0), EPERM),
    "io_uring_register": (427, 427, (0, 0, 0, 0), EPERM),
    "userfaultfd": (323, 282, (0,), EPERM),
    "memfd_create": (319, 279, (0, 0), EPERM),
    "memfd_secret": (447, 447, (0,), EPERM),
    "ptrace": (101, 117, (0, 0, 0, 0), EPERM),
    "process_vm_readv": (310, 270, (1, 0, 0, 0, 0, 0), EPERM),
    "process_vm_writev": (311, 271, (1, 0, 0, 0, 0, 0), EPERM),
    "process_madvise": (440, 440, (0, 0, 0, 0, 0), EPERM),
    "pidfd_getfd": (438, 438, (0, 0, 0), EPERM),
    "kcmp": (312, 272, (1, 1, 0, 0, 0), EPERM),
    "bpf": (321, 280, (0, 0, 0), EPERM),
    "perf_event_open": (298, 241, (0, 0, 0, 0, 0), EPERM),
    "keyctl": (250, 219, (0, 0, 0, 0, 0), EPERM),
    "add_key": (248, 217, (0, 0, 0, 0, 0), EPERM),
    "request_key": (249, 218, (0, 0, 0, 0), EPERM),
    "mount": (165, 40, (0, 0, 0, 0, 0), EPERM),
    "umount2": (166, 39, (0, 0), EPERM),
    "pivot_root": (155, 41, (0, 0), EPERM),
    "fsopen": (430, 430, (0, 0), EPERM),
    "open_tree": (428, 428, (0, 0, 0), EPERM),
    "move_mount": (429, 429, (0, 0, 0, 0, 0), EPERM),
    "mount_setattr": (442, 442, (0, 0, 0, 0, 0), EPERM),
    "unshare": (272, 97, (NEWUSER,), EPERM),
    "setns": (308, 268, (0, 0), EPERM),
    "clone3": (435, 435, (0, 0), ENOSYS),
    "personality": (135, 92, (0x0040000,), EPERM),
    "init_module": (175, 105, (0, 0, 0), EPERM),
    "finit_module": (313, 273, (0, 0, 0), EPERM),
    "kexec_load": (246, 104, (0, 0, 0, 0), EPERM),
    "reboot": (169, 142, (0, 0, 0, 0), EPERM),
    "swapon": (167, 224, (0, 0), EPERM),
    "syslog": (103, 116, (3, 0, 0), EPERM),
    "settimeofday": (164, 170, (0, 0), EPERM),
    "adjtimex": (159, 171, (0,), EPERM),
    "acct": (163, 89, (0,), EPERM),
    "quotactl": (179, 60, (0, 0, 0, 0), EPERM),
    "open_by_handle_at": (304, 265, (0, 0, 0), EPERM),
    "name_to_handle_at": (303, 264, (0, 0, 0, 0, 0), EPERM),
    "fanotify_init": (300, 262, (0, 0), EPERM),
    "mknodat": (259, 33, (0, 0, 0, 0), EPERM),
    "fchownat": (260, 54, (0, 0, 0, 0, 0), EPERM),
    "setuid": (105, 146, (0,), EPERM),
    "capset": (126, 91, (0, 0), EPERM),
    "seccomp": (317, 277, (0, 0, 0), EPERM),
    "landlock_create_ruleset": (444, 444, (0, 0, 0), EPERM),
    "io_setup": (206, 0, (0, 0), EPERM),
    "shmget": (29, 194, (0, 1, 0), EPERM),
    "semget": (64, 190, (0, 1, 0), EPERM),
    "msgget": (68, 186, (0, 0), EPERM),
    "mq_open": (240, 180, (0, 0, 0, 0), EPERM),
    "vmsplice": (278, 75, (0, 0, 0, 0), EPERM),
    "mbind": (237, 235, (0, 0, 0, 0, 0, 0), EPERM),
    "move_pages": (279, 239, (0, 0, 0, 0, 0, 0), EPERM),
    "lookup_dcookie": (212, 18, (0, 0, 0), EPERM),
    "prlimit64 of PID 1": (302, 261, (1, 7, 0, 0), EPERM),
    "socket of AF_INET": (41, 198, (2, 1, 0), EAFNOSUPPORT),
    "socket of AF_INET6": (41, 198, (10, 1, 0), EAFNOSUPPORT),
    "socket of AF_NETLINK": (41, 198, (16, 3, 0), EAFNOSUPPORT),
    "socket of AF_PACKET": (41, 198, (17, 3, 0), EAFNOSUPPORT),
    "socket of AF_ALG": (41, 198, (38, 5, 0), EAFNOSUPPORT),
    "socket of AF_VSOCK": (41, 198, (40, 1, 0), EAFNOSUPPORT),
    **{
        f"clone with {flag:#x}": (56, 220, (flag | SIGCHLD, 0, 0, 0, 0), EPERM)
        for flag in (NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET)
    },
    "a call of a later kernel": (1000, 1000, (0,), ENOSYS),
}


@pytest.fixture(scope="module")
def errnos(in_a_room: Callable[[str], Any]) -> dict[str, int]:
    """What the kernel said to each call; all are made in one container."""
    calls = {name: (call[0 if X86_64 else 1], call[2]) for name, call in REFUSED.items()}
    found: dict[str, int] = in_a_room(f"""
import ctypes
libc, found = ctypes.CDLL(None, use_errno=True), {{}}
for name, (number, arguments) in json.loads({json.dumps(calls)!r}).items():
    ctypes.set_errno(0)
    said = libc.syscall(number, *map(ctypes.c_long, arguments))
    if said == 0 and name.startswith("clone"): os._exit(0)
    found[name] = ctypes.get_errno() if said == -1 else 0
answer(found)""")
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_no_rule_names_is_refused(errnos: dict[str, int], name: str) -> None:
    expected = REFUSED[name][3]
    assert errnos[name] in ({expected, EPERM} if expected == ENOSYS else {expected})


def test_what_ordinary_programs_need_works(in_a_room: Callable[[str], Any]) -> None:
    found = in_a_room("""
import socket, subprocess, threading, tempfile, shutil, mmap, select, signal, asyncio
threads = [threading.Thread(target=lambda: None) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
a, b = socket.socketpair(); a.send(b"x")
with tempfile.TemporaryDirectory() as d:
    open(d + "/x", "w").write("x"); shutil.copy2(d + "/x", d + "/y"); os.rename(d + "/y", d + "/z")
said = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout.decode()
asyncio.run(asyncio.sleep(0))
mmap.mmap(-1, 4096)
import resource; resource.getrlimit(resource.RLIMIT_NOFILE)
answer([b.recv(1).decode(), said])""")
    assert found == ["x", "1\n"]


def test_every_rule_says_why_and_the_engine_reads_none_of_it() -> None:
    profile = seccomp.profile()
    assert profile.defaultAction == "SCMP_ACT_ERRNO"
    assert all(rule.why for rule in profile.syscalls)
    assert "why" not in seccomp.for_engine()


def test_no_call_is_named_twice_without_a_condition() -> None:
    plain = [name for rule in seccomp.profile().syscalls if not rule.args for name in rule.names]
    assert len(plain) == len(set(plain))
    conditional = {name for rule in seccomp.profile().syscalls if rule.args for name in rule.names}
    assert not conditional & set(plain)
