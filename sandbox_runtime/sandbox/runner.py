"""PID 1 of the container: who carries bytes between the host and the tool?

Law: a tool's bytes never become the runner's. What a tool writes is passed on as the
payload of a frame whose head the runner made; nothing is parsed, nothing is believed,
and never more is held than one line. When the tool has ended the runner says so and
waits to be killed, so that the host can still read the cgroup's counters.

    runner.py LINE_LIMIT [PROGRAM [ARGUMENT ...]]

Out, on standard output: length (4 bytes, big-endian, of what follows), kind (1 byte),
payload. In, on standard input: length (4 bytes), payload; the tool gets it as a line.
The tool has its own pipes: 0 takes the call, 1 and 2 are its log, 3 takes its answer.

Without PROGRAM the payload brings it: how many texts (4 bytes), each after its length (4
bytes), and the rest is its standard input. The first text, if it is not empty, is a file
that stands for that input; the others are the argument vector. It has no descriptor 3.

It starts with every cold call, so it imports nothing that is Python and not frozen into
the interpreter: `json` costs 5 ms, and 40 ms in an image without byte code.
"""

from __future__ import annotations

import _ctypes  # these two stand in for ctypes and signal, which are Python: see above
import _signal  # type: ignore[import-not-found]
import os
import sys
from select import POLLIN, POLLOUT, poll

TYPE_CHECKING = False  # the name in typing, without importing it
if TYPE_CHECKING:
    from collections.abc import Callable

READY, STDOUT, STDERR, LINE, OVERFLOW, ENDED = b"R", b"O", b"E", b"A", b"V", b"X"
PR_SET_DUMPABLE = 4
HEAD = 4
CHUNK = 1 << 16
PIPE_MAX = 1 << 20  # the most a process without capabilities can make a pipe hold


def hide() -> int:
    """Close /proc/1/fd and /proc/1/mem to the tool, which has the same uid.

    Return a descriptor of the runner's own badness: afterwards that file is root's too.
    """
    badness = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
    if _ctypes.call_function(prctl, (PR_SET_DUMPABLE, 0, 0, 0, 0)):
        sys.exit("the runner cannot hide from the tool")
    return badness


def spawn(
    program: list[str] | list[bytes], badness: int, pipes: int, file: bytes = b""
) -> tuple[int, list[int]]:
    """Start the tool; return its pid and the runner's ends of its pipes, 0 and on.

    The tool inherits the highest badness before the runner takes its own back: out of
    memory, the kernel kills the tool and whatever it started, not the runner.
    """
    stdin, *others = (os.pipe() for _ in range(pipes))
    theirs = stdin[0], *(end for _, end in others)
    ours = [stdin[1], *(end for end, _ in others)]
    actions: list[tuple[object, ...]]
    actions = [(os.POSIX_SPAWN_DUP2, end, fd) for fd, end in enumerate(theirs)]
    if file:  # a pipe that somebody planted there shall not be waited for
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        actions.append((os.POSIX_SPAWN_OPEN, 0, file, flags, 0))
    os.write(badness, b"1000")
    pid = os.posix_spawnp(
        program[0],
        program,
        os.environ,
        file_actions=actions,
        setsigdef=(_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ),
    )
    os.write(badness, b"0")
    for end in (*theirs, badness):
        os.close(end)
    return pid, ours


def parted(call: memoryview) -> tuple[list[bytes], memoryview]:
    """Return the texts that a call brings, and what is left: the standard input."""
    texts, at = [], HEAD
    for _ in range(int.from_bytes(call[:HEAD], "big")):
        end = at + HEAD + int.from_bytes(call[at : at + HEAD], "big")
        texts.append(bytes(call[at + HEAD : end]))
        at = end
    return texts, call[at:]


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return (len(payload) + 1).to_bytes(HEAD, "big") + kind + payload


def send(frames: bytes) -> None:
    """Write frames, whole, and at once where the pipe has room."""
    while frames:
        frames = frames[os.write(1, frames) :]


def read(fd: int) -> bytes | None:
    """Return what is there: bytes, b"" at the end, None for nothing yet."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None


class Runner:
    """One tool and one call. `handlers` says what a descriptor's readiness leads to."""

    def __init__(self, limit: int, program: list[str]) -> None:
        self.limit = limit
        self.poll = poll()
        self.handlers: dict[int, Callable[[], object]] = {}
        self.incoming = bytearray()
        self.called = False
        self.pending = memoryview(b"")
        self.line = bytearray()
        self.wake, wakened = os.pipe()
        for end in (self.wake, wakened):
            os.set_blocking(end, False)
        _signal.set_wakeup_fd(wakened)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
        self.program, self.badness = program, hide()
        self.pid = self.answer = -1
        self.watch(self.wake, self.on_child)
        self.watch(0, self.on_call)
        if program:
            self.begin(*spawn(program, self.badness, 4))

    def begin(self, pid: int, pipes: list[int]) -> None:
        """Listen to the tool, which runs."""
        self.pid, (self.stdin, self.stdout, self.stderr, *answer) = pid, pipes
        self.watch(self.stdout, lambda: self.on_log(self.stdout, STDOUT))
        self.watch(self.stderr, lambda: self.on_log(self.stderr, STDERR))
        for self.answer in answer:
            self.watch(self.answer, self.on_answer)

    def watch(self, fd: int, handler: Callable[[], object], events: int = POLLIN) -> None:
        """Call `handler` whenever `fd` is ready."""
        os.set_blocking(fd, False)
        self.handlers[fd] = handler
        self.poll.register(fd, events)

    def drop(self, fd: int) -> None:
        """Forget and close `fd`."""
        if self.handlers.pop(fd, None):
            self.poll.unregister(fd)
            os.close(fd)

    def run(self) -> None:
        """Serve until killed, or until the host has gone."""
        send(frame(READY))
        while True:
            for fd, _ in self.poll.poll():
                if fd in self.handlers:
                    self.handlers[fd]()

    def on_call(self) -> None:
        """Collect the call. Where standard input ends, the host has gone: so do we."""
        chunk = read(0)
        if chunk == b"":
            sys.exit(0)
        self.incoming += chunk or b""
        size = int.from_bytes(self.incoming[:HEAD], "big")
        if not self.called and HEAD + size <= len(self.incoming):
            self.called = True
            call = bytes(self.incoming[HEAD : HEAD + size])
            if self.program:
                self.give(memoryview(call + b"\n"))
            else:
                self.start(memoryview(call))

    def start(self, call: memoryview) -> None:
        """Start the program that the call brings."""
        (file, *words), given = parted(call)
        try:
            self.begin(*spawn(words, self.badness, 3, file))
        except OSError as error:
            send(frame(STDERR, f"cannot start: {error.strerror}\n".encode()) + frame(ENDED, b"127"))
        else:
            self.give(given)

    def give(self, call: memoryview) -> None:
        """Write to the tool whenever it has room."""
        self.pending = call
        self.watch(self.stdin, self.on_room, POLLOUT)

    def on_room(self) -> None:
        """Write on to the tool, which may read slowly or not at all."""
        try:
            self.pending = self.pending[os.write(self.stdin, self.pending) :]
        except BrokenPipeError:
            self.pending = memoryview(b"")
        if not self.pending:
            self.drop(self.stdin)

    def on_log(self, fd: int, kind: bytes) -> bool:
        """Pass on what the tool printed. True: there may be more."""
        chunk = read(fd)
        if chunk:
            send(frame(kind, chunk))
        elif chunk == b"":
            self.drop(fd)
        return bool(chunk)

    def on_answer(self) -> bool:
        """Pass on each line of the answer once it is whole. True: there may be more."""
        chunk = read(self.answer)
        if chunk == b"":
            self.drop(self.answer)
        self.flush_logs()
        *lines, rest = (self.line + (chunk or b"")).split(b"\n")
        send(b"".join(frame(LINE, bytes(line)) for line in lines))
        self.line = rest
        if len(rest) > self.limit:
            send(frame(OVERFLOW))
            self.line = bytearray()
            self.drop(self.answer)
        return bool(chunk) and self.answer in self.handlers

    def flush_logs(self) -> None:
        """Pass on first what the tool printed before it answered."""
        for fd, kind in ((self.stdout, STDOUT), (self.stderr, STDERR)):
            if fd in self.handlers:
                self.on_log(fd, kind)

    def on_child(self) -> None:
        """Bury the dead: orphans are PID 1's too. The tool's own end is news."""
        read(self.wake)
        status = None
        try:
            while (dead := os.waitpid(-1, os.WNOHANG))[0]:
                status = dead[1] if dead[0] == self.pid else status
        except ChildProcessError:
            pass
        if status is not None:
            self.drain()
            send(frame(ENDED, b"%d" % os.waitstatus_to_exitcode(status)))

    def drain(self) -> None:
        """Pass on what the tool left in its pipes, never waiting for who else holds them."""
        for fd in (self.stdout, self.stderr, self.answer):
            handler = self.handlers.get(fd)
            for _ in range(PIPE_MAX // CHUNK):
                if not (handler and handler()):
                    break
            self.drop(fd)
        if self.line:
            send(frame(LINE, bytes(self.line)))


if __name__ == "__main__":
    Runner(int(sys.argv[1]), sys.argv[2:]).run()
