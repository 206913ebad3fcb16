"""A real worker, locked down like any other, whose destinations do what an attacker would.

Run as `python -I hostile_worker.py TERMS`. Each kind is a deed; its answer is what came of
it: `done`, or the name of the error. The kind `raw` sends the given bytes as they are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.validators import worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.strict import Json


def burn(_: Json) -> None:
    while True:
        pass


def sleep(seconds: Json) -> None:
    assert isinstance(seconds, float)
    time.sleep(seconds)


def hog(_: Json) -> None:
    held = [bytes(64 << 20) for _ in range(1 << 20)]
    raise AssertionError(len(held))


def crash(_: Json) -> None:
    ctypes.string_at(0)


def overflow(depth: Json) -> None:
    """Recurse on the C stack, uncounted, through a callback that ctypes calls."""
    sys.setrecursionlimit(1 << 30)
    callback = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)

    def descend(left: int) -> int:
        return left and int(callback(descend)(left - 1))

    assert isinstance(depth, int)
    descend(depth)


def fork(_: Json) -> None:
    if os.fork() == 0:
        os._exit(0)


def thread(_: Json) -> None:
    threading.Thread(target=time.sleep, args=(0,)).start()


def execute(path: Json) -> None:
    os.execv(str(path), [str(path)])  # noqa: S606 - the deed itself


def read(path: Json) -> None:
    Path(str(path)).read_bytes()


def look_at(path: Json) -> None:
    Path(str(path)).stat()


def make(path: Json) -> None:
    Path(str(path)).mkdir()


def connect(_: Json) -> None:
    socket.create_connection(("127.0.0.1", 1), timeout=1)


def duplicate(_: Json) -> None:
    os.dup(0)


def become_root(_: Json) -> None:
    os.setresuid(0, 0, 0)


def signal_parent(_: Json) -> None:
    os.kill(os.getppid(), 0)


def trace_parent(_: Json) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, os.getppid(), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def lift_limits(_: Json) -> None:
    import resource  # noqa: PLC0415 - imported by the worker already

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def unshare(_: Json) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


def environment(_: Json) -> None:
    if os.environ:
        raise OSError(errno.EEXIST, "environment")


def late_import(_: Json) -> None:
    import wave  # noqa: F401, PLC0415 - not among what a worker has imported


def leave_a_print(_: Json) -> None:
    print("between two frames")  # noqa: T201 - what a careless library does


def raw(text: Json) -> None:
    os.write(1, bytes.fromhex(str(text)))


def wrong(_: Json) -> None:
    raise ZeroDivisionError("this text quotes the value")


DEEDS: dict[str, Callable[[Json], None]] = {
    deed.__name__: deed
    for deed in (
        burn,
        sleep,
        hog,
        crash,
        overflow,
        fork,
        thread,
        execute,
        read,
        look_at,
        make,
        connect,
        duplicate,
        become_root,
        signal_parent,
        trace_parent,
        lift_limits,
        unshare,
        environment,
        late_import,
        leave_a_print,
        raw,
        wrong,
    )
}


def check(kind: str, value: Json, settings: Json) -> Accepted:  # noqa: ARG001 - a destination's shape
    if kind == "upper":
        return Accepted(value=str(value).upper(), facts={"length": len(str(value))})
    if kind == "object":
        raise Objection("object.always", "never", pointer="/below", position=(1, 2))
    try:
        DEEDS[kind](value)
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        code = getattr(error, "errno", None)
        return Accepted(value=errno.errorcode[code] if code else type(error).__name__)
    return Accepted(value="done")


if __name__ == "__main__":
    registry.check = check
    sys.exit(worker.main(sys.argv))
